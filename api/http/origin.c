#include "api/http/origin.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "api/http/daemon.h"
#include "api/http/reply.h"
#include "api/http/text.h"
#include "base/log.h"

struct vx_origins {
    char **hosts; /* owned; [n_hosts] names */
    size_t n_hosts, room_hosts;
    size_t n_public; /* the first of them: those of --host */
    char **origins;  /* owned; [n_origins] "scheme://host[:port]" without the default port */
    size_t n_origins, room_origins;
    bool any; /* every origin */
};

/* ---- Hosts and ports ---- */

/* Length of the host in host[:port]; an IPv6 address keeps its brackets. */
static size_t host_length(const char *authority) {
    if (*authority == '[') {
        const char *close = strchr(authority, ']');
        return close ? (size_t)(close - authority) + 1 : strlen(authority);
    }
    return strcspn(authority, ":");
}

static bool is_port(const char *text) {
    return strspn(text, "0123456789") == strlen(text) && strlen(text) <= 5;
}

static bool is_address(const char *host, size_t n) {
    char text[64];
    unsigned char bytes[16];
    bool v6 = n > 2 && host[0] == '[' && host[n - 1] == ']';
    if (v6)
        host++, n -= 2;
    if (n >= sizeof text)
        return false;
    memcpy(text, host, n);
    text[n] = '\0';
    return inet_pton(v6 ? AF_INET6 : AF_INET, text, bytes) == 1;
}

static bool is_name(const char *host, size_t n) {
    if (!n || n > 253)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)host[i]) && !strchr("-._", host[i]))
            return false;
    return host[0] != '.' && host[0] != '-';
}

/* The host of "http://host[:port]" or "https://…"; NULL if it is not an origin of the web. */
static const char *authority_of(const char *origin) {
    if (!strncasecmp(origin, "http://", 7))
        return origin + 7;
    return strncasecmp(origin, "https://", 8) ? NULL : origin + 8;
}

/* Length of an origin without the default port of its scheme, which browsers leave out. */
static size_t origin_length(const char *origin) {
    size_t n = strlen(origin);
    const char *port = tolower((unsigned char)origin[4]) == 's' ? ":443" : ":80";
    size_t n_port = strlen(port);
    return n > n_port && !strcmp(origin + n - n_port, port) ? n - n_port : n;
}

/* ---- Settings ---- */

static int add_host(vx_origins *o, const char *host, size_t n, vx_err *err) {
    if (n > 1 && host[n - 1] == '.')
        n--; /* the root of DNS */
    char *copy = strndup(host, n);
    if (!copy || !vx_make_room(o->hosts, o->n_hosts, o->room_hosts)) {
        free(copy);
        return VX_FAIL(err, -ENOMEM, "out of memory");
    }
    o->hosts[o->n_hosts++] = copy;
    return 0;
}

static int read_host(vx_origins *o, const char *host, vx_err *err) {
    size_t n = strlen(host);
    if (!is_name(host, n) && !is_address(host, n))
        return VX_FAIL(err, -EINVAL,
                       "--host: '%s' is not a host name. Give names without scheme and port, for "
                       "example videos.example.com",
                       host);
    return add_host(o, host, n, err);
}

static int read_origin(vx_origins *o, const char *origin, vx_err *err) {
    if (!strcmp(origin, "*")) {
        o->any = true;
        return 0;
    }
    const char *authority = authority_of(origin);
    size_t n = authority ? host_length(authority) : 0;
    const char *port = authority ? authority + n : "";
    if (!(n && (is_name(authority, n) || is_address(authority, n))) ||
        (*port && (*port != ':' || !port[1] || !is_port(port + 1))))
        return VX_FAIL(err, -EINVAL,
                       "--allow-origin: '%s' is not an origin. Give https://HOST or "
                       "https://HOST:PORT without a path, several separated by commas, or * for "
                       "every site",
                       origin);
    char *copy = strndup(origin, origin_length(origin));
    if (!copy || !vx_make_room(o->origins, o->n_origins, o->room_origins)) {
        free(copy);
        return VX_FAIL(err, -ENOMEM, "out of memory");
    }
    o->origins[o->n_origins++] = copy;
    return add_host(o, authority, n, err);
}

static int read_list(vx_origins *o, const char *list,
                     int (*read)(vx_origins *, const char *, vx_err *), vx_err *err) {
    VX_AUTO_FREE char *copy = strdup(list ? list : "");
    if (!copy)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    int rc = 0;
    char *rest = copy;
    for (char *word; !rc && list && (word = strsep(&rest, ","));) {
        word += strspn(word, " ");
        size_t n = strlen(word);
        while (n && word[n - 1] == ' ')
            word[--n] = '\0';
        rc = read(o, word, err);
    }
    return rc;
}

int vx_origins_new(const char *hosts, const char *origins, vx_origins **ret_origins, vx_err *err) {
    VX_AUTO(vx_origins) o = vx_new(vx_origins);
    if (!o)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    int rc = read_list(o, hosts, read_host, err);
    o->n_public = o->n_hosts;
    if (!rc)
        rc = read_list(o, origins, read_origin, err);
    if (!rc)
        *ret_origins = vx_take(o);
    return rc;
}

