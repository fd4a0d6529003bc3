/* assets.c — the web page and /openapi.yaml, which are part of the binary. */
#include "api/resources/assets.h"

#include <string.h>

#include "api/http/reply.h"
#include "api/resources/handlers.h"
#include "base/mem.h"

/* No other hosts, no inline scripts: the page shows names and metadata from untrusted files. */
#define PAGE_POLICY                                                                                \
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; object-src 'none'; "  \
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

static const vx_asset *find(const char *path) {
    for (size_t i = 0; i < vx_assets_count; i++)
        if (!strcmp(vx_assets[i].path, path))
            return &vx_assets[i];
    return NULL;
}

void vx_assets_get(vx_request *request) {
    const vx_asset *asset = find(request->route->path);
    if (!asset) {
        vx_reply_problem(request, VX_PROBLEM_NO_ROUTE, NULL);
        return;
    }
    const char *known = vx_request_header(request, MHD_HTTP_HEADER_IF_NONE_MATCH);
    if (known && strstr(known, asset->etag))
        vx_reply_empty(request, VX_SUCCESS_NOT_MODIFIED);
    else
        vx_reply_static(request, asset->bytes, asset->n, asset->type);
    vx_reply_header(request, MHD_HTTP_HEADER_ETAG, asset->etag);
    vx_reply_header(request, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache");
    vx_reply_header(request, "Content-Security-Policy", PAGE_POLICY);
    vx_reply_header(request, "Referrer-Policy", "no-referrer");
}

/* The `type` of a problem is an address, which explains it. */
void vx_problems_get(vx_request *request) {
    VX_AUTO_OUT out = {0};
    if (vx_problem_write_named(&out, request->args[0]))
        vx_reply_json(request, VX_SUCCESS_OK, &out);
    else
        vx_reply_problem(request, VX_PROBLEM_NOT_FOUND, "Not found: no problem has this name.");
}
