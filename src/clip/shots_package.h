/* shots_package.h — reads and checks the package of the shots model (private to src/clip).
 *
 * As with embedding models, everything is verified before libtorch reads a byte, because a TorchScript
 * archive is a program. Threads: any.
 */
#pragma once

#include "clip.h"

enum { VX_SHOTS_MAX_VARIANTS = 8 };

/* One way to run the network. */
typedef struct vx_shots_variant {
    char file[64], device[8], dtype[8]; /* device: cpu or cuda */
    bool needs_amx;
    int max_batch;        /* windows per run, 1..64 */
    int64_t memory_bytes; /* free memory that a CUDA device needs */
} vx_shots_variant;

typedef struct vx_shots_package {
    char dir[1024];
    vx_shots_info info; /* without device and dtype; digest: over the manifest's `files` */
    vx_shots_variant variants[VX_SHOTS_MAX_VARIANTS]; /* best first */
    int n_variants;
} vx_shots_package;

/* Returns 0, VX_SHOTS_NO_PACKAGE, VX_SHOTS_BAD_PACKAGE or -errno. */
int vx_shots_package_read(const char *models_dir, vx_shots_package *ret_package, vx_err *err);
