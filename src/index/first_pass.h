/* first_pass.h — which rows can be results of a query (private to index/).
 *
 * A search has two steps. A first pass scores rows with less work than vx_score_dot() takes, and knows how
 * far that can be off: by what it lost of each row, and by a slack of the query and the segment. It gives
 * each row whose score can reach the probe's bar to vx_probe_consider(). In the second step such rows are
 * scored with vx_score_dot(), which alone decides. So every first pass gives the same answer, that of
 * vx_score_dot() over all rows.
 *
 *   vx_first_pass_codes   scan_codes.c   8-bit codes of the rows (codes.h)
 *   vx_first_pass_floats  scan_floats.c  FAISS over the float32 rows
 *
 * Rows are held back until all segments are scanned, each with the most and the least that its score can
 * be. Where a probe holds k rows, the k-th highest least is a bar that k rows are certain to reach; what
 * cannot reach it is dropped (by quickselect, so a row costs the same whatever k is). In the end few rows
 * are left, and they are scored in the order of their most until the k-th best is above the rest.
 *
 * Held back is not possible where the k best are not those of the most rows: with one row a group, or with
 * a greatest score. Such rows are scored at once, as are those that are too much alike for the bounds.
 *
 * Threads: any, each with probes of its own; the segment is locked for reading.
 */
#pragma once

#include "base/atomic.h"
#include "base/err.h"
#include "codes.h"
#include "faiss_flat.h"
#include "score.h"

#define VX_HELD_MAX_K 512
/* Rows that a probe holds of one segment before it drops what it can, which raises the bar. The bounds of 8-bit codes let
 * through up to five times k. */
#define VX_HELD_ROOM(k) (8 * (k) + 256)

/* The rows of a segment while it is locked; all borrowed. */
typedef struct vx_rows {
    const float *vectors;        /* float32 [n, dim] */
    const int64_t *ids, *groups; /* [n] */
    size_t n, dim;
    const vx_row_codes *codes; /* of these rows, where the first pass has codes */
    const vx_faiss *flat;      /* the same rows */
    float max_length;          /* at least that of any row with finite numbers */
} vx_rows;

typedef struct vx_held {
    float most, least; /* that its score can be */
    uint32_t segment, row;
    int64_t id; /* that lay there */
} vx_held;

/* One query while it visits a segment. */
typedef struct vx_probe {
    const float *query;      /* borrows float32 [dim], finite */
    vx_codes_query coded;    /* where there are codes */
    float length;            /* of the query; infinite or NaN if a number of it is */
    float bound;             /* results below it are of no use */
    float max_score;         /* nor are results above it */
    const vx_idset *not_ids; /* this and the next as vx_index_query has them */
    int64_t before_id;
    _Atomic float *shared_bar; /* that k rows reach for certain, in any segment; borrows */
    uint32_t segment;          /* which one it visits */
    vx_topk top;               /* best results seen here; k 0: none are wanted */
    vx_held *held; /* borrows [n_held of VX_HELD_ROOM(k)]; NULL: rows are scored at once */
    size_t n_held;
    float *scratch;     /* as many; other probes of the thread may share it */
    vx_index_work work; /* done here */
} vx_probe;

/* Whether a probe for this may hold rows back. */
bool vx_probe_can_hold(size_t k, bool by_group, float max_score);

/* The score that a row must reach now to matter to this probe. */
static inline float vx_probe_bar(const vx_probe *probe) {
    const vx_topk *top = &probe->top;
    float bar = atomic_load_explicit(probe->shared_bar, memory_order_relaxed);
    bar = probe->bound > bar ? probe->bound : bar;
    return top->n == top->k && top->k > 0 && top->items[0].score > bar ? top->items[0].score : bar;
}
void vx_probe_raise_bar(vx_probe *probe, float bar);

/* Whether the probe's ids let this row be a result. */
static inline bool vx_probe_may_take(const vx_probe *probe, int64_t id) {
    return !(probe->before_id && id >= probe->before_id) &&
           !(probe->not_ids && vx_idset_contains(probe->not_ids, id));
}

/* Scores one row exactly and takes it if it is among the best. */
void vx_probe_offer(vx_probe *probe, const vx_rows *rows, size_t row);
/* A row whose score lies within `off` of `score` (endless or NaN: anywhere). */
void vx_probe_consider(vx_probe *probe, const vx_rows *rows, size_t row, float score, float off);
/* Scores exactly what is held of these rows. */
void vx_probe_settle(vx_probe *probe, const vx_rows *rows);

/* Drops the held rows that cannot reach the k-th highest least of them, and raises *bar to that. Gives how
 * many are left. n >= k > 0; scratch: [n]. */
size_t vx_held_drop(vx_held *held, size_t n, size_t k, float *scratch, float *bar);
/* Makes a heap of them, and takes one after the other off it, the highest most first. */
void vx_held_order(vx_held *held, size_t n);
vx_held vx_held_take(vx_held *held, size_t *n);

/* The rows that may be results: those whose group, or whose own id, is in the set. */
typedef struct vx_selected {
    vx_idset_bits bits;
    bool by_id;
    atomic_size_t *in_vain; /* tiles in a row since asking was worth it (scan_codes.c); borrowed */
} vx_selected;

/* Considers what can matter of the rows from `first` (a multiple of VX_TILE_ROWS) on. The probes' queries
 * lie in one block, float32 [n, dim], and so do their codes.
 *   selected  NULL = all rows may be results
 * 0, -ENOMEM or -EIO. */
typedef struct vx_first_pass {
    const char *name;
    bool has_codes;
    int (*scan)(const vx_rows *rows, size_t first, vx_probe *probes, size_t n,
                const vx_selected *selected, vx_err *err);
} vx_first_pass;

extern const vx_first_pass vx_first_pass_codes, vx_first_pass_floats;
