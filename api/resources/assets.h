/* assets.h — the files of web/ and the API description, compiled in by embed_assets.py.
 * Threads: any (constant data). */
#pragma once

#include <stddef.h>

typedef struct vx_asset {
    const char *path; /* where it is served: "/", "/app.js" */
    const char *type;
    const char *etag; /* with its quotes */
    const unsigned char *bytes;
    size_t n;
} vx_asset;

extern const vx_asset vx_assets[];
extern const size_t vx_assets_count;
