/* daemon.h — what the requests of one HTTP daemon share. Private to api/.
 *
 * Constant after vx_http_start, except the atomics and the traffic counters (metrics.c).
 */
#pragma once

#include <microhttpd.h>
#include <stdatomic.h>

#include "api/http.h"

struct vx_traffic; /* metrics.c */
struct vx_events;  /* events.h */
struct vx_heads;   /* heads.h */

struct vx_http {
    vx_server *server;           /* borrows */
    vx_http_params params;       /* defaults filled in; its strings are the caller's: */
    char *listen, *allow_origin; /* copies of them, owned */
    struct MHD_Daemon *mhd;
    int port;
    bool loopback;                  /* only names of this machine are answered */
    atomic_int active;              /* requests between their first line and their completion */
    atomic_int waiting;             /* suspended ones among them */
    atomic_size_t large_json_bytes; /* of bodies over max_json_bytes, being read or kept */
    atomic_bool stopping;
    struct vx_traffic *traffic;
    struct vx_events *events;
    struct vx_heads *heads;
};
