/* metrics.h — counts of answers by route and status, and how long they took. Threads: any. */
#pragma once

#include "api/route.h"
#include "base/mem.h"

typedef struct vx_traffic vx_traffic;

#define VX_STATUS_CLIENT_LEFT 499

vx_traffic *vx_traffic_new(void); /* NULL: out of memory */
vx_traffic *vx_traffic_free(vx_traffic *traffic);
/* route NULL: no route matched. */
void vx_traffic_count(vx_traffic *traffic, const vx_route *route, unsigned status, int64_t us);
