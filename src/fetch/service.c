/* service.c — JSON over HTTP to a service that the operator allowed, through one kept connection. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "fetch.h"
#include "fetch_internal.h"

enum { CONNECT_MS = 10000 };

struct vx_service {
    CURL *curl;
    struct curl_slist *headers;
    char *base, *ca_path; /* owned */
    char host[256];
    bool is_plain;
    size_t max_answer_bytes;
    double timeout_s;

    /* of the request that runs */
    char *answer; /* owned */
    size_t n, capacity;
    bool (*cancelled)(void *ctx);
    void *ctx;
    bool address_refused, too_large, was_cancelled, no_memory;
};

bool vx_service_allows(const char *hosts, const char *host) {
    return hosts && vx_fetch_lists(hosts, host);
}

vx_service *vx_service_free(vx_service *service) {
    if (!service)
        return NULL;
    curl_easy_cleanup(service->curl);
    curl_slist_free_all(service->headers);
    free(service->base);
    free(service->ca_path);
    free(service->answer);
    free(service);
    return NULL;
}

static bool add_header(vx_service *service, const char *header) {
    struct curl_slist *longer = curl_slist_append(service->headers, header);
    if (longer)
        service->headers = longer;
    return longer != NULL;
}

static int read_base(vx_service *service, const char *base, vx_err *err) {
    CURLU *url = curl_url();
    char *scheme = NULL, *host = NULL;
    bool fine = url && !curl_url_set(url, CURLUPART_URL, base, 0) &&
                !curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) &&
                !curl_url_get(url, CURLUPART_HOST, &host, 0) &&
                (!strcmp(scheme, "https") || !strcmp(scheme, "http")) && *host &&
                strlen(host) < sizeof service->host;
    if (fine) {
        strcpy(service->host, host);
        service->is_plain = !strcmp(scheme, "http");
    }
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(url);
    return fine ? 0 : VX_FAIL(err, VX_FETCH_REFUSED, "not a valid address of a service");
}

int vx_service_new(const vx_service_params *params, vx_service **ret_service, vx_err *err) {
    int rc = vx_fetch_start(err);
    if (rc)
        return rc;
    VX_AUTO(vx_service) service = vx_new(vx_service);
    if (!service || !(service->base = strdup(params->base)) ||
        (params->ca_path && !(service->ca_path = strdup(params->ca_path))) ||
        !(service->curl = curl_easy_init()) ||
        !add_header(service, "Content-Type: application/json") ||
        !add_header(service, "Accept: application/json") || !add_header(service, "Expect:") ||
        (params->headers[0] && !add_header(service, params->headers[0])) ||
        (params->headers[1] && !add_header(service, params->headers[1])))
        return VX_FAIL(err, -ENOMEM, "no memory for a connection");
    service->max_answer_bytes = params->max_answer_bytes;
    service->timeout_s = params->timeout_s;
    rc = read_base(service, params->base, err);
    if (!rc)
        *ret_service = vx_take(service);
    return rc;
}

/* ---- libcurl's callbacks ---- */

static curl_socket_t on_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address) {
    vx_service *service = ctx;
    (void)purpose;
    if (service->is_plain && vx_fetch_is_public(&address->addr)) {
        service->address_refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t on_bytes(char *bytes, size_t one, size_t n, void *ctx) {
    vx_service *service = ctx;
    (void)one;
    if (n > service->max_answer_bytes - service->n) {
        service->too_large = true;
        return 0;
    }
    if (service->n + n + 1 > service->capacity) {
        size_t capacity = 2 * (service->n + n + 1);
        char *grown = vx_regrow(service->answer, capacity, 1);
        if (!grown) {
            service->no_memory = true;
            return 0;
        }
        service->answer = grown;
        service->capacity = capacity;
    }
    memcpy(service->answer + service->n, bytes, n);
    service->n += n;
    service->answer[service->n] = 0;
    return n;
}

static int on_progress(void *ctx, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up_now) {
    vx_service *service = ctx;
    (void)total, (void)now, (void)up_total, (void)up_now;
    service->was_cancelled = service->cancelled && service->cancelled(service->ctx);
    return service->was_cancelled;
}

/* ---- one request ---- */

#define SET(option, value)                                                                         \
    if (curl_easy_setopt(service->curl, (option), (value)) != CURLE_OK)                            \
    return VX_FAIL(err, -EIO, "libcurl does not take %s", #option)

static int prepare(vx_service *service, const char *method, const char *url, const char *body,
                   size_t n_body, vx_err *err) {
    curl_easy_reset(service->curl); /* keeps the connection */
    SET(CURLOPT_URL, url);
    SET(CURLOPT_CUSTOMREQUEST, method);
    SET(CURLOPT_PROTOCOLS_STR, service->is_plain ? "http" : "https");
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_USERAGENT, "vidx/" VX_VERSION);
    SET(CURLOPT_HTTPHEADER, service->headers);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
    SET(CURLOPT_OPENSOCKETDATA, service);
    SET(CURLOPT_WRITEFUNCTION, on_bytes);
    SET(CURLOPT_WRITEDATA, service);
    SET(CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(CURLOPT_XFERINFODATA, service);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_TIMEOUT_MS, (long)(service->timeout_s * 1000));
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    if (service->ca_path)
        SET(CURLOPT_CAINFO, service->ca_path);
    if (body) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n_body);
        SET(CURLOPT_POSTFIELDS, body);
    }
    return 0;
}

static int explain(const vx_service *service, CURLcode code, vx_err *err) {
    if (service->address_refused)
        return VX_FAIL(err, VX_FETCH_REFUSED,
                       "%.80s has a public address: without TLS only private addresses are used",
                       service->host);
    if (service->was_cancelled)
        return VX_FAIL(err, VX_FETCH_CANCELLED, "cancelled");
    if (service->too_large)
        return VX_FAIL(err, VX_FETCH_TOO_LARGE, "%.80s answers with more than %zu bytes",
                       service->host, service->max_answer_bytes);
    if (service->no_memory || code == CURLE_OUT_OF_MEMORY)
        return VX_FAIL(err, -ENOMEM, "no memory for an answer");
    if (code == CURLE_OPERATION_TIMEDOUT)
        return VX_FAIL(err, VX_FETCH_TOO_SLOW, "%.80s was too slow", service->host);
    return code
               ? VX_FAIL(err, VX_FETCH_FAILED, "%.80s: %s", service->host, curl_easy_strerror(code))
               : 0;
}

int vx_service_send(vx_service *service, const char *method, const char *path, const char *body,
                    size_t n_body, bool (*cancelled)(void *ctx), void *ctx,
                    vx_service_answer *ret_answer, vx_err *err) {
    VX_AUTO_FREE char *url = NULL;
    if (asprintf(&url, "%s%s", service->base, path) < 0) {
        url = NULL;
        return VX_FAIL(err, -ENOMEM, "no memory for a URL");
    }
    service->n = 0;
    service->cancelled = cancelled;
    service->ctx = ctx;
    service->address_refused = service->too_large = service->was_cancelled = service->no_memory =
        false;
    int rc = prepare(service, method, url, body, n_body, err);
    if (!rc)
        rc = explain(service, curl_easy_perform(service->curl), err);
    if (rc)
        return rc;
    static char nothing[1] = "";
    *ret_answer =
        (vx_service_answer){.body = service->n ? service->answer : nothing, .n = service->n};
    curl_easy_getinfo(service->curl, CURLINFO_RESPONSE_CODE, &ret_answer->status);
    return 0;
}
