#include "api/http/events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "api/http/daemon.h"
#include "api/http/reply.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

#define POLL_INTERVAL_US 500000
#define RETRY_MS 2000 /* after this a browser reconnects to a stream that broke off */

typedef struct stream {
    struct vx_http *http; /* borrows */
    struct MHD_Connection *connection;
    int fd; /* of the connection */
    vx_event_source source;
    int64_t wrote_us; /* monotonic; when something was last written */
    vx_out out;       /* still to be sent, from `sent` on */
    size_t sent;
    bool ended; /* nothing is added any more */
    struct stream *next;
} stream;

struct vx_events {
    pthread_t thread;
    bool started;
    atomic_int n_streams;
    vx_mutex mu;
    vx_cond changed;
    stream *suspended VX_GUARDED;
    bool stopping VX_GUARDED;
};

/* ---- Polling ---- */

/* Nothing else notices that the client of a suspended connection has gone. A client that has only
 * shut down its sending side looks the same; browsers and curl never do that. */
static bool client_has_left(const stream *s) {
    char byte;
    ssize_t n = recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

/* Adds what is new. Whether the stream has something to send, or has ended. */
static bool poll_source(stream *s) {
    int64_t now_us = vx_clock_monotonic_us();
    /* A comment line now and then: proxies close silent connections, and writing to a client that
     * vanished shows that it has. */
    int64_t longest_silence_us = (int64_t)s->http->params.idle_timeout_s * 1000000 / 8;
    s->ended = client_has_left(s) || !s->source.poll(s->source.ctx, &s->out) || s->out.failed;
    if (!s->ended && !s->out.n && now_us - s->wrote_us >= longest_silence_us)
        vx_out_text(&s->out, ":\n\n");
    if (s->out.n)
        s->wrote_us = now_us;
    return s->out.n || s->ended;
}

/* Resumes the streams that have something to send; returns the list of the others. */
static stream *poll_all(stream *suspended) {
    stream *silent = NULL;
    for (stream *s = suspended, *next; s; s = next) {
        next = s->next;
        if (poll_source(s)) {
            MHD_resume_connection(s->connection); /* s may be freed from here on */
            continue;
        }
        s->next = silent;
        silent = s;
    }
    return silent;
}

static void *run(void *ctx) {
    vx_events *events = ctx;
    vx_mutex_lock(&events->mu);
    while (!events->stopping) {
        if (!events->suspended)
            vx_cond_wait(&events->changed, &events->mu);
        int64_t until_us = vx_clock_monotonic_us() + POLL_INTERVAL_US;
        while (!events->stopping && vx_cond_wait_until(&events->changed, &events->mu, until_us))
            continue;
        stream *suspended = vx_take(events->suspended);
        vx_mutex_unlock(&events->mu);
        stream *silent = poll_all(suspended);
        vx_mutex_lock(&events->mu);
        for (stream *next; silent; silent = next) {
            next = silent->next;
            silent->next = events->suspended;
            events->suspended = silent;
        }
    }
    stream *rest = vx_take(events->suspended);
    vx_mutex_unlock(&events->mu);
    for (stream *next; rest; rest = next) {
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

/* ---- One stream ---- */

static void stream_free(void *ctx) {
    stream *s = ctx;
    atomic_fetch_sub(&s->http->events->n_streams, 1);
    s->source.free(s->source.ctx);
    vx_out_clear(&s->out);
    free(s);
}

/* False: the server stops, the stream must end. */
static bool suspend(stream *s) {
    vx_events *events = s->http->events;
    vx_mutex_lock(&events->mu);
    bool goes_on = !events->stopping;
    if (goes_on) {
        s->next = events->suspended;
        events->suspended = s;
        MHD_suspend_connection(s->connection);
        vx_cond_signal(&events->changed);
    }
    vx_mutex_unlock(&events->mu);
    return goes_on;
}

/* libmicrohttpd asks for the next bytes. */
static ssize_t read_stream(void *ctx, uint64_t position, char *buffer, size_t capacity) {
    (void)position;
    stream *s = ctx;
    size_t n = s->out.n - s->sent;
    if (n) {
        n = n < capacity ? n : capacity;
        memcpy(buffer, s->out.text + s->sent, n);
        s->sent += n;
        return (ssize_t)n;
    }
    vx_out_clear(&s->out);
    s->sent = 0;
    return !s->ended && suspend(s) ? 0 : MHD_CONTENT_READER_END_OF_STREAM;
}

void vx_events_reply(vx_request *request, vx_event_source source) {
    vx_events *events = request->http->events;
    bool crowded =
        atomic_fetch_add(&events->n_streams, 1) >= request->http->params.max_connections / 2;
    stream *s = crowded ? NULL : vx_new(stream);
    if (!s) {
        atomic_fetch_sub(&events->n_streams, 1);
        source.free(source.ctx);
        request->failed |= !crowded;
        if (crowded)
            vx_reply_problem(request, VX_PROBLEM_BUSY,
                             "Too many clients listen to events at the moment.");
        return;
    }
    s->http = request->http;
    s->connection = request->connection;
    s->fd =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    s->source = source;
    vx_out_text(&s->out, "retry: %d\n\n", RETRY_MS);
    s->ended = !source.poll(source.ctx, &s->out) || s->out.failed;
    s->wrote_us = vx_clock_monotonic_us();
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, read_stream, s, stream_free);
    if (!response)
        stream_free(s);
    vx_reply_response(request, VX_SUCCESS_OK, response, -1);
    vx_reply_header(request, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
    vx_reply_header(request, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    vx_reply_header(request, "X-Accel-Buffering", "no"); /* nginx would hold events back */
}
