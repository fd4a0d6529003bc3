/* events.h — GET /v1/jobs/{id}/events: a job's progress as server-sent events, until it ends.
 *
 * A listener's connection is suspended while there is nothing to tell. One thread looks at all of
 * them twice a second, writes what is new of their jobs, and resumes those; so a listener costs a
 * connection, no thread. They may take half of max_connections: who comes then is told to come back.
 *
 * Threads  start, stop and free: main, around the daemon's life. A listener belongs to the daemon's
 *          thread of its connection, and while it is suspended to the one that looks.
 */
#pragma once

#include "base/err.h"

typedef struct vx_events vx_events;

int vx_events_start(vx_events **ret_events, vx_err *err);
/* Resumes and ends all; none is suspended any more. Before the daemon is stopped. NULL-safe. */
void vx_events_stop(vx_events *events);
/* After the daemon, which frees the listeners, has stopped. NULL-safe; returns NULL. */
vx_events *vx_events_free(vx_events *events);
