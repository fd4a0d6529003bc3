/* connection.h — closes connections whose next request does not arrive in time.
 *
 * libmicrohttpd's timeout closes a connection on which nothing moves. A client that sends one byte
 * of a header now and then would keep its connection open for ever. So the headers of a request must
 * be complete within idle_timeout_s of the connection's start or of the previous request's end.
 * (dispatch.c watches over slow bodies.)
 *
 * This module only shuts the socket down. The daemon sees its end, and closes it.
 *
 * Threads  start, stop: main, around the daemon's life. The rest: the daemon's threads.
 */
#pragma once

#include <microhttpd.h>

#include "base/err.h"

typedef struct vx_connections vx_connections;

int vx_connections_start(int limit_s, vx_connections **ret_connections, vx_err *err);
/* Call it after the daemon has stopped. NULL-safe; returns NULL. */
vx_connections *vx_connections_stop(vx_connections *connections);

/* For MHD_OPTION_NOTIFY_CONNECTION; cls is a vx_connections. */
void vx_connections_notify(void *cls, struct MHD_Connection *connection, void **context,
                           enum MHD_ConnectionNotificationCode code);
/* The headers of a request are complete: the clock stops. */
void vx_connection_has_headers(struct MHD_Connection *connection);
/* A request has ended: the clock starts for the next one. */
void vx_connection_request_ended(struct MHD_Connection *connection);
