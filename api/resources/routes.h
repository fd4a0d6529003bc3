/* routes.h — the table of all routes. Threads: any (constant data). */
#pragma once

#include "api/http/route.h"

extern const vx_routes vx_resource_routes;
