/* guard.h — keeps pages of other sites from driving a server that a browser can reach. */
#pragma once

#include "api/request.h"

/* Two attacks are shut out, each with a 403 reply (then false):
 *   - DNS rebinding: a server on a loopback address answers only to names of this machine.
 *   - cross-site requests: a change (anything but GET, HEAD, OPTIONS) must not come from a page of
 *     another origin; browsers say so in Origin and Sec-Fetch-Site, curl and libraries send
 *     neither.
 * --allow-origin permits one origin, and its host name. */
bool vx_guard_check(vx_request *request);
/* CORS headers on the reply, for the permitted origin only. */
void vx_guard_allow_origin(vx_request *request);
