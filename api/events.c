#include "api/events.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "api/daemon.h"
#include "api/reply.h"
#include "api/resources.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "server/server.h"

#define LOOK_US 500000
#define RETRY_MS 2000 /* after which a browser comes back whose stream broke off */
#define LAST_ID "end" /* of the last event: who has seen it need not come back */

typedef struct listener {
    struct vx_http *http;
    struct MHD_Connection *connection;
    int fd; /* the connection's */
    char id[VX_JOB_ID_CHARS + 1];
    vx_job_state state; /* what was told last, and when */
    vx_phase phase;
    int64_t done, total, told_us;
    vx_out out; /* to be sent, from `sent` on */
    size_t sent;
    bool ended; /* nothing follows */
    struct listener *next;
} listener;

struct vx_events {
    pthread_t thread;
    bool started;
    atomic_int n; /* listeners */
    vx_mutex mu;
    vx_cond changed;
    listener *suspended VX_GUARDED;
    bool stopping VX_GUARDED;
};

/* ---- what is told ---- */

static bool has_ended(const vx_job_view *job) {
    return job->state != VX_JOB_QUEUED && job->state != VX_JOB_RUNNING;
}

static void tell(listener *l, const vx_job_view *job) {
    VX_AUTO_OUT data = {0};
    vx_jobs_write(&data, job);
    l->ended = has_ended(job);
    vx_out_text(&l->out, "%s\ndata: %s\n\n",
                l->ended ? "event: end\nid: " LAST_ID : "event: progress", data.text);
    l->ended |= data.failed || l->out.failed;
    l->state = job->state;
    l->phase = job->phase;
    l->done = job->done;
    l->total = job->total;
    l->told_us = vx_clock_monotonic_us();
}

static bool is_news(const listener *l, const vx_job_view *job) {
    return job->state != l->state || job->phase != l->phase || job->done != l->done ||
           job->total != l->total;
}

/* While a connection is suspended nobody else notices that its client has gone. One that has only
 * shut its sending side is taken for such a one: browsers and curl never do. */
