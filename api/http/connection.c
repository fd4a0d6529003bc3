#include "api/http/connection.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

#define CHECK_INTERVAL_US 1000000

typedef struct connection {
    int fd;
    atomic_llong since_us; /* monotonic; 0 = the headers are complete */
    struct connection *next, **link;
} connection;

struct vx_connections {
    int64_t limit_us;
    pthread_t thread;
    vx_mutex mu; /* while it is held, no socket of the list is closed */
    vx_cond wake;
    connection *list VX_GUARDED;
    bool stopping VX_GUARDED;
};

static void shut_late_ones_locked(vx_connections *all) VX_REQUIRES(&all->mu) {
    int64_t now_us = vx_clock_monotonic_us();
    for (connection *c = all->list; c; c = c->next) {
        int64_t since_us = atomic_load(&c->since_us);
        if (!since_us || now_us - since_us < all->limit_us)
            continue;
        shutdown(c->fd, SHUT_RDWR);
        atomic_store(&c->since_us, 0); /* only once */
        vx_log(VX_LOG_DEBUG, "slow", "message=\"closed: no request arrived in time\"");
    }
}

static void *run(void *ctx) {
    vx_connections *all = ctx;
    vx_mutex_lock(&all->mu);
    while (!all->stopping) {
        int64_t until_us = vx_clock_monotonic_us() + CHECK_INTERVAL_US;
        while (!all->stopping && vx_cond_wait_until(&all->wake, &all->mu, until_us))
            continue;
        shut_late_ones_locked(all);
    }
    vx_mutex_unlock(&all->mu);
    return NULL;
}

int vx_connections_start(int limit_s, vx_connections **ret_connections, vx_err *err) {
    vx_connections *all = vx_new(vx_connections);
    if (!all)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    all->limit_us = (int64_t)limit_s * 1000000;
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
        vx_mutex_unlock(&all->mu);
        free(c);
        return;
    }
    connection *c = *context = vx_new(connection);
    if (!c) /* without memory for it the connection has only the idle timeout */
        return;
    c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    atomic_store(&c->since_us, vx_clock_monotonic_us());
    vx_mutex_lock(&all->mu);
    c->next = all->list;
    c->link = &all->list;
    if (c->next)
        c->next->link = &c->next;
    all->list = c;
    vx_mutex_unlock(&all->mu);
}

static void set_since(struct MHD_Connection *mhd, int64_t us) {
    connection *c =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    if (c)
        atomic_store(&c->since_us, us);
}

void vx_connection_has_headers(struct MHD_Connection *mhd) {
    set_since(mhd, 0);
}

void vx_connection_request_ended(struct MHD_Connection *mhd) {
    set_since(mhd, vx_clock_monotonic_us());
}
