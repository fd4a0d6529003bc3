/* http.h — the HTTP face of a server: a libmicrohttpd daemon with its own small thread pool.
 *
 * A request that waits (for an ingest, a search, the committer) is suspended: it holds no thread
 * and no idle timeout runs. Bodies are streamed; what one connection can hold in memory is bounded
 * by its read buffer, max_json_bytes and the form limits in form.c.
 *
 * Threads  start and stop: one thread (main). Everything else happens on the daemon's threads, and on
 *          one each of events.h and heads.h.
 */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "server/server.h"

typedef struct vx_http vx_http;

typedef struct vx_http_params {
    const char *listen;    /* borrows; host:port or [v6]:port; port 0 = any free one */
    int threads;           /* 0 = 8 */
    int max_connections;   /* 0 = 4096 */
    int idle_timeout_s;    /* of a connection on which nothing moves, and until a request's headers
                              are complete; 0 = 120. A body that takes longer is cut off below 256
                              bytes a second */
    size_t max_json_bytes; /* 0 = 1 MiB */
    size_t max_embeddings_json_bytes; /* of /v1/embeddings; all bodies over max_json_bytes that are
                                         read at once may have twice this together */
    const char *allow_origin; /* borrows; one more origin (https://host[:port]) whose pages may use
                                 the API and whose name the server answers to; NULL = none */
} vx_http_params;

/* Serves `server` (borrowed, must be there until vx_http_stop returned). Until it is ready, all but
 * probes and the page's files is answered that it is starting. -EADDRINUSE, -EINVAL (the
 * address cannot be read), other -errno. */
int vx_http_start(vx_server *server, const vx_http_params *params, vx_http **ret_http, vx_err *err);
/* Accepts nothing new, marks the server as stopping, lets the requests that wait be answered, then
 * closes all connections. Call it before vx_server_close. NULL-safe; returns NULL. */
vx_http *vx_http_stop(vx_http *http);
VX_DEFINE_AUTO(vx_http, vx_http_stop)

int vx_http_port(const vx_http *http);
