/* daemon.h — the state that all requests of one HTTP daemon share. Private to api/.
 *
 * Constant after vx_http_start, except the atomics, the traffic counters and the event streams,
 * which have locks of their own.
 */
#pragma once

#include <microhttpd.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "api/http/route.h"
#include "api/http/settings.h"

struct vx_server;      /* server/server.h */
struct vx_traffic;     /* traffic.h */
struct vx_events;      /* events.h */
struct vx_connections; /* connection.h */
struct vx_origins;     /* origin.h */

struct vx_http {
    struct vx_server *server; /* borrows */
    const vx_routes *routes;  /* borrows */
    vx_http_params params;    /* with the defaults filled in; its strings are gone */
    struct vx_origins *origins;
    struct MHD_Daemon *mhd;
    int port;
    atomic_int active;              /* requests between request line and completion */
    atomic_int waiting;             /* of these, suspended ones */
    atomic_size_t large_json_bytes; /* held by JSON bodies over max_json_bytes */
    atomic_bool stopping;
    struct vx_traffic *traffic;
    struct vx_events *events;
    struct vx_connections *connections;
};
