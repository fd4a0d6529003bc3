#include "api/request.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "api/body.h"
#include "api/daemon.h"
#include "api/guard.h"
#include "api/heads.h"
#include "api/metrics.h"
#include "api/reply.h"
#include "api/route.h"
#include "api/text.h"
#include "base/clock.h"
#include "base/log.h"
#include "server/server.h"

/* ---- Life ---- */

static vx_request *request_free(vx_request *request) {
    if (request->state_free)
        request->state_free(request->state);
    vx_body_free(request->body, request->http);
    for (size_t i = 0; i < request->n_values; i++) {
        free(request->values[i].name);
        free(request->values[i].text);
    }
    for (int i = 0; i < VX_REQUEST_MAX_ARGS; i++)
        free(request->args[i]);
    if (request->response)
        MHD_destroy_response(request->response);
    free(request->uri);
    free(request);
    return NULL;
}

/* The client's own id when it is harmless in a log and a header, else a random one. */
static void choose_id(vx_request *request) {
    const char *sent = vx_request_header(request, "X-Request-Id");
    static const char accepted[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                   "0123456789._-";
    size_t n = sent ? strlen(sent) : 0;
    if (n >= 1 && n <= VX_REQUEST_ID_CHARS && strspn(sent, accepted) == n) {
        memcpy(request->id, sent, n + 1);
        return;
    }
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        random = (uint64_t)vx_clock_monotonic_us();
    snprintf(request->id, sizeof request->id, "%016llx", (unsigned long long)random);
}

void *vx_request_on_uri(void *cls, const char *uri, struct MHD_Connection *connection) {
    vx_http *http = cls;
    vx_request *request = vx_new(vx_request);
    if (!request)
        return NULL;
    request->http = http;
    request->server = http->server;
    request->connection = connection;
    request->started_us = vx_clock_monotonic_us();
    request->method = "";
    request->uri = strdup(uri);
    if (!request->uri)
        return free(request), NULL;
    atomic_fetch_add(&http->active, 1);
    return request;
}

/* Closing a connection with unread bytes in it destroys the answer on its way to the client (the
 * kernel sends a reset). So an early refusal goes out at once only when no body follows: there is
 * none, or the client waits for 100 Continue. */
static bool may_answer_before_body(const vx_request *request) {
    const char *expect = vx_request_header(request, MHD_HTTP_HEADER_EXPECT);
    return vx_request_content_length(request) == 0 ||
           (expect && !strcasecmp(expect, "100-continue"));
}

static enum MHD_Result on_start(vx_request *request, const char *method) {
    request->method = method;
    request->phase = VX_REQUEST_BODY;
    vx_heads_end(request->connection);
    choose_id(request);
    if (atomic_load(&request->http->stopping))
        vx_reply_problem(request, VX_PROBLEM_STOPPING, NULL);
    else if (vx_guard_check(request))
        vx_route_find(request);
    if (!request->response && !atomic_load(&request->server->ready) &&
        !(request->route->accepts & VX_WHILE_STARTING))
        vx_reply_problem(request, VX_PROBLEM_NOT_READY, NULL);
    if (!request->response && vx_request_parse_query(request))
        vx_body_begin(request);
    if (request->response && may_answer_before_body(request))
        return vx_reply_send(request);
    return request->failed ? MHD_NO : MHD_YES;
}

/* The idle timeout only ends what stands still: a byte now and then would hold a connection, and the
 * file its body goes to, for ever. */
static bool is_too_slow(const vx_request *request) {
    enum { SLOWEST_BYTES_PER_S = 256 };
    int64_t s = (vx_clock_monotonic_us() - request->started_us) / 1000000;
    return s > request->http->params.idle_timeout_s &&
           request->body_bytes < s * SLOWEST_BYTES_PER_S;
}

static enum MHD_Result on_body(vx_request *request, const char *bytes, size_t *n) {
    if (*n) {
        request->body_bytes += (int64_t)*n;
        if (is_too_slow(request)) {
            vx_log(VX_LOG_WARN, "slow",
                   "request_id=%s in=%lld message=\"closed, as its body came too "
                   "slowly\"",
                   request->id, (long long)request->body_bytes);
            return MHD_NO;
        }
        if (!request->response)
            vx_body_feed(request, bytes, *n);
        *n = 0;
        return request->failed ? MHD_NO : MHD_YES;
    }
    if (!request->response)
        vx_body_end(request);
    if (!request->response && !request->failed)
        request->route->run(request);
    return request->phase == VX_REQUEST_WAITING ? MHD_YES : vx_reply_send(request);
}

enum MHD_Result vx_request_on_call(void *http, struct MHD_Connection *connection, const char *url,
                                   const char *method, const char *version, const char *upload_data,
                                   size_t *upload_data_size, void **slot) {
    (void)http, (void)connection, (void)url, (void)version;
    vx_request *request = *slot;
    if (!request)
        return MHD_NO; /* no memory for it */
    switch (request->phase) {
    case VX_REQUEST_START:
        return on_start(request, method);
    case VX_REQUEST_BODY:
        return on_body(request, upload_data, upload_data_size);
    case VX_REQUEST_WAITING:
        request->finish(request);
        return vx_reply_send(request);
    case VX_REQUEST_ANSWERED:
        break;
    }
    return MHD_NO;
}

static void log_access(const vx_request *request, int64_t us) {
    char path[512];
    size_t n = strcspn(request->uri, "?");
    char *only_path = strndup(request->uri, n < 400 ? n : 400);
    vx_log(VX_LOG_INFO, "http",
           "method=%s path=%s status=%u ms=%.1f in=%lld out=%lld request_id=%s", request->method,
           vx_log_quote(only_path ? only_path : "", path, sizeof path), request->status,
           (double)us / 1000.0, (long long)request->body_bytes, (long long)request->reply_bytes,
           request->id);
    free(only_path);
}

void vx_request_on_end(void *cls, struct MHD_Connection *connection, void **slot,
                       enum MHD_RequestTerminationCode code) {
    vx_http *http = cls;
    vx_request *request = *slot;
    vx_heads_begin(connection);
    if (!request)
        return;
    int64_t us = vx_clock_monotonic_us() - request->started_us;
    /* 499 as proxies log it: the client left before an answer. Status 0 never reached routing. */
    if (request->phase != VX_REQUEST_ANSWERED && code != MHD_REQUEST_TERMINATED_COMPLETED_OK)
        request->status = VX_STATUS_CLIENT_LEFT;
    vx_traffic_count(http->traffic, request->route, request->status, us);
    log_access(request, us);
    *slot = NULL;
    request_free(request);
    atomic_fetch_sub(&http->active, 1);
}

void vx_request_wait(vx_request *request, void (*finish)(vx_request *request)) {
    request->finish = finish;
    request->phase = VX_REQUEST_WAITING;
    atomic_fetch_add(&request->http->waiting, 1);
    MHD_suspend_connection(request->connection);
}

void vx_request_wake(vx_request *request) {
    vx_http *http = request->http; /* the request may be gone as soon as it is resumed */
    MHD_resume_connection(request->connection);
    atomic_fetch_sub(&http->waiting, 1);
}

/* ---- Headers and values ---- */

const char *vx_request_header(const vx_request *request, const char *name) {
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

int64_t vx_request_content_length(const vx_request *request) {
    if (vx_request_header(request, MHD_HTTP_HEADER_TRANSFER_ENCODING))
        return -1;
    const char *length = vx_request_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return length ? strtoll(length, NULL, 10) : 0; /* libmicrohttpd has judged the digits */
}

bool vx_word_in(const char *list, const char *word) {
    size_t n = strlen(word);
    for (const char *p = list; n && p; p = strchr(p, ' ')) {
        p += *p == ' ';
        if (!strncmp(p, word, n) && (p[n] == ' ' || !p[n]))
            return true;
    }
    return false;
}

const char *vx_request_value(const vx_request *request, const char *name) {
    for (size_t i = 0; i < request->n_values; i++)
        if (!strcmp(request->values[i].name, name))
            return request->values[i].text;
    return NULL;
}

const char *vx_word_list(const char *words, char *buffer, size_t capacity) {
    size_t n = 0;
    for (; *words && n + 3 < capacity; words++) {
        if (*words == ' ')
            buffer[n++] = ',';
        buffer[n++] = *words;
    }
    buffer[n] = '\0';
    return buffer;
}

bool vx_request_add_value(vx_request *request, const char *allowed, const char *name, char *text) {
    VX_AUTO_FREE char *owned = text;
    char shown[80], known[160];
    if (!allowed || !vx_word_in(allowed, name) || strchr(name, ' ')) {
        vx_reply_problem(request, VX_PROBLEM_UNKNOWN_PARAMETER,
                         "There is no parameter %s here; %s%s.",
                         vx_log_quote(name, shown, sizeof shown),
                         allowed && *allowed ? "known are: " : "this address takes none",
                         vx_word_list(allowed ? allowed : "", known, sizeof known));
        return false;
    }
    if (vx_request_value(request, name)) {
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER, "%s is given twice.", name);
        return false;
    }
    /* Unknown and repeated names are refused, so the table cannot overflow unless a route grows. */
    char *copy = request->n_values < VX_REQUEST_MAX_VALUES ? strdup(name) : NULL;
    if (!copy) {
        request->failed = true;
        return false;
    }
    request->values[request->n_values++] = (vx_value){.name = copy, .text = vx_take(owned)};
    return true;
}

static bool add_pair(vx_request *request, const char *pair, size_t n) {
    const char *equals = memchr(pair, '=', n);
    size_t n_name = equals ? (size_t)(equals - pair) : n;
    VX_AUTO_FREE char *name = vx_percent_decode(pair, n_name, true);
    char *text = equals ? vx_percent_decode(equals + 1, n - n_name - 1, true) : strdup("");
    if (!name || !text) {
        free(text);
        vx_reply_problem(request, VX_PROBLEM_BAD_URI,
                         "The query part of the address is not percent-encoded UTF-8.");
        return false;
    }
    return vx_request_add_value(request, request->route->params, name, text);
}

bool vx_request_parse_query(vx_request *request) {
    const char *p = strchr(request->uri, '?');
    while (p && *p) {
        p++; /* over ? or & */
        size_t n = strcspn(p, "&");
        if (n && !add_pair(request, p, n))
            return false;
        p += n;
    }
    return true;
}

/* ---- Typed values ---- */

bool vx_request_int(vx_request *request, const char *name, int64_t low, int64_t high,
                    int64_t fallback, int64_t *ret_value) {
    const char *text = vx_request_value(request, name);
    *ret_value = fallback;
    if (!text)
        return true;
    char *end, shown[64];
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool digits =
        isdigit((unsigned char)*text) || (*text == '-' && isdigit((unsigned char)text[1]));
    if (!digits || *end || errno || value < low || value > high) {
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                         "%s must be a whole number from %lld to %lld, not %s.", name,
                         (long long)low, (long long)high, vx_log_quote(text, shown, sizeof shown));
        return false;
    }
    *ret_value = value;
    return true;
}

