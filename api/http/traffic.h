/* traffic.h — counts replies by route and status, and how long requests took.
 *
 * A route is its position in the table; `n_routes` stands for requests that no route matched.
 * Threads: any.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct vx_traffic vx_traffic;

#define VX_TRAFFIC_STATUSES 600
#define VX_STATUS_CLIENT_LEFT 499 /* the client left before it was answered, as proxies log it */
#define VX_TRAFFIC_BUCKETS 17

/* Upper bounds in seconds of all buckets but the last, which has none. */
extern const double vx_traffic_bounds[VX_TRAFFIC_BUCKETS - 1];

vx_traffic *vx_traffic_new(size_t n_routes); /* NULL: out of memory */
vx_traffic *vx_traffic_free(vx_traffic *traffic);

/* A request has ended, us microseconds after its request line. */
void vx_traffic_count(vx_traffic *traffic, size_t route, unsigned status, int64_t us);

/* Replies with this status. */
int64_t vx_traffic_replies(const vx_traffic *traffic, size_t route, unsigned status);
/* Gives the number of requests in each bucket and the sum of their durations. */
void vx_traffic_durations(const vx_traffic *traffic, size_t route,
                          int64_t ret_buckets[VX_TRAFFIC_BUCKETS], double *ret_sum_s);
