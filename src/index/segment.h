/* segment.h — a block of rows with one lock: a FAISS IndexFlatIP, and the id, the group and the codes of
 * each row (private to index/).
 *
 * Rows are dense: a removed row is replaced by the last one. Threads: search and copy_row run
 * beside each other; append and remove are exclusive here and additionally serialised by the
 * caller, who may therefore read `n` and `ids` without the lock while no write is under way.
 */
#pragma once

#include "base/thread.h"
#include "first_pass.h"
#include "scan_gpu.h"

typedef struct vx_segment {
    vx_rwlock lock;  /* guards all below */
    vx_faiss *flat;  /* exactly n rows */
    int64_t *ids;    /* [capacity] */
    int64_t *groups; /* [capacity] */
    const vx_first_pass *first_pass;
    vx_row_codes codes; /* .kernel NULL: none */
    float max_length;   /* at least that of any row with finite numbers; 0 where there are codes */
    uint64_t removals;  /* how often rows were removed */
    uint64_t *changed_tiles; /* a bit for each that was written since the GPU copied it (gpu.h) */
    size_t n;
    size_t peak; /* most rows ever: FAISS keeps their memory */
    size_t capacity;
    int dim;
} vx_segment;

/* kernel: of the codes, for a first pass that has them. */
int vx_segment_new(int dim, size_t capacity, const vx_first_pass *first_pass,
                   const vx_dots_kernel *kernel, vx_segment **ret_segment, vx_err *err);
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

/* Which rows of a segment a scan visits: from `first` (a multiple of VX_TILE_ROWS) on, before `end`. */
typedef struct vx_segment_part {
    size_t first, end;
    const vx_selected *selected; /* as vx_first_pass has it; borrows */
    const vx_gpu_found *found;   /* by a GPU, in this segment too; NULL: nothing; borrows */
    bool settle;                 /* nothing is held in the end */
} vx_segment_part;

/* The first pass over a part for n probes, as vx_first_pass has them. Each then has the best results in its
 * top, or holds what can be one.
 *   ret_removals  how often rows were removed before. Where it is another number for another part of the
 *                 segment, rows may have moved between these, and so be missing or seen twice */
int vx_segment_scan(vx_segment *segment, const vx_segment_part *part, vx_probe *probes, size_t n,
                    uint64_t *ret_removals, vx_err *err);

/* Scores a row that a probe held exactly; false: it is not there any more. */
bool vx_segment_offer_held(vx_segment *segment, vx_probe *probe, const vx_held *held);

/* For the GPU's thread, which alone calls them, with the segment locked for reading. */
static inline bool vx_segment_tile_changed(const vx_segment *segment, size_t tile) {
    return segment->changed_tiles[tile / 64] >> tile % 64 & 1;
}
void vx_segment_note_copied(vx_segment *segment, size_t n_tiles);
