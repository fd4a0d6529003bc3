/* fetch.c — one transfer at a time through libcurl, which follows no redirect by itself: each hop
 * comes back here and is checked like the first. */
#include "fetch.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "fetch_internal.h"

enum { MAX_REDIRECTS = 3, CONNECT_MS = 15000, SLOW_S = 30, SLOW_BYTES_PER_S = 1024 };

struct vx_fetcher {
    char *hosts, *private_hosts;
    bool allow_http;
    int64_t max_bytes;
    double timeout_s;
};

/* One call of vx_fetch_get, over its hops. */
typedef struct transfer {
    const vx_fetcher *fetcher;
    const vx_fetch_call *call;
    CURL *curl;
    vx_err *err;
    char host[256]; /* of this hop */
    bool may_be_private;
    bool address_refused;
    bool is_body; /* this hop's answer is a 200 that is wanted */
    int64_t n_bytes;
    int rc; /* why a callback stopped libcurl */
} transfer;

vx_fetcher *vx_fetcher_free(vx_fetcher *fetcher) {
    if (!fetcher)
        return NULL;
    free(fetcher->hosts);
    free(fetcher->private_hosts);
    free(fetcher);
    return NULL;
}

int vx_fetcher_new(const vx_fetch_params *params, vx_fetcher **ret_fetcher, vx_err *err) {
    int rc = vx_fetch_start(err);
    if (rc)
        return rc;
    VX_AUTO(vx_fetcher) fetcher = vx_new(vx_fetcher);
    if (!fetcher)
        return VX_FAIL(err, -ENOMEM, "no memory for a fetcher");
    fetcher->allow_http = params->allow_http;
    fetcher->max_bytes = params->max_bytes;
    fetcher->timeout_s = params->timeout_s;
    fetcher->hosts = strdup(params->hosts ? params->hosts : "");
    fetcher->private_hosts = strdup(params->private_hosts ? params->private_hosts : "");
    if (!fetcher->hosts || !fetcher->private_hosts)
        return VX_FAIL(err, -ENOMEM, "no memory for a fetcher");
    *ret_fetcher = vx_take(fetcher);
    return 0;
}

/* ---- what is allowed ---- */

static int check_url_parts(transfer *t, CURLU *url) {
    const vx_fetcher *f = t->fetcher;
    char *scheme = NULL, *host = NULL, *user = NULL, *password = NULL;
    int rc = 0;
    bool has_secret = curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_OK ||
                      curl_url_get(url, CURLUPART_PASSWORD, &password, 0) == CURLUE_OK;
    if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) ||
        (strcmp(scheme, "https") && (strcmp(scheme, "http") || !f->allow_http)))
        rc = VX_FAIL(t->err, VX_FETCH_REFUSED, "the URL's scheme must be https%s",
                     f->allow_http ? " or http" : "");
    else if (curl_url_get(url, CURLUPART_HOST, &host, 0) || !*host ||
             strlen(host) >= sizeof t->host)
        rc = VX_FAIL(t->err, VX_FETCH_REFUSED, "the URL names no host");
    else if (has_secret)
        rc = VX_FAIL(t->err, VX_FETCH_REFUSED, "the URL must not hold a user name or password");
    if (!rc) {
        strcpy(t->host, host);
        t->may_be_private = vx_fetch_lists(f->private_hosts, host);
        if (*f->hosts && !vx_fetch_lists(f->hosts, host) && !t->may_be_private)
            rc = VX_FAIL(t->err, VX_FETCH_REFUSED,
                         "the host %.80s is not among those that this server fetches from", host);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_free(password);
    return rc;
}

static int check_url(transfer *t, const char *text) {
    CURLU *url = curl_url();
    if (!url)
        return VX_FAIL(t->err, -ENOMEM, "no memory for a URL");
    int rc = curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME)
                 ? VX_FAIL(t->err, VX_FETCH_REFUSED, "not a valid URL")
                 : check_url_parts(t, url);
    curl_url_cleanup(url);
    return rc;
}

/* ---- libcurl's callbacks ---- */

