/* package.h — reading and checking one model package; private to src/embed/.
 *
 * A file is checked before libtorch sees a byte of it: a TorchScript archive is a program, so its
 * digest is compared first. What this start does not load must only exist: a package may hold
 * gigabytes for other devices, and its vector space is named by the digests in the manifest. Threads: any.
 */
#pragma once

#include "embed.h"

enum { VX_PACKAGE_MAX_FILES = 16, VX_PACKAGE_MAX_VARIANTS = 8, VX_PACKAGE_PATH = 1024 + 64 };

/* One way to run the video tower; all variants of a package write into the same vector space. */
typedef struct vx_variant {
    char file[64];
    char device[8];       /* "cpu" or "cuda" */
    char dtype[8];        /* what the module computes in: "fp32", "bf16", "fp16", "fp8" */
    bool needs_amx;       /* not worth running on a CPU without bfloat16 tiles */
    bool slow;            /* works, but the model is meant for another device: people are told */
    int max_batch;        /* clips per run that this variant is fastest with, 1..256 */
    int64_t memory_bytes; /* that a CUDA device must have free; 0 = not stated */
} vx_variant;

typedef struct vx_package {
    char dir[1024];
    vx_model_info info; /* device and dtype are empty: they come with the variant */
    vx_variant variants[VX_PACKAGE_MAX_VARIANTS]; /* in the order of preference */
    int n_variants;
    char text_file[64], text_vocab[64]; /* when info.has_text */
    int n_files;
    struct {
        char name[64];
        char sha256[65];
    } files[VX_PACKAGE_MAX_FILES]; /* sorted by name */
} vx_package;

/* Reads <models_dir>/<name>/manifest.json, checks every field and that every file is there, and
 * computes info.digest from the manifest's digests. Returns 0, -errno, VX_EMBED_NO_PACKAGE or
 * VX_EMBED_BAD_PACKAGE. */
int vx_package_read(const char *models_dir, const char *name, vx_package *ret_package, vx_err *err);

/* Compares the digest of a file that the manifest lists with what it says: 1.6 GB/s on one core.
 * Returns 0, -errno or VX_EMBED_BAD_PACKAGE. */
int vx_package_check_file(const vx_package *package, const char *name, vx_err *err);

/* Whether the package has that role; VX_EMBED_BAD_PACKAGE says which setting takes it. */
int vx_package_check_role(const vx_package *package, vx_model_role role, vx_err *err);

/* vx_package_read without a look at the files; info.digest stays empty. */
int vx_package_read_manifest(const char *models_dir, const char *name, vx_package *ret_package,
                             vx_err *err);

/* manifest.c: the fields alone, from parsed text; no file is touched. */
int vx_manifest_read(const char *path, vx_package *package, vx_err *err);
