/* http.h — the HTTP server: a libmicrohttpd daemon with its own small thread pool.
 *
 * A request that waits for work (an ingest, a search, the writer) is suspended: it holds no thread,
 * and no idle timeout runs. Bodies are streamed. One connection holds at most its read buffer, one
 * JSON body and the fields of one form in memory.
 *
 * Threads  start and stop: one thread (main). Requests run on the daemon's threads; connection.h and
 *          events.h have one thread each.
 */
#pragma once

#include "api/http/route.h"
#include "api/http/settings.h"
#include "base/err.h"
#include "base/mem.h"

struct vx_server;
typedef struct vx_http vx_http;

/* Whether the hosts and origins among the params can be read: 0, -EINVAL with a message that names the
 * setting, or -ENOMEM. */
int vx_http_check_params(const vx_http_params *params, vx_err *err);

/* Serves the routes.
 *   server  borrows, until vx_http_stop has returned. While it is not ready, only routes with
 *           VX_WHILE_STARTING are run; the others get 503
 *   routes  borrows, likewise
 *   params  borrows, until return
 * Returns 0, -EADDRINUSE, -EINVAL (an address, host or origin cannot be read), or another -errno. */
int vx_http_start(struct vx_server *server, const vx_routes *routes, const vx_http_params *params,
                  vx_http **ret_http, vx_err *err);
/* Accepts nothing new, marks the server as stopping, answers the requests that wait, closes all
 * connections. Call it before vx_server_close. NULL-safe; returns NULL. */
vx_http *vx_http_stop(vx_http *http);
VX_DEFINE_AUTO(vx_http, vx_http_stop)

int vx_http_port(const vx_http *http);
