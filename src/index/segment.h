/* segment.h — a block of rows with one lock: a FAISS IndexFlatIP and the id of each row
 * (private to index/).
 *
 * Rows are dense: a removed row is replaced by the last one. Threads: search and copy_row run
 * beside each other; append and remove are exclusive here and additionally serialised by the
 * caller, who may therefore read `n` and `ids` without the lock while no write is under way.
 */
#pragma once

#include "base/thread.h"
#include "faiss_flat.h"
#include "score.h"

typedef struct vx_segment {
    vx_rwlock lock; /* guards all below */
    vx_faiss *flat; /* exactly n rows */
    int64_t *ids;   /* [capacity] */
    size_t n;
    size_t peak; /* most rows ever: FAISS keeps their memory */
    size_t capacity;
    int dim;
} vx_segment;

/* One query while it visits a segment. */
typedef struct vx_probe {
    const float *query; /* borrows float32 [dim], finite */
    float slack;        /* FAISS's score lies this close to vx_score_dot()'s */
    float bound;        /* results below it are of no use */
    vx_topk top;        /* best results seen here */
} vx_probe;

int vx_segment_new(int dim, size_t capacity, vx_segment **ret_segment, vx_err *err);
vx_segment *vx_segment_free(vx_segment *segment);

/* Appends n rows (n <= capacity - segment->n), in slices so that searches get in between (but all
 * at once into an empty segment); on failure the first *ret_n of them were appended. */
int vx_segment_append(vx_segment *segment, const int64_t *ids, const float *vectors, size_t n,
                      size_t *ret_n, vx_err *err);

/* Removes rows, given in falling order without repeats. Every rows[i] below the new segment->n then
 * holds another id, for the caller to note. Nothing changes on failure. */
int vx_segment_remove(vx_segment *segment, const uint32_t *rows, size_t n, vx_err *err);

/* The highest score of one row with n queries (float32 [n, dim]); NaN if none is a number. */
float vx_segment_score_row(vx_segment *segment, size_t row, const float *queries, size_t n);
void vx_segment_copy_row(vx_segment *segment, size_t row, float *ret_vector);

/* Adds to every probe's top what this segment has to offer at or above its bound.
 *   queries  float32 [n, dim], the probes' queries in one block
 *   filter   NULL = all; else a full scan that asks once per row */
int vx_segment_search(vx_segment *segment, const float *queries, vx_probe *probes, size_t n,
                      vx_index_filter filter, void *filter_ctx, vx_err *err);
