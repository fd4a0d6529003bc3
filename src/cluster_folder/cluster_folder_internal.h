/* cluster_folder_internal.h — what the files of src/cluster_folder share. */
#pragma once

#include <limits.h>
#include <stdio.h>

#include "cluster_folder.h"

/* read.c: the output of vidx embed. */
typedef struct vx_embedded {
    const float *vectors; /* [n, dim], in the mapped file */
    size_t n;
    int dim;
    char **clip_ids, **files; /* [n]; owned */
    void *mapped;
    size_t mapped_bytes;
} vx_embedded;
int vx_embedded_read(const char *folder, vx_embedded *ret, vx_err *err);
void vx_embedded_done(vx_embedded *embedded);

/* write.c: files below a folder, each durable when it returns 0. */
int vx_cluster_folder_write(const char *folder, const vx_embedded *in, const vx_clustering *found,
                            const float *points, const double share[2], vx_err *err);
/* An NPY 1.0 file of n rows of `width` numbers (0: one-dimensional) of 4 bytes. descr: "<f4", "<i4". */
int vx_write_npy(const char *folder, const char *name, const char *descr, const void *data,
                 size_t n, size_t width, vx_err *err);
/* Opens <folder>/<name> for writing, with the folders above it; close it with vx_close_durably. */
int vx_open_below(const char *folder, const char *name, FILE **ret_file, vx_err *err);
int vx_close_durably(FILE *file, const char *name, vx_err *err);

/* curator.c. ret_removed: how many clips are to go. */
int vx_cluster_folder_write_curator(const char *folder, const vx_embedded *in,
                                    const vx_clustering *found, double eps,
                                    bool (*interrupted)(void), size_t *ret_removed, vx_err *err);
