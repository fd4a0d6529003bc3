/* heads.h — cuts off clients whose request does not begin to make sense in time.
 *
 * libmicrohttpd's timeout ends a connection on which nothing moves; a byte of a header now and then
 * would hold one for ever. So each connection has idle_timeout_s from its opening, or from the end of
 * the request before, until the next request's headers are complete. Slow bodies are request.c's.
 *
 * A socket is only shut here; the daemon, which then reads its end, closes it.
 *
 * Threads  start, stop: main, around the daemon's life. The rest: the daemon's threads.
 */
#pragma once

#include <microhttpd.h>

#include "base/err.h"

typedef struct vx_heads vx_heads;

int vx_heads_start(int limit_s, vx_heads **ret_heads, vx_err *err);
/* After the daemon has stopped. NULL-safe; returns NULL. */
vx_heads *vx_heads_stop(vx_heads *heads);

/* MHD_OPTION_NOTIFY_CONNECTION; cls is a vx_heads. */
void vx_heads_on_connection(void *cls, struct MHD_Connection *connection, void **context,
                            enum MHD_ConnectionNotificationCode code);
/* The headers of a request are complete; the request has ended. */
void vx_heads_end(struct MHD_Connection *connection);
void vx_heads_begin(struct MHD_Connection *connection);
