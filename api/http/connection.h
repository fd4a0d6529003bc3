/* connection.h — watches the sockets: closes connections whose next request does not arrive in time, knows
 * when there are too many, and finds clients that have left while their request waits.
 *
 * libmicrohttpd's timeout closes a connection on which nothing moves. A client that sends one byte
 * of a header now and then would keep its connection open for ever. So the headers of a request must
 * be complete within idle_timeout_s of the connection's start or of the previous request's end.
 * (dispatch.c watches over slow bodies.)
 *
 * As many connections as max_connections may have a request in work; further requests are for dispatch.c to
 * refuse. The daemon accepts some more, so that there is a place for those that are answered at once, such
 * as probes. While more are open than max_connections, those without a request since a second are closed,
 * the oldest first.
 *
 * This module only shuts the socket down. The daemon sees its end, and closes it.
 *
 * libmicrohttpd looks at no socket of a suspended connection. Its client has left once the socket is dead
 * (POLLHUP, POLLERR): it was reset, or keep-alive probes found nobody. The end of what the client sends
 * (POLLRDHUP) is not enough: `nc -N` and others close that direction and wait for the answer, and TCP has
 * no other sign for a client that has closed both. So after two seconds such a client is sent
 * "100 Continue", which a client must ignore at any time (RFC 9110, 15.2; not in HTTP/1.0): where nobody
 * holds the socket any more, the kernel answers with a reset.
 *
 * Threads  start, stop: main, around the daemon's life. The rest: the daemon's threads, if nothing else is
 *          said.
 */
#pragma once

#include <microhttpd.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "api/http/settings.h"
#include "base/err.h"

typedef struct vx_connections vx_connections;

struct vx_server; /* borrows, until stop: is told when a client has left */
int vx_connections_start(struct vx_server *server, const vx_http_params *params,
                         vx_connections **ret_connections, vx_err *err);
/* Call it after the daemon has stopped. NULL-safe; returns NULL. */
vx_connections *vx_connections_stop(vx_connections *connections);

/* For MHD_OPTION_NOTIFY_CONNECTION; cls is a vx_connections. */
void vx_connections_notify(void *cls, struct MHD_Connection *connection, void **context,
                           enum MHD_ConnectionNotificationCode code);
/* The headers of a request are complete: the clock stops. False: it is one too many. */
bool vx_connection_has_headers(vx_connections *connections, struct MHD_Connection *connection);
/* While its request waits, sets *ret_left once the client has left. may_ask: it may be sent
 * "100 Continue". Borrows ret_left until unwatch, which may be called from any thread. */
void vx_connection_watch(vx_connections *connections, struct MHD_Connection *connection,
                         bool may_ask, atomic_bool *ret_left);
void vx_connection_unwatch(vx_connections *connections, struct MHD_Connection *connection);
/* A request has ended: the clock starts for the next one. */
void vx_connection_request_ended(vx_connections *connections, struct MHD_Connection *connection);
