/* fetch.h — bytes from a URL that a client named. Only this folder uses libcurl.
 * At the end, the other case: requests to services that the operator named (service.c).
 *
 * A server that fetches URLs of strangers must not let them into its own network. So:
 *   scheme     https; http only where it was allowed
 *   host       one of the list, when there is one
 *   address    public. It is checked when the socket is made, after the name was resolved, so that
 *              neither a name that points inward nor one that changes between two look-ups passes;
 *              hosts named in private_hosts may have any address
 *   redirects  at most three, each checked like the first URL
 *   never      credentials in the URL, proxies from the environment, cookies, .netrc, decompression
 *   limits     bytes, total time, 15 s to connect, 30 s with less than 1 KiB/s
 * URLs may carry secrets (presigned ones do): messages name the host alone, and nothing is logged.
 *
 * Threads  any; a fetcher is read only once made, every call has a connection of its own.
 * Cost     blocks for as long as the transfer takes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

typedef enum vx_fetch_outcome {
    VX_FETCH_REFUSED = VX_CODES_FETCH, /* the URL, or where it leads, is not allowed */
    VX_FETCH_FAILED,                   /* no connection, no 200, or it broke off */
    VX_FETCH_TOO_LARGE,
    VX_FETCH_TOO_SLOW,
    VX_FETCH_WRONG_TYPE, /* a page or a document, by its Content-Type */
    VX_FETCH_CANCELLED,
} vx_fetch_outcome;

typedef struct vx_fetch_params {
    const char *hosts; /* comma separated, "*.example.org" for all below; NULL or "" = any */
    const char
        *private_hosts; /* the same form: allowed, whatever their address; NULL or "" = none */
    bool allow_http;
    int64_t max_bytes; /* of one body */
    double timeout_s;  /* of one call, redirects included */
} vx_fetch_params;

typedef struct vx_fetcher vx_fetcher;

/* Copies what params points to. 0, -ENOMEM, -EIO (libcurl cannot start). */
int vx_fetcher_new(const vx_fetch_params *params, vx_fetcher **ret_fetcher, vx_err *err);
vx_fetcher *vx_fetcher_free(vx_fetcher *fetcher);
VX_DEFINE_AUTO(vx_fetcher, vx_fetcher_free)

/* Takes the body as it comes. Non-zero stops the transfer and is what vx_fetch_get returns. */
typedef int (*vx_fetch_sink)(void *ctx, const void *bytes, size_t n, vx_err *err);

typedef struct vx_fetch_call {
    vx_fetch_sink sink;
    bool (*cancelled)(void *ctx); /* asked about once a second; may be NULL */
    void *ctx;                    /* for both */
} vx_fetch_call;

/* GETs the URL. Returns 0, a vx_fetch_outcome, -errno, or what the sink returned. */
int vx_fetch_get(const vx_fetcher *fetcher, const char *url, const vx_fetch_call *call,
                 vx_err *err);

/* address.c: whether packets to this address leave for the public internet: no private, loopback,
 * link-local, shared (100.64/10), documentation, benchmark, multicast or reserved address, nor an
 * IPv6 one that carries such an IPv4. Other families are not. */
struct sockaddr;
bool vx_fetch_is_public(const struct sockaddr *address);

/* ---- service.c: requests to a service that the operator allowed ---- */

/* Another matter than a URL of a stranger: the hosts are named at start, may have private addresses, get a
 * credential and are sent data. Still: no redirect, no proxy of the environment, no other scheme, TLS with
 * a certificate that is verified. Plain http goes to private addresses alone, so that no credential or data
 * crosses the internet readable. */

/* Whether the operator's list (form: vx_fetch_params.hosts) has this host. */
bool vx_service_allows(const char *hosts, const char *host);

typedef struct vx_service vx_service;

typedef struct vx_service_params { /* copied */
    const char *base;              /* https://host[:port] or http://…, without a path */
    const char
        *headers[2]; /* of every request, such as "Api-Key: …"; NULL: none. Never in a message. */
    size_t max_answer_bytes;
    double timeout_s;    /* of one request */
    const char *ca_path; /* of the certificates that are trusted (PEM); NULL: the machine's */
} vx_service_params;

/* One connection, kept open between requests. 0, -ENOMEM, -EIO, VX_FETCH_REFUSED (the base). */
int vx_service_new(const vx_service_params *params, vx_service **ret_service, vx_err *err);
vx_service *vx_service_free(vx_service *service);
VX_DEFINE_AUTO(vx_service, vx_service_free)

typedef struct vx_service_answer {
    long status;
    char *body; /* NUL-terminated; borrows, until the next request */
    size_t n;
} vx_service_answer;

/* Sends a request with a JSON body (NULL: none) and gives the answer, whatever its status.
 *   method     "GET", "POST", "PUT", "DELETE"
 *   path       with its query, beginning with "/"
 *   cancelled  NULL, or asked about once a second
 * 0, VX_FETCH_REFUSED, _FAILED, _TOO_LARGE, _TOO_SLOW, _CANCELLED, -ENOMEM. Threads: one at a time. */
int vx_service_send(vx_service *service, const char *method, const char *path, const char *body,
                    size_t n_body, bool (*cancelled)(void *ctx), void *ctx,
                    vx_service_answer *ret_answer, vx_err *err);