static bool has_left(const listener *l) {
    char byte;
    ssize_t n = recv(l->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

/* A line now and then: proxies close what is silent, and a client that vanished is found out. */
static bool must_speak(const listener *l) {
    int64_t silence_us = (int64_t)l->http->params.idle_timeout_s * 1000000 / 8;
    return vx_clock_monotonic_us() - l->told_us >= silence_us;
}

/* Whether the listener has something to send, or ends. */
static bool look(listener *l) {
    vx_job_view job = {0};
    vx_err err;
    if (has_left(l) || vx_jobs_get(l->http->server->jobs, l->id, &job, &err)) {
        l->ended = true;
        return true;
    }
    if (is_news(l, &job)) {
        tell(l, &job);
    } else if (must_speak(l)) {
        vx_out_text(&l->out, ":\n\n");
        l->told_us = vx_clock_monotonic_us();
    }
    vx_job_view_clear(&job);
    return l->out.n > 0 || l->ended;
}

/* ---- the thread that looks ---- */

/* Those that have nothing to send stay suspended; gives their list. */
static listener *look_at_all(listener *suspended) {
    listener *silent = NULL;
    for (listener *l = suspended, *next; l; l = next) {
        next = l->next;
        if (look(l)) {
            MHD_resume_connection(l->connection); /* l may be gone now */
            continue;
        }
        l->next = silent;
        silent = l;
    }
    return silent;
}

static void put_back_locked(vx_events *events, listener *silent) VX_REQUIRES(&events->mu) {
    while (silent) {
        listener *l = silent;
        silent = l->next;
        l->next = events->suspended;
        events->suspended = l;
    }
}

static void *run(void *ctx) {
    vx_events *events = ctx;
    vx_mutex_lock(&events->mu);
    while (!events->stopping) {
        if (!events->suspended)
            vx_cond_wait(&events->changed, &events->mu);
        int64_t until_us = vx_clock_monotonic_us() + LOOK_US;
        while (!events->stopping && vx_cond_wait_until(&events->changed, &events->mu, until_us))
            continue;
        listener *suspended = vx_take(events->suspended);
        vx_mutex_unlock(&events->mu);
        listener *silent = look_at_all(suspended);
        vx_mutex_lock(&events->mu);
        put_back_locked(events, silent);
    }
    listener *rest = vx_take(events->suspended);
    vx_mutex_unlock(&events->mu);
    for (listener *next; rest; rest = next) {
        next = rest->next;
        rest->ended = true;
        MHD_resume_connection(rest->connection);
    }
    return NULL;
}

int vx_events_start(vx_events **ret_events, vx_err *err) {
    vx_events *events = vx_new(vx_events);
    if (!events)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    vx_mutex_init(&events->mu);
    vx_cond_init(&events->changed);
    int rc = vx_thread_start(&events->thread, "vx-events", run, events, err);
    events->started = !rc;
    if (rc)
        vx_events_free(events);
    else
        *ret_events = events;
    return rc;
}

void vx_events_stop(vx_events *events) {
    if (!events || !events->started)
        return;
    vx_mutex_lock(&events->mu);
    events->stopping = true;
    vx_cond_signal(&events->changed);
    vx_mutex_unlock(&events->mu);
    pthread_join(events->thread, NULL);
    events->started = false;
}

vx_events *vx_events_free(vx_events *events) {
    if (!events)
        return NULL;
    vx_events_stop(events);
    vx_cond_done(&events->changed);
    vx_mutex_done(&events->mu);
    free(events);
    return NULL;
}

/* ---- a listener ---- */

static void listener_free(void *ctx) {
    listener *l = ctx;
    atomic_fetch_sub(&l->http->events->n, 1);
    vx_out_clear(&l->out);
    free(l);
}

/* False when the server stops. */
static bool suspend(listener *l) {
    vx_events *events = l->http->events;
    vx_mutex_lock(&events->mu);
    bool goes_on = !events->stopping;
    if (goes_on) {
        l->next = events->suspended;
        events->suspended = l;
        MHD_suspend_connection(l->connection);
        vx_cond_signal(&events->changed);
    }
    vx_mutex_unlock(&events->mu);
    return goes_on;
}

static ssize_t send_some(void *ctx, uint64_t position, char *buffer, size_t capacity) {
    (void)position;
    listener *l = ctx;
    size_t n = l->out.n - l->sent;
    if (n) {
        n = n < capacity ? n : capacity;
        memcpy(buffer, l->out.text + l->sent, n);
        l->sent += n;
        return (ssize_t)n;
    }
    vx_out_clear(&l->out);
    l->sent = 0;
    return !l->ended && suspend(l) ? 0 : MHD_CONTENT_READER_END_OF_STREAM;
}

static void reply(vx_request *request, const vx_job_view *job) {
    vx_events *events = request->http->events;
    if (atomic_fetch_add(&events->n, 1) >= request->http->params.max_connections / 2) {
        atomic_fetch_sub(&events->n, 1);
        vx_reply_problem(request, VX_PROBLEM_BUSY, "Too many listen to jobs already.");
        return;
    }
    listener *l = vx_new(listener);
    if (!l) {
        atomic_fetch_sub(&events->n, 1);
        request->failed = true;
        return;
    }
    l->http = request->http;
    l->connection = request->connection;
    l->fd =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    strcpy(l->id, job->id);
    vx_out_text(&l->out, "retry: %d\n\n", RETRY_MS);
    tell(l, job);
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, send_some, l, listener_free);
    if (!response)
        listener_free(l);
    vx_reply_response(request, VX_SUCCESS_OK, response, -1);
    vx_reply_header(request, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
    vx_reply_header(request, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    vx_reply_header(request, "X-Accel-Buffering", "no"); /* nginx would keep events back */
}

void vx_jobs_events_get(vx_request *request) {
    vx_job_view job = {0};
    vx_err err;
    int rc = vx_jobs_get(request->server->jobs, request->args[0], &job, &err);
    if (rc) {
        vx_reply_code(request, rc, "job", &err);
        return;
    }
    const char *seen = vx_request_header(request, "Last-Event-ID");
    if (seen && !strcmp(seen, LAST_ID) && has_ended(&job))
        vx_reply_empty(request, VX_SUCCESS_NO_CONTENT); /* so a browser comes back no more */
    else
        reply(request, &job);
    vx_job_view_clear(&job);
}