bool vx_request_number(vx_request *request, const char *name, double low, double high,
                       double fallback, double *ret_value) {
    const char *text = vx_request_value(request, name);
    *ret_value = fallback;
    if (!text)
        return true;
    char *end, shown[64];
    double value = strtod(text, &end);
    /* strtod also takes "inf", "nan", hexadecimal and leading blanks: none is meant here. */
    bool digits = *text && strspn(text, "0123456789+-.eE") == strlen(text);
    if (!digits || *end || !isfinite(value) || value < low || value > high) {
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                         "%s must be a number from %g to %g, not %s.", name, low, high,
                         vx_log_quote(text, shown, sizeof shown));
        return false;
    }
    *ret_value = value;
    return true;
}

bool vx_request_choice(vx_request *request, const char *name, const char *words, int fallback,
                       int *ret_index) {
    const char *text = vx_request_value(request, name);
    *ret_index = fallback;
    if (!text)
        return true;
    int index = 0;
    for (const char *p = words; *p; index++) {
        size_t n = strcspn(p, " ");
        if (n == strlen(text) && !strncmp(p, text, n)) {
            *ret_index = index;
            return true;
        }
        p += n + (p[n] == ' ');
    }
    char shown[64], known[160];
    vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER, "%s must be one of: %s; not %s.", name,
                     vx_word_list(words, known, sizeof known),
                     vx_log_quote(text, shown, sizeof shown));
    return false;
}
