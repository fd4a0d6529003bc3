/* cluster_folder_internal.h — what the files of src/cluster_folder share. */
#pragma once

#include <jansson.h>
#include <limits.h>
#include <stdio.h>

#include "cluster_folder.h"

/* read.c: the output of vidx embed. */
typedef struct vx_embedded {
    const float *vectors; /* [n, dim], in the mapped file */
    size_t n;
    int dim;
    char **clip_ids, **files;   /* [n]; owned */
    char model[64], digest[65]; /* as the first line of clips.jsonl says; "" = it does not */
    void *mapped;
    size_t mapped_bytes;
} vx_embedded;
int vx_embedded_read(const char *folder, vx_embedded *ret, vx_err *err);
void vx_embedded_done(vx_embedded *embedded);

/* names.c: the concepts nearest to each cluster: [k] arrays of {"concept", "cosine"}, the nearest first. Gives the
 * array; NULL where there are no names, which has been said. -errno: the file of concepts is wrong. */
int vx_cluster_folder_names(const vx_cluster_folder_params *params, const vx_embedded *in,
                            const vx_clustering *found, json_t **ret_names, vx_err *err);

/* write.c: files below a folder, each durable when it returns 0. names: as above; borrows; NULL: none. */
int vx_cluster_folder_write(const char *folder, const vx_embedded *in, const vx_clustering *found,
                            const float *points, const double share[2], const json_t *names,
                            vx_err *err);
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
