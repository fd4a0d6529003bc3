/* export.h — the vectors of one model, with what they are of, as a file that other programs read.
 *
 * Out      the file in pieces, for whoever sends or writes it. All pieces are of one moment, whatever is
 *          stored meanwhile (catalog.h, Snapshots). Videos in the order in which they came, clips in theirs.
 *            faiss    IndexIDMap over IndexFlatIP: float32 [n, dim], ids int64 [n]
 *            npy      NumPy, float32 [n, dim], the same rows in the same order
 *            jsonl    a JSON object a line and clip, with its vector in digits that read back the same
 *            parquet  the same columns; `id` and `embedding` are those of NeMo Curator
 *            labels   NumPy, int32 [n]: the cluster of each row in a clustering, -1: in none
 *            pinecone Parquet for Pinecone's import: id, values, and metadata as point.h has it
 *          With a clustering, jsonl and parquet have the columns cluster and cluster_score, too.
 *          The id of FAISS is `faiss_id` of jsonl and parquet; it never belongs to another clip.
 * Errs     VX_CATALOG_NOT_FOUND (no such clustering of this model), -EIO (a damaged vector: the file would not be whole), -ENOMEM, -ECANCELED
 * Threads  external lock
 * Memory   a vector and a buffer; 16 MiB for parquet; 8 bytes a row for faiss; 8 bytes a video with a filter
 */
#pragma once

#include <stdatomic.h>
#include <stdio.h>

#include "base/mem.h"
#include "catalog/catalog.h"
#include "filter/filter.h"

typedef enum vx_export_format {
    VX_EXPORT_FAISS,
    VX_EXPORT_NPY,
    VX_EXPORT_JSONL,
    VX_EXPORT_PARQUET,
    VX_EXPORT_LABELS,
    VX_EXPORT_PINECONE,
} vx_export_format;
#define VX_EXPORT_FORMATS "faiss npy jsonl parquet labels pinecone" /* the names, in that order */

typedef struct vx_export_params {
    vx_catalog *catalog; /* borrows, until free */
    const char *model;   /* its name, which jsonl and parquet tell; borrows, until free */
    int64_t space;
    int dim;
    vx_export_format format;
    const char *
        clustering; /* id; needed by labels, NULL elsewhere: none; borrows, until vx_export_open returns */
    const vx_filter
        *filter; /* only what passes; NULL = all; borrows, until vx_export_open returns */
    const atomic_bool *stop; /* NULL, or once true the search for what passes ends */
    vx_snapshot *snapshot;   /* NULL: one of now; borrows, until free; for one export at a time */
    int64_t first_video, last_video; /* only videos of these rows; last_video 0: all */
    bool no_vectors;                 /* jsonl: without "embedding" */
} vx_export_params;

typedef struct vx_export vx_export;
/* With a filter this reads every video once: some 50,000 a second. */
int vx_export_open(const vx_export_params *params, vx_export **ret_export, vx_err *err);
vx_export *vx_export_free(vx_export *export);
VX_DEFINE_AUTO(vx_export, vx_export_free)

int64_t vx_export_rows(const vx_export *export);
/* The next piece, mostly below 1 MiB; borrowed until the next call. *ret_n 0: that was all. */
int vx_export_next(vx_export *export, const void **ret_bytes, size_t *ret_n, vx_err *err);
/* Writes all pieces to a file that was opened for writing, and flushes it. */
int vx_export_write(vx_export *export, FILE *file, vx_err *err);
/* NULL, or what is wrong with a clustering, or none, in this format: a sentence. */
const char *vx_export_refuses(vx_export_format format, const char *clustering);
/* The media type of a format. */
const char *vx_export_content_type(vx_export_format format);
