/* router.h — finds the route of a request. Threads: the daemon thread of the request. */
#pragma once

#include "api/http/request.h"

/* Sets route and args of the request, or its reply: 404, 405 with Allow, 204 for OPTIONS. */
void vx_router_find(vx_request *request);
