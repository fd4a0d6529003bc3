#include "api/http/traffic.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"

/* From replies out of memory to the embedding of a long film. */
const double vx_traffic_bounds[VX_TRAFFIC_BUCKETS - 1] = {
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300};

typedef struct route_traffic {
    atomic_llong by_status[VX_TRAFFIC_STATUSES];
    atomic_llong buckets[VX_TRAFFIC_BUCKETS];
    atomic_llong total_us;
} route_traffic;

struct vx_traffic {
    route_traffic *routes; /* [n_routes + 1] */
};

vx_traffic *vx_traffic_new(size_t n_routes) {
    vx_traffic *traffic = vx_new(vx_traffic);
    if (!traffic || !(traffic->routes = vx_new_array(n_routes + 1, sizeof *traffic->routes)))
        return vx_traffic_free(traffic);
    return traffic;
}

vx_traffic *vx_traffic_free(vx_traffic *traffic) {
    if (traffic)
        free(traffic->routes);
    free(traffic);
    return NULL;
}

void vx_traffic_count(vx_traffic *traffic, size_t route, unsigned status, int64_t us) {
    route_traffic *r = &traffic->routes[route];
    size_t bucket = 0;
    while (bucket < VX_LEN(vx_traffic_bounds) && (double)us > vx_traffic_bounds[bucket] * 1e6)
        bucket++;
    if (status >= VX_TRAFFIC_STATUSES)
        status = 0;
    atomic_fetch_add_explicit(&r->by_status[status], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&r->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&r->total_us, us, memory_order_relaxed);
}

int64_t vx_traffic_replies(const vx_traffic *traffic, size_t route, unsigned status) {
    return atomic_load_explicit(&traffic->routes[route].by_status[status], memory_order_relaxed);
}

void vx_traffic_durations(const vx_traffic *traffic, size_t route,
                          int64_t ret_buckets[VX_TRAFFIC_BUCKETS], double *ret_sum_s) {
    const route_traffic *r = &traffic->routes[route];
    for (size_t i = 0; i < VX_TRAFFIC_BUCKETS; i++)
        ret_buckets[i] = atomic_load_explicit(&r->buckets[i], memory_order_relaxed);
    *ret_sum_s = (double)atomic_load_explicit(&r->total_us, memory_order_relaxed) / 1e6;
}
