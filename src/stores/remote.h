/* remote.h — the part of stores.h about searching, for outside.h too (private; stores.h includes it). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

#define VX_REMOTE_CONNECTIONS 64 /* that are kept */

/* Where a collection may go, as the operator said, and by which secrets. Borrows. */
typedef struct vx_store_access {
    const char
        *hosts; /* [http://]HOST[:PORT], with commas, as in src/stores/README.md; NULL: none */
    const char *folders;   /* NAME=DIR, one a line; NULL: none */
    const char *keys_path; /* of the file of credentials; NULL: none */
    const char *ca_path;   /* of the certificates that are trusted; NULL: the machine's */
} vx_store_access;

/* A store that answers searches in place of the index in memory. Threads: any. */
typedef struct vx_remote vx_remote;

typedef struct vx_remote_params {
    const char *url;        /* of Milvus; its host needs no other permission */
    vx_store_access access; /* its texts are borrowed until close */
    int dim;
} vx_remote_params;
/* Does not connect yet. -errno, or > 0: the URL is wrong. */
int vx_remote_open(const vx_remote_params *params, vx_remote **ret_remote, vx_err *err);
vx_remote *vx_remote_close(vx_remote *remote);
const char *vx_remote_kind(const vx_remote *remote); /* "milvus"; static */
/* How fresh its answers are: "bounded". Static. */
const char *vx_remote_consistency(const vx_remote *remote);

/* What the store says of a clip; borrowed until return. Checked: ids have the form of ours, numbers are
 * finite, metadata is the text of a JSON object. */
typedef struct vx_remote_hit {
    const char *video, *clip; /* ids */
    double start_s, end_s;
    float score;
    const char *filename, *metadata;
} vx_remote_hit;
typedef int (*vx_remote_on_hit)(void *ctx, const vx_remote_hit *hit, vx_err *err);
/* Asked before a search and about once a second during it: once true, the search ends as if the store were
 * away. */
typedef struct vx_remote_watch {
    bool (*cancelled)(void *ctx);
    void *ctx;
} vx_remote_watch;
/* The k nearest, best first. vector: float32 [dim]. -errno, or > 0: it is away, or does not fit. */
int vx_remote_search(vx_remote *remote, const float *vector, size_t k, const vx_remote_watch *watch,
                     vx_remote_on_hit on_hit, void *ctx, vx_err *err);
