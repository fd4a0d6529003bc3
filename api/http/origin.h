/* origin.h — keeps pages of other sites from using a server that a visitor's browser can reach.
 *
 * Threads: the daemon thread of the request.
 */
#pragma once

#include <stdbool.h>

#include "api/http/request.h"

/* Refuses two attacks with a 403 reply, then returns false:
 *   - DNS rebinding: a server on a loopback address answers only to names of this machine.
 *   - cross-site requests: a change (any method but GET, HEAD, OPTIONS) must not come from a page of
 *     another origin. Browsers send Origin and Sec-Fetch-Site; curl and libraries send neither.
 * --allow-origin permits one origin, and its host name. */
bool vx_origin_check(vx_request *request);
/* Adds the CORS headers to the reply. */
void vx_origin_add_headers(vx_request *request);
