#include "api/heads.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

#define LOOK_US 1000000

typedef struct head {
    int fd;
    atomic_llong since_us; /* monotonic; 0 = its headers are complete */
    struct head *next, **link;
} head;

struct vx_heads {
    int64_t limit_us;
    pthread_t thread;
    vx_mutex mu; /* while it is held no socket of the list is closed */
    vx_cond wake;
    head *heads VX_GUARDED;
    bool stopping VX_GUARDED;
};

static void cut_off_locked(vx_heads *heads) VX_REQUIRES(&heads->mu) {
    int64_t now_us = vx_clock_monotonic_us();
    for (head *h = heads->heads; h; h = h->next) {
        int64_t since_us = atomic_load(&h->since_us);
        if (!since_us || now_us - since_us < heads->limit_us)
            continue;
        shutdown(h->fd, SHUT_RDWR);
        atomic_store(&h->since_us, 0); /* once */
        vx_log(VX_LOG_DEBUG, "slow", "message=\"closed, as no request came in time\"");
    }
}

static void *run(void *ctx) {
    vx_heads *heads = ctx;
    vx_mutex_lock(&heads->mu);
    while (!heads->stopping) {
        int64_t until_us = vx_clock_monotonic_us() + LOOK_US;
        while (!heads->stopping && vx_cond_wait_until(&heads->wake, &heads->mu, until_us))
            continue;
        cut_off_locked(heads);
    }
    vx_mutex_unlock(&heads->mu);
    return NULL;
}

int vx_heads_start(int limit_s, vx_heads **ret_heads, vx_err *err) {
    vx_heads *heads = vx_new(vx_heads);
    if (!heads)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    heads->limit_us = (int64_t)limit_s * 1000000;
    vx_mutex_init(&heads->mu);
    vx_cond_init(&heads->wake);
    int rc = vx_thread_start(&heads->thread, "vx-heads", run, heads, err);
    if (rc)
        free(heads);
    else
        *ret_heads = heads;
    return rc;
}

vx_heads *vx_heads_stop(vx_heads *heads) {
    if (!heads)
        return NULL;
    vx_mutex_lock(&heads->mu);
    heads->stopping = true;
    vx_cond_signal(&heads->wake);
    vx_mutex_unlock(&heads->mu);
    pthread_join(heads->thread, NULL);
    vx_cond_done(&heads->wake);
    vx_mutex_done(&heads->mu);
    free(heads);
    return NULL;
}

/* ---- the daemon's side ---- */

static void insert(vx_heads *heads, head *h) {
    vx_mutex_lock(&heads->mu);
    h->next = heads->heads;
    h->link = &heads->heads;
    if (h->next)
        h->next->link = &h->next;
    heads->heads = h;
    vx_mutex_unlock(&heads->mu);
}

static void take_out(vx_heads *heads, head *h) {
    vx_mutex_lock(&heads->mu);
    *h->link = h->next;
    if (h->next)
        h->next->link = h->link;
    vx_mutex_unlock(&heads->mu);
}

void vx_heads_on_connection(void *cls, struct MHD_Connection *connection, void **context,
                            enum MHD_ConnectionNotificationCode code) {
    vx_heads *heads = cls;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (*context)
            take_out(heads, *context);
        free(*context);
        *context = NULL;
        return;
    }
    head *h = *context = vx_new(head);
    if (!h) /* then the connection has the idle timeout alone */
        return;
    h->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    atomic_store(&h->since_us, vx_clock_monotonic_us());
    insert(heads, h);
}

static void set_since(struct MHD_Connection *connection, int64_t us) {
    head *h =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    if (h)
        atomic_store(&h->since_us, us);
}

void vx_heads_end(struct MHD_Connection *connection) {
    set_since(connection, 0);
}

void vx_heads_begin(struct MHD_Connection *connection) {
    set_since(connection, vx_clock_monotonic_us());
}
