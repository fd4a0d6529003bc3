/* segment.h — a block of rows with one lock: a FAISS IndexFlatIP, and the id, the group and the codes of
 * each row (private to index/).
 *
 * Rows are dense: a removed row is replaced by the last one. Threads: search and copy_row run
 * beside each other; append and remove are exclusive here and additionally serialised by the
 * caller, who may therefore read `n` and `ids` without the lock while no write is under way.
 */
#pragma once

#include "base/thread.h"
#include "codes.h"
#include "faiss_flat.h"
#include "score.h"

typedef struct vx_segment {
    vx_rwlock lock;     /* guards all below */
    vx_faiss *flat;     /* exactly n rows */
    int64_t *ids;       /* [capacity] */
    int64_t *groups;    /* [capacity] */
    vx_row_codes codes; /* .kernel NULL: none */
    size_t n;
    size_t peak; /* most rows ever: FAISS keeps their memory */
    size_t capacity;
    int dim;
} vx_segment;

/* The rows that may be offered: those whose group, or whose own id, is in the set. */
typedef struct vx_selected {
    vx_idset_bits bits;
    bool by_id;
} vx_selected;

/* One query while it visits a segment. */
typedef struct vx_probe {
    const float *query;      /* borrows float32 [dim], finite */
    vx_codes_query coded;    /* where the segments have codes */
    float slack;             /* FAISS's score lies this close to vx_score_dot()'s */
    float bound;             /* results below it are of no use */
    float max_score;         /* nor are results above it */
    const vx_idset *not_ids; /* this and the next as vx_index_query has them */
    int64_t before_id;
    vx_topk top;        /* best results seen here */
    vx_index_work work; /* done here */
} vx_probe;

/* kernel: NULL = no codes; FAISS then finds the candidates. */
int vx_segment_new(int dim, size_t capacity, const vx_dots_kernel *kernel, vx_segment **ret_segment,
                   vx_err *err);
vx_segment *vx_segment_free(vx_segment *segment);

/* Appends n rows (n <= capacity - segment->n), in slices so that searches get in between (but all
 * at once into an empty segment); on failure the first *ret_n of them were appended. */
int vx_segment_append(vx_segment *segment, const int64_t *ids, const int64_t *groups,
                      const float *vectors, size_t n, size_t *ret_n, vx_err *err);

/* Removes rows, given in falling order without repeats. Every rows[i] below the new segment->n then
 * holds another id, for the caller to note. Nothing changes on failure. */
int vx_segment_remove(vx_segment *segment, const uint32_t *rows, size_t n, vx_err *err);

/* The highest score of one row with n queries (float32 [n, dim]); NaN if none is a number. */
float vx_segment_score_row(vx_segment *segment, size_t row, const float *queries, size_t n);
void vx_segment_copy_row(vx_segment *segment, size_t row, float *ret_vector);

/* Adds to every probe's top what this segment has to offer at or above its bound. The probes' queries
 * lie in one block, float32 [n, dim], and so do their codes.
 *   selected  NULL = all rows */
int vx_segment_search(vx_segment *segment, vx_probe *probes, size_t n, const vx_selected *selected,
                      vx_err *err);
