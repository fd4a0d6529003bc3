/* origin.h — which names the server answers to, and which other sites may use it.
 *
 * Two attacks through a visitor's browser are refused:
 *   - DNS rebinding: a page makes the name of its own site resolve to this server. So the host of a
 *     request must be an IP address, localhost, or a name that the operator gave.
 *   - Cross-site requests: a change (any method but GET, HEAD, OPTIONS) must not come from a page of
 *     another origin. Browsers send Origin and Sec-Fetch-Site; curl and libraries send neither.
 * Headers such as X-Forwarded-Host are not trusted: a page can set them.
 *
 * Threads: vx_origin_check and vx_origin_add_headers: the daemon thread of the request. The rest: any.
 */
#pragma once

#include <stdbool.h>

#include "api/http/request.h"
#include "base/err.h"
#include "base/mem.h"

typedef struct vx_origins vx_origins;

/* Reads the settings.
 *   hosts    comma separated names, without ports, that the server answers to; NULL = none
 *   origins  comma separated origins (https://host[:port]) whose pages may use the API and whose host
 *            names the server answers to, or * for every site; NULL = none
 * Returns 0, -EINVAL with a message that names the setting, or -ENOMEM. */
int vx_origins_new(const char *hosts, const char *origins, vx_origins **ret_origins, vx_err *err);
vx_origins *vx_origins_free(vx_origins *origins); /* NULL-safe; returns NULL */
VX_DEFINE_AUTO(vx_origins, vx_origins_free)

/* Whether the request may be answered. False: a 400 or 403 is the reply. */
bool vx_origin_check(vx_request *request);
/* Adds the CORS headers to the reply. */
void vx_origin_add_headers(vx_request *request);