vx_origins *vx_origins_free(vx_origins *o) {
    if (!o)
        return NULL;
    for (size_t i = 0; i < o->n_hosts; i++)
        free(o->hosts[i]);
    for (size_t i = 0; i < o->n_origins; i++)
        free(o->origins[i]);
    free(o->hosts);
    free(o->origins);
    free(o);
    return NULL;
}

/* ---- Requests ---- */

/* Whether the host is among the first n_hosts names. */
static bool is_known_host(const vx_origins *o, size_t n_hosts, const char *host, size_t n) {
    if (n > 1 && host[n - 1] == '.')
        n--;
    for (size_t i = 0; i < n_hosts; i++)
        if (strlen(o->hosts[i]) == n && !strncasecmp(o->hosts[i], host, n))
            return true;
    return false;
}

static bool is_permitted_origin(const vx_origins *o, const char *origin) {
    size_t n = authority_of(origin) ? origin_length(origin) : strlen(origin);
    for (size_t i = 0; i < o->n_origins; i++)
        if (strlen(o->origins[i]) == n && !strncasecmp(o->origins[i], origin, n))
            return true;
    return o->any;
}

static enum MHD_Result count_value(void *ctx, enum MHD_ValueKind kind, const char *key,
                                   const char *value) {
    (void)kind, (void)value;
    *(int *)ctx += !strcasecmp(key, MHD_HTTP_HEADER_HOST);
    return MHD_YES;
}

static bool check_host(vx_request *request) {
    int n_hosts = 0;
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, count_value, &n_hosts);
    if (n_hosts > 1 || (!n_hosts && !request->is_http_1_0)) { /* RFC 9112, 3.2 */
        vx_reply_problem(request, VX_PROBLEM_BAD_REQUEST, "The request has %s Host header%s.",
                         n_hosts ? "several" : "no", n_hosts ? "s" : "");
        return false;
    }
    const char *host = vx_request_authority(request);
    if (!host)
        return true;
    size_t n = host_length(host);
    bool well_formed = !host[n] || (host[n] == ':' && is_port(host + n + 1));
    bool local = (n == 9 || n == 10) && !strncasecmp(host, "localhost.", n);
    const vx_origins *o = request->http->origins;
    if (well_formed && (local || is_address(host, n) || is_known_host(o, o->n_hosts, host, n)))
        return true;
    char shown[300];
    vx_reply_problem(request, VX_PROBLEM_HOST_NOT_ALLOWED,
                     "The server does not answer to the name %s.",
                     vx_log_quote(host, shown, sizeof shown));
    return false;
}

/* A page of this server: its origin has the host and port of the request, or a public name that the
 * operator gave (a proxy in front may change Host). */
static bool is_own_origin(const vx_request *request, const char *origin) {
    const char *host = vx_request_authority(request);
    const char *authority = authority_of(origin);
    if (!authority)
        return false;
    if (host && !strcasecmp(authority, host))
        return true;
    size_t n = host_length(authority);
    const vx_origins *o = request->http->origins;
    return !authority[n] && is_known_host(o, o->n_public, authority, n);
}

static bool check_origin(vx_request *request) {
    if (vx_word_in("GET HEAD OPTIONS", request->method))
        return true;
    const char *origin = vx_request_header(request, MHD_HTTP_HEADER_ORIGIN);
    const char *site = vx_request_header(request, "Sec-Fetch-Site");
    bool allowed;
    if (origin)
        allowed =
            is_permitted_origin(request->http->origins, origin) || is_own_origin(request, origin);
    else
        allowed = !site || !strcmp(site, "same-origin") || !strcmp(site, "none");
    if (!allowed)
        vx_reply_problem(request, VX_PROBLEM_CROSS_ORIGIN, NULL);
    return allowed;
}

bool vx_origin_check(vx_request *request) {
    return check_host(request) && check_origin(request);
}

void vx_origin_add_headers(vx_request *request) {
    const vx_origins *o = request->http->origins;
    const char *origin = vx_request_header(request, MHD_HTTP_HEADER_ORIGIN);
    if (!o->any && !o->n_origins) {
        vx_reply_header(request, "Cross-Origin-Resource-Policy", "same-origin");
        return;
    }
    if (!o->any) /* the reply depends on it, for caches */
        vx_reply_header(request, MHD_HTTP_HEADER_VARY, "Origin");
    if (!origin || !is_permitted_origin(o, origin))
        return;
    /* Without Access-Control-Allow-Credentials: the API has no cookies. */
    vx_reply_header(request, "Access-Control-Allow-Origin", o->any ? "*" : origin);
    vx_reply_header(request, "Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE");
    vx_reply_header(request, "Access-Control-Allow-Headers",
                    "Authorization, Content-Type, Last-Event-ID, Range, X-Request-Id");
    vx_reply_header(request, "Access-Control-Expose-Headers",
                    "Content-Range, ETag, Location, Retry-After, X-Request-Id");
}
