#include "api/http/http.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "api/http/connection.h"
#include "api/http/daemon.h"
#include "api/http/dispatch.h"
#include "api/http/events.h"
#include "api/http/origin.h"
#include "api/http/traffic.h"
#include "base/clock.h"
#include "base/log.h"
#include "server/server.h"

/* Memory of one connection: the request head, and a body window of half this size. An upload of 5 MB
 * takes 12.5 ms of CPU time with 64 KiB, 11.1 with 256 KiB, 10.7 with 1 MiB. */
#define CONNECTION_BYTES ((size_t)256 * 1024)
/* Connections beside max_connections, for those that are answered at once: probes, and refusals. */
#define RESERVED_CONNECTIONS 8
/* How long clients that do not wait for work may take to finish when the server stops. */
#define STOP_GRACE_US 3000000

/* ---- The socket ---- */

/* Splits "HOST:PORT" or "[IPv6]:PORT". Gives two malloc'ed strings. */
static int split_address(const char *listen_on, char **ret_host, char **ret_port, vx_err *err) {
    const char *colon = strrchr(listen_on, ':');
    size_t n = colon ? (size_t)(colon - listen_on) : 0;
    const char *host = listen_on;
    if (n > 2 && host[0] == '[' && host[n - 1] == ']')
        host++, n -= 2;
    else if (memchr(host, ':', n))
        n = 0;
    if (!n || strspn(colon + 1, "0123456789") != strlen(colon + 1) || !colon[1] ||
        strtol(colon + 1, NULL, 10) > 65535)
        return VX_FAIL(err, -EINVAL,
                       "cannot listen on \"%s\": give HOST:PORT, for example "
                       "127.0.0.1:8000 or [::1]:8000",
                       listen_on);
    *ret_host = strndup(host, n);
    *ret_port = strdup(colon + 1);
    return *ret_host && *ret_port ? 0 : VX_FAIL(err, -ENOMEM, "out of memory");
}

static int bind_socket(const struct addrinfo *address, const char *listen_on, int *ret_fd,
                       vx_err *err) {
    VX_AUTO_FD int fd =
        socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    if (fd < 0)
        return VX_FAIL_ERRNO(err, "opening a socket for %s", listen_on);
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        return VX_FAIL_ERRNO(err, "preparing the socket for %s", listen_on);
    if (!bind(fd, address->ai_addr, address->ai_addrlen) && !listen(fd, 1024)) {
        *ret_fd = fd;
        fd = -1;
        return 0;
    }
    if (errno != EADDRINUSE)
        return VX_FAIL_ERRNO(err, "cannot listen on %s", listen_on);
    return VX_FAIL(err, -EADDRINUSE,
                   "cannot listen on %s: another program uses this port; stop it, or choose "
                   "another port with --listen",
                   listen_on);
}

static int bound_port(int fd) {
    struct sockaddr_storage address;
    socklen_t n = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &n) < 0)
        return 0;
    return ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
                                              : ((struct sockaddr_in6 *)&address)->sin6_port);
}

static int open_socket(const char *listen_on, int *ret_fd, vx_err *err) {
    VX_AUTO_FREE char *host = NULL;
    VX_AUTO_FREE char *port = NULL;
    int rc = split_address(listen_on, &host, &port, err);
    if (rc)
        return rc;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    int bad = getaddrinfo(host, port, &hints, &found);
    if (bad)
        return VX_FAIL(err, -EINVAL, "cannot listen on %s: %s", listen_on, gai_strerror(bad));
    rc = bind_socket(found, listen_on, ret_fd, err);
    freeaddrinfo(found);
    return rc;
}

/* ---- The daemon ---- */

static void log_mhd(void *cls, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static void log_mhd(void *cls, const char *fmt, va_list ap) {
    (void)cls;
    char text[400];
    vsnprintf(text, sizeof text, fmt, ap);
    text[strcspn(text, "\r\n")] = '\0';
    /* Nearly all of these are about clients that disconnect or send nonsense. */
    char quoted[2 * sizeof text];
    vx_log(VX_LOG_DEBUG, "libmicrohttpd", "message=%s", vx_log_quote(text, quoted, sizeof quoted));
}

/* Raises the limit of open files as far as the system lets this process, and makes the connections fit it.
 * Each needs two descriptors: its socket, and the file that it sends or receives. What is not for
 * connections is for the catalog (some 30 with few cores), models, and the files that are decoded. */
static void fit_descriptors(vx_http_params *params) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0 && getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    rlim_t others = limit.rlim_cur / 8 * 5 < 256 ? limit.rlim_cur / 8 * 5 : 256;
    rlim_t room = (limit.rlim_cur - others) / 2;
    rlim_t fit = room > RESERVED_CONNECTIONS / 2 + 1 ? room - RESERVED_CONNECTIONS / 2 : 1;
    bool too_few = fit < (rlim_t)params->max_connections;
    if (too_few)
        params->max_connections = (int)fit;
    vx_log(too_few ? VX_LOG_WARN : VX_LOG_INFO, "descriptors",
           "open_files=%llu connections=%d for_probes=%d%s", (unsigned long long)limit.rlim_cur,
           params->max_connections, RESERVED_CONNECTIONS,
           too_few ? " hint=\"fewer than --max-connections: raise the limit of open files "
                     "(ulimit -n)\""
                   : "");
}

