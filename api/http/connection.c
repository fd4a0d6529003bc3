#include "api/http/connection.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "server/server.h"

#define CHECK_INTERVAL_US 1000000
#define IDLE_US 1000000 /* after this a connection without a request may be closed to make room */
#define ASK_AFTER_US 2000000 /* a client has ended what it sends */

typedef struct connection {
    int fd;
    atomic_llong since_us; /* monotonic; 0 = the headers are complete */
    bool busy;             /* counted in n_busy; the daemon's thread alone */
    /* with the lock: */
    atomic_bool *left; /* NULL: no request waits, or its client has left already */
    bool may_ask;      /* and was not asked yet */
    int64_t ended_us;  /* monotonic; when it was seen that the client sends no more; 0 = not */
    struct connection *next, **link;
} connection;

struct vx_connections {
    struct vx_server *server;
    int64_t limit_us;
    int max_connections;
    atomic_int n_busy; /* connections with a request in work */
    pthread_t thread;
    vx_mutex mu; /* while it is held, no socket of the list is closed */
    vx_cond wake;
    connection *list VX_GUARDED;
    int n_open VX_GUARDED; /* length of the list */
    bool stopping VX_GUARDED;
};

static void shut(connection *c) {
    shutdown(c->fd, SHUT_RDWR);
    atomic_store(&c->since_us, 0); /* only once */
    vx_log(VX_LOG_DEBUG, "slow", "message=\"closed: no request arrived in time\"");
}

/* How long no request has arrived; 0 while one is in work. */
static int64_t idle_us(const connection *c, int64_t now_us) {
    int64_t since_us = atomic_load(&c->since_us);
    return since_us ? now_us - since_us : 0;
}

static void shut_late_ones_locked(vx_connections *all) VX_REQUIRES(&all->mu) {
    int64_t now_us = vx_clock_monotonic_us();
    for (connection *c = all->list; c; c = c->next)
        if (idle_us(c, now_us) >= all->limit_us)
            shut(c);
}

/* The list begins with the newest. Those that were shut are still open, but not for long. */
static void make_room_locked(vx_connections *all) VX_REQUIRES(&all->mu) {
    int64_t now_us = vx_clock_monotonic_us();
    for (int excess = all->n_open - all->max_connections; excess > 0; excess--) {
        connection *oldest = NULL;
        for (connection *c = all->list; c; c = c->next)
            if (idle_us(c, now_us) >= IDLE_US &&
                (!oldest || idle_us(c, now_us) >= idle_us(oldest, now_us)))
                oldest = c;
        if (!oldest)
            return;
        shut(oldest);
    }
}