static curl_socket_t on_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address) {
    transfer *t = ctx;
    (void)purpose;
    if (!t->may_be_private && !vx_fetch_is_public(&address->addr)) {
        t->address_refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Pages of errors and logins come with a 200, too. */
static bool is_document(const char *type) {
    static const char *const types[] = {"text/", "application/json", "application/xml",
                                        "application/xhtml"};
    for (size_t i = 0; type && i < VX_LEN(types); i++)
        if (!strncasecmp(type, types[i], strlen(types[i])))
            return true;
    return false;
}

static int check_answer(transfer *t) {
    long status = 0;
    char *type = NULL;
    curl_off_t length = -1;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(t->curl, CURLINFO_CONTENT_TYPE, &type);
    curl_easy_getinfo(t->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (status != 200)
        return 0; /* its body is thrown away, see run() */
    if (is_document(type))
        return VX_FAIL(t->err, VX_FETCH_WRONG_TYPE, "%.80s answers %.40s, not a video", t->host,
                       type);
    if (length > t->fetcher->max_bytes)
        return VX_FAIL(t->err, VX_FETCH_TOO_LARGE, "%.80s announces %lld bytes, %lld are allowed",
                       t->host, (long long)length, (long long)t->fetcher->max_bytes);
    t->is_body = true;
    return 0;
}

static size_t on_bytes(char *bytes, size_t one, size_t n, void *ctx) {
    transfer *t = ctx;
    (void)one;
    if (!t->n_bytes)
        t->rc = check_answer(t);
    t->n_bytes += (int64_t)n;
    if (!t->rc && t->n_bytes > t->fetcher->max_bytes)
        t->rc = VX_FAIL(t->err, VX_FETCH_TOO_LARGE, "%.80s sends more than %lld bytes", t->host,
                        (long long)t->fetcher->max_bytes);
    if (!t->rc && t->is_body)
        t->rc = t->call->sink(t->call->ctx, bytes, n, t->err);
    return t->rc ? 0 : n;
}

static int on_progress(void *ctx, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up_now) {
    transfer *t = ctx;
    (void)total, (void)now, (void)up_total, (void)up_now;
    if (!t->rc && t->call->cancelled && t->call->cancelled(t->call->ctx))
        t->rc = VX_FAIL(t->err, VX_FETCH_CANCELLED, "cancelled");
    return t->rc != 0;
}

/* ---- one hop ---- */

#define SET(option, value)                                                                         \
    if (curl_easy_setopt(t->curl, (option), (value)) != CURLE_OK)                                  \
    return VX_FAIL(t->err, -EIO, "libcurl does not take %s", #option)

static int prepare(transfer *t, const char *url, long timeout_ms) {
    curl_easy_reset(t->curl);
    SET(CURLOPT_URL, url);
    SET(CURLOPT_PROTOCOLS_STR, t->fetcher->allow_http ? "https,http" : "https");
    SET(CURLOPT_PROXY, ""); /* none, whatever the environment says */
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_USERAGENT, "vidx/" VX_VERSION);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
    SET(CURLOPT_OPENSOCKETDATA, t);
    SET(CURLOPT_WRITEFUNCTION, on_bytes);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(CURLOPT_XFERINFODATA, t);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_TIMEOUT_MS, timeout_ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    SET(CURLOPT_LOW_SPEED_TIME, (long)SLOW_S);
    SET(CURLOPT_LOW_SPEED_LIMIT, (long)SLOW_BYTES_PER_S);
    return 0;
}

/* Why libcurl gave up, in our words. */
static int explain(transfer *t, CURLcode code) {
    if (t->rc)
        return t->rc;
    if (t->address_refused)
        return VX_FAIL(t->err, VX_FETCH_REFUSED, "the host %.80s has no public address", t->host);
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_OPERATION_TIMEDOUT:
        return VX_FAIL(t->err, VX_FETCH_TOO_SLOW, "%.80s was too slow", t->host);
    case CURLE_OUT_OF_MEMORY:
        return VX_FAIL(t->err, -ENOMEM, "no memory for a transfer");
    default:
        return VX_FAIL(t->err, VX_FETCH_FAILED, "fetching from %.80s: %s", t->host,
                       curl_easy_strerror(code));
    }
}

/* *ret_next: where this hop points on to, for the caller to free; NULL when the body is complete. */
static int run_hop(transfer *t, const char *url, long timeout_ms, char **ret_next) {
    int rc = check_url(t, url);
    if (!rc)
        rc = prepare(t, url, timeout_ms);
    if (rc)
        return rc;
    t->n_bytes = 0;
    t->address_refused = false;
    rc = explain(t, curl_easy_perform(t->curl));
    if (!rc && !t->n_bytes)
        rc = check_answer(t);
    if (rc || t->is_body)
        return rc;
    long status = 0;
    char *next = NULL;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(t->curl, CURLINFO_REDIRECT_URL, &next);
    if (!next)
        return VX_FAIL(t->err, VX_FETCH_FAILED, "%.80s answers %ld", t->host, status);
    *ret_next = strdup(next);
    return *ret_next ? 0 : VX_FAIL(t->err, -ENOMEM, "no memory for a URL");
}

int vx_fetch_get(const vx_fetcher *fetcher, const char *url, const vx_fetch_call *call,
                 vx_err *err) {
    vx_err unread;
    transfer t = {.fetcher = fetcher, .call = call, .err = err ? err : &unread};
    double timeout_s = fmin(fetcher->timeout_s, 1e9); /* what a number of µs can hold, and a long */
    int64_t end_us = vx_clock_monotonic_us() + (int64_t)(timeout_s * 1e6);
    VX_AUTO_FREE char *at = strdup(url);
    t.curl = curl_easy_init();
    int rc = at && t.curl ? 0 : VX_FAIL(t.err, -ENOMEM, "no memory for a transfer");
    for (int hop = 0; !rc && at; hop++) {
        char *next = NULL;
        long left_ms = (long)((end_us - vx_clock_monotonic_us()) / 1000);
        if (hop > MAX_REDIRECTS)
            rc = VX_FAIL(t.err, VX_FETCH_REFUSED, "more than %d redirects", MAX_REDIRECTS);
        else if (left_ms <= 0)
            rc = VX_FAIL(t.err, VX_FETCH_TOO_SLOW, "%.80s was too slow", t.host);
        else
            rc = run_hop(&t, at, left_ms, &next);
        free(at);
        at = next;
    }
    curl_easy_cleanup(t.curl);
    return rc;
}
