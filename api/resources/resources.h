/* resources.h — the table of all routes (routes.c). Threads: any (constant data). */
#pragma once

#include "api/http/route.h"

extern const vx_routes vx_resource_routes;