/* Sends what shows whether anybody holds the client's socket. False: not now, bytes may be on their way. */
static bool ask(int fd) {
    static const char question[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const ssize_t n = sizeof question - 1;
    int unsent;
    return !ioctl(fd, SIOCOUTQ, &unsent) && !unsent &&
           send(fd, question, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) == n;
}

static bool has_left(connection *c, int64_t now_us) {
    struct pollfd socket = {.fd = c->fd, .events = POLLRDHUP};
    if (poll(&socket, 1, 0) < 1)
        return false;
    if (socket.revents & (POLLHUP | POLLERR | POLLNVAL))
        return true;
    if (!c->ended_us)
        c->ended_us = now_us;
    else if (c->may_ask && now_us - c->ended_us >= ASK_AFTER_US)
        c->may_ask = !ask(c->fd);
    return false;
}

/* Whether there are such that have left since the last time. */
static bool find_leavers_locked(vx_connections *all) VX_REQUIRES(&all->mu) {
    int64_t now_us = vx_clock_monotonic_us();
    bool found = false;
    for (connection *c = all->list; c; c = c->next) {
        if (!c->left || !has_left(c, now_us))
            continue;
        atomic_store(c->left, true);
        c->left = NULL;
        found = true;
    }
    return found;
}

static void *run(void *ctx) {
    vx_connections *all = ctx;
    vx_mutex_lock(&all->mu);
    while (!all->stopping) {
        int64_t until_us = vx_clock_monotonic_us() + CHECK_INTERVAL_US;
        while (!all->stopping && vx_cond_wait_until(&all->wake, &all->mu, until_us))
            continue;
        shut_late_ones_locked(all);
        make_room_locked(all);
        if (!find_leavers_locked(all))
            continue;
        vx_mutex_unlock(&all->mu);
        vx_server_release_abandoned(all->server);
        vx_mutex_lock(&all->mu);
    }
    vx_mutex_unlock(&all->mu);
    return NULL;
}

int vx_connections_start(struct vx_server *server, const vx_http_params *params,
                         vx_connections **ret_connections, vx_err *err) {
    vx_connections *all = vx_new(vx_connections);
    if (!all)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    all->server = server;
    all->limit_us = (int64_t)params->idle_timeout_s * 1000000;
    all->max_connections = params->max_connections;
    vx_mutex_init(&all->mu);
    vx_cond_init(&all->wake);
    int rc = vx_thread_start(&all->thread, "vx-connections", run, all, err);
    if (rc)
        free(all);
    else
        *ret_connections = all;
    return rc;
}

vx_connections *vx_connections_stop(vx_connections *all) {
    if (!all)
        return NULL;
    vx_mutex_lock(&all->mu);
    all->stopping = true;
    vx_cond_signal(&all->wake);
    vx_mutex_unlock(&all->mu);
    pthread_join(all->thread, NULL);
    vx_cond_done(&all->wake);
    vx_mutex_done(&all->mu);
    free(all);
    return NULL;
}

/* ---- Called by the daemon ---- */

/* Finds machines that vanished, some two minutes later. */
static void keep_alive(int fd) {
    int on = 1, idle_s = 60, interval_s = 15, n = 4;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &n, sizeof n);
}

void vx_connections_notify(void *cls, struct MHD_Connection *mhd, void **context,
                           enum MHD_ConnectionNotificationCode code) {
    vx_connections *all = cls;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        connection *c = vx_take(*context);
        if (!c)
            return;
        vx_mutex_lock(&all->mu);
        *c->link = c->next;
        if (c->next)
            c->next->link = c->link;
        all->n_open--;
        vx_mutex_unlock(&all->mu);
        free(c);
        return;
    }
    connection *c = *context = vx_new(connection);
    if (!c) /* without memory for it the connection has only the idle timeout */
        return;
    c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    keep_alive(c->fd);
    atomic_store(&c->since_us, vx_clock_monotonic_us());
    vx_mutex_lock(&all->mu);
    c->next = all->list;
    c->link = &all->list;
    if (c->next)
        c->next->link = &c->next;
    all->list = c;
    all->n_open++;
    vx_mutex_unlock(&all->mu);
}

static connection *connection_of(struct MHD_Connection *mhd) {
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

bool vx_connection_has_headers(vx_connections *all, struct MHD_Connection *mhd) {
    connection *c = connection_of(mhd);
    if (!c)
        return false;
    atomic_store(&c->since_us, 0);
    c->busy = true;
    return atomic_fetch_add(&all->n_busy, 1) < all->max_connections;
}

void vx_connection_request_ended(vx_connections *all, struct MHD_Connection *mhd) {
    connection *c = connection_of(mhd);
    if (!c)
        return;
    if (c->busy)
        atomic_fetch_sub(&all->n_busy, 1);
    c->busy = false;
    atomic_store(&c->since_us, vx_clock_monotonic_us());
}

void vx_connection_watch(vx_connections *all, struct MHD_Connection *mhd, bool may_ask,
                         atomic_bool *ret_left) {
    connection *c = connection_of(mhd);
    if (!c)
        return;
    vx_mutex_lock(&all->mu);
    c->left = ret_left;
    c->may_ask = may_ask;
    c->ended_us = 0;
    vx_mutex_unlock(&all->mu);
}

void vx_connection_unwatch(vx_connections *all, struct MHD_Connection *mhd) {
    connection *c = connection_of(mhd);
    if (!c)
        return;
    vx_mutex_lock(&all->mu);
    c->left = NULL;
    vx_mutex_unlock(&all->mu);
}
