/* settings.h — the settings of the HTTP daemon. Threads: any (plain data). */
#pragma once

#include <stddef.h>

typedef struct vx_http_params {
    const char *listen;    /* borrows; HOST:PORT or [IPv6]:PORT; port 0 = any free one */
    int threads;           /* 0 = 8 */
    int max_connections;   /* with a request in work; 0 = 4096. Fewer where the limit of open files
                              asks for it */
    int idle_timeout_s;    /* 0 = 120. A connection may be silent this long, and the headers of a
                              request must be complete within it. A body that takes longer must
                              arrive at 256 bytes a second at least */
    size_t max_json_bytes; /* largest JSON body; 0 = 1 MiB */
    size_t max_embeddings_json_bytes; /* the same for /v1/embeddings; 0 = 32 MiB. All bodies over
                                         max_json_bytes together may take twice this */
    const char *hosts; /* borrows; comma separated names that the server answers to, besides IP
                          addresses and localhost; NULL = none */
    const char *allow_origin; /* borrows; comma separated origins (https://host[:port]) whose pages
                                 may use the API and whose host names the server answers to, or *
                                 for every site; NULL = none */
} vx_http_params;
