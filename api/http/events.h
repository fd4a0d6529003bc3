/* events.h — replies that are a stream of server-sent events.
 *
 * A stream has a source, which is asked twice a second what is new. While nothing is, the stream's
 * connection is suspended: it costs a connection, but no thread. One thread asks all sources. Streams
 * may take half of max_connections; further ones get 503.
 *
 * Threads  start, stop and free: main, around the daemon's life. vx_events_reply: the daemon thread
 *          of the request.
 */
#pragma once

#include <stdbool.h>

#include "api/http/out.h"
#include "api/http/request.h"
#include "base/err.h"

typedef struct vx_events vx_events;

int vx_events_start(vx_events **ret_events, vx_err *err);
/* Ends all streams, so that no connection is suspended. Call it before the daemon is stopped.
 * NULL-safe. */
void vx_events_stop(vx_events *events);
/* Call it after the daemon, which frees the streams, has stopped. NULL-safe; returns NULL. */
vx_events *vx_events_free(vx_events *events);

typedef struct vx_event_source {
    /* Appends new events ("event: …\ndata: …\n\n") to out, or nothing. False: the stream ends after
     * what was appended. First on the request's thread, then on the thread of the events. */
    bool (*poll)(void *ctx, vx_out *out);
    void (*free)(void *ctx);
    void *ctx;
} vx_event_source;

/* Replies with a stream of what the source tells. Takes ctx; also after a failure, which sets a
 * problem as the reply. */
void vx_events_reply(vx_request *request, vx_event_source source);