static int start_daemon(vx_http *http, int fd, vx_err *err) {
    signal(SIGPIPE, SIG_IGN); /* raised by sendfile(2) to a client that has left */
    /* poll and not epoll: with epoll in libmicrohttpd 0.9.75, a pool thread that reaches its share of
     * the connection limit stops answering any of its connections. */
    /* clang-format off */
    http->mhd = MHD_start_daemon(
        MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG,
        0, NULL, NULL, vx_dispatch_on_call, http,
        MHD_OPTION_EXTERNAL_LOGGER, log_mhd, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_THREAD_POOL_SIZE, (unsigned)http->params.threads,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)http->params.max_connections + RESERVED_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)http->params.idle_timeout_s,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES,
        MHD_OPTION_NOTIFY_CONNECTION, vx_connections_notify, http->connections,
        MHD_OPTION_URI_LOG_CALLBACK, vx_dispatch_on_uri, http,
        MHD_OPTION_NOTIFY_COMPLETED, vx_dispatch_on_end, http,
        MHD_OPTION_END);
    /* clang-format on */
    return http->mhd ? 0 : VX_FAIL_ERRNO(err, "starting the HTTP daemon");
}

static void fill_defaults(vx_http_params *params) {
    if (!params->threads)
        params->threads = 8; /* more than cores: a write may wait for the disk */
    if (!params->max_connections)
        params->max_connections = 4096;
    if (!params->idle_timeout_s)
        params->idle_timeout_s = 120;
    if (!params->max_json_bytes)
        params->max_json_bytes = (size_t)1 << 20;
    if (!params->max_embeddings_json_bytes)
        params->max_embeddings_json_bytes = (size_t)32 << 20;
}

static vx_http *http_free(vx_http *http) {
    if (!http)
        return NULL;
    vx_connections_stop(http->connections);
    vx_events_free(http->events);
    vx_traffic_free(http->traffic);
    vx_origins_free(http->origins);
    free(http);
    return NULL;
}

int vx_http_check_params(const vx_http_params *params, vx_err *err) {
    VX_AUTO(vx_origins) origins = NULL;
    return vx_origins_new(params->hosts, params->allow_origin, &origins, err);
}

int vx_http_start(struct vx_server *server, const vx_routes *routes, const vx_http_params *params,
                  vx_http **ret_http, vx_err *err) {
    vx_http *http = vx_new(vx_http);
    if (!http)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    int rc = 0;
    http->server = server;
    http->routes = routes;
    http->params = *params;
    fill_defaults(&http->params);
    fit_descriptors(&http->params);
    http->params.listen = http->params.hosts = http->params.allow_origin = NULL;
    http->traffic = vx_traffic_new(routes->n);
    if (!http->traffic)
        rc = VX_FAIL(err, -ENOMEM, "out of memory");
    if (!rc)
        rc = vx_origins_new(params->hosts, params->allow_origin, &http->origins, err);
    VX_AUTO_FD int fd = -1;
    if (!rc)
        rc = open_socket(params->listen, &fd, err);
    if (!rc)
        rc = vx_events_start(&http->events, err);
    if (!rc)
        rc = vx_connections_start(server, &http->params, &http->connections, err);
    if (!rc)
        rc = start_daemon(http, fd, err);
    if (rc) {
        http_free(http);
        return rc;
    }
    http->port = bound_port(fd);
    fd = -1; /* the daemon owns it now */
    *ret_http = http;
    return 0;
}

static void sleep_ms(int ms) {
    nanosleep(&(struct timespec){.tv_nsec = (long)ms * 1000000}, NULL);
}

vx_http *vx_http_stop(vx_http *http) {
    if (!http)
        return NULL;
    atomic_store(&http->stopping, true);
    vx_server_begin_stop(http->server);
    MHD_socket fd = MHD_quiesce_daemon(http->mhd);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
    vx_events_stop(http->events);
    /* libmicrohttpd must not be stopped while a request is suspended. The work that each waits for
     * wakes it. The other requests depend on their clients, who get a grace period. */
    while (atomic_load(&http->waiting))
        sleep_ms(5);
    int64_t until_us = vx_clock_monotonic_us() + STOP_GRACE_US;
    while (atomic_load(&http->active) && vx_clock_monotonic_us() < until_us)
        sleep_ms(5);
    while (atomic_load(&http->waiting))
        sleep_ms(5);
    MHD_stop_daemon(http->mhd);
    return http_free(http);
}

int vx_http_port(const vx_http *http) {
    return http->port;
}
