/* segment.c — how a segment finds its exact k best. A first pass names the rows that can matter; each of
 * them is scored again with vx_score_dot(), which alone decides the order. There are two first passes:
 *
 * Codes (codes.h). A tile of 64 rows at a time: integer products with the queries, then every row whose
 * score, by the bound of its codes' error, can reach the k-th best so far is scored again at once, which
 * raises that bar for the rows that follow. Of a million random rows some hundred are scored again.
 *
 * FAISS, where the processor has no instructions for the codes. It gives the k + PAD best candidates by
 * its own float32 score. A row that FAISS left out has a FAISS score of at most the last candidate's, so
 * its true score is at most that plus `slack`. If this is below the k-th best found, no row was missed.
 * Otherwise (many equal or nearly equal vectors) the segment is scanned row by row, as it is when only
 * some groups are selected: slower, but simple and exact.
 */
#include "segment.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define PAD 32
#define APPEND_SLICE_BYTES ((size_t)8 << 20) /* copied in a few ms: the longest a search waits */

int vx_segment_new(int dim, size_t capacity, const vx_dots_kernel *kernel, vx_segment **ret_segment,
                   vx_err *err) {
    vx_segment *segment = vx_new(vx_segment);
    if (!segment)
        return VX_FAIL(err, -ENOMEM, "no memory for an index segment");
    vx_rwlock_init(&segment->lock);
    segment->dim = dim;
    segment->capacity = capacity;
    segment->ids = vx_new_array(capacity, sizeof(*segment->ids));
    segment->groups = vx_new_array(capacity, sizeof(*segment->groups));
    int rc = 0;
    if (!segment->ids || !segment->groups ||
        (kernel && vx_codes_init(&segment->codes, kernel, (size_t)dim, capacity)))
        rc = VX_FAIL(err, -ENOMEM, "no memory for an index segment of %zu rows", capacity);
    if (!rc)
        rc = vx_faiss_new(dim, &segment->flat, err);
    if (rc)
        vx_segment_free(segment);
    else
        *ret_segment = segment;
    return rc;
}

vx_segment *vx_segment_free(vx_segment *segment) {
    if (!segment)
        return NULL;
    vx_faiss_free(segment->flat);
    vx_codes_done(&segment->codes);
    free(segment->ids);
    free(segment->groups);
    vx_rwlock_done(&segment->lock);
    free(segment);
    return NULL;
}

int vx_segment_append(vx_segment *segment, const int64_t *ids, const int64_t *groups,
                      const float *vectors, size_t n, size_t *ret_n, vx_err *err) {
    size_t row_bytes = (size_t)segment->dim * sizeof(float);
    size_t slice_rows = APPEND_SLICE_BYTES / row_bytes;
    for (*ret_n = 0; *ret_n < n;) {
        /* The first rows go in at once, as FAISS then allocates exactly what they need and not
         * twice over, step by step; nothing there is worth a search yet. */
        bool whole = segment->n == 0 || n - *ret_n < slice_rows;
        size_t slice = whole ? n - *ret_n : slice_rows;
        const float *rows = vectors + *ret_n * (size_t)segment->dim;
        vx_rwlock_write(&segment->lock);
        int rc = vx_faiss_add(segment->flat, rows, slice, err);
        if (rc == 0) {
            memcpy(segment->ids + segment->n, ids + *ret_n, slice * sizeof(*ids));
            memcpy(segment->groups + segment->n, groups + *ret_n, slice * sizeof(*groups));
            if (segment->codes.kernel)
                vx_codes_put(&segment->codes, segment->n, rows, slice);
            segment->n += slice;
            segment->peak = segment->n > segment->peak ? segment->n : segment->peak;
        }
        vx_rwlock_end_write(&segment->lock);
        if (rc)
            return rc;
        *ret_n += slice;
    }
    return 0;
}

static void swap_rows(vx_segment *segment, size_t a, size_t b) {
    size_t dim = (size_t)segment->dim;
    float *row_a = vx_faiss_rows(segment->flat) + a * dim;
    float *row_b = vx_faiss_rows(segment->flat) + b * dim;
    for (size_t i = 0; a != b && i < dim; i++) {
        float kept = row_a[i];
        row_a[i] = row_b[i];
        row_b[i] = kept;
    }
    int64_t kept_id = segment->ids[a], kept_group = segment->groups[a];
    segment->ids[a] = segment->ids[b];
    segment->ids[b] = kept_id;
    segment->groups[a] = segment->groups[b];
    segment->groups[b] = kept_group;
}

int vx_segment_remove(vx_segment *segment, const uint32_t *rows, size_t n, vx_err *err) {
    vx_rwlock_write(&segment->lock);
    /* Falling order: what lies behind the i-th row's partner is condemned already. */
    for (size_t i = 0; i < n; i++)
        swap_rows(segment, rows[i], segment->n - 1 - i);
    int rc = vx_faiss_drop_last(segment->flat, n, err);
    if (rc == 0)
        segment->n -= n;
    for (size_t i = n; rc && i-- > 0;)
        swap_rows(segment, rows[i], segment->n - 1 - i);
    for (size_t i = 0; i < n && !rc && segment->codes.kernel; i++)
        if (rows[i] < segment->n)
            vx_codes_put(&segment->codes, rows[i],
                         vx_faiss_rows(segment->flat) + rows[i] * (size_t)segment->dim, 1);
    vx_rwlock_end_write(&segment->lock);
    return rc;
}

void vx_segment_copy_row(vx_segment *segment, size_t row, float *ret_vector) {
    size_t dim = (size_t)segment->dim;
    vx_rwlock_read(&segment->lock);
    memcpy(ret_vector, vx_faiss_rows(segment->flat) + row * dim, dim * sizeof(float));
    vx_rwlock_end_read(&segment->lock);
}

float vx_segment_score_row(vx_segment *segment, size_t row, const float *queries, size_t n) {
    size_t dim = (size_t)segment->dim;
    float best = NAN;
    vx_rwlock_read(&segment->lock);
    for (size_t i = 0; i < n; i++) {
        float score =
            vx_score_dot(queries + i * dim, vx_faiss_rows(segment->flat) + row * dim, dim);
        if (!(best >= score))
            best = score;
    }
    vx_rwlock_end_read(&segment->lock);
    return best;
}

/* The score that a row must reach now to matter to this probe. */
static float bar(const vx_probe *probe) {
    const vx_topk *top = &probe->top;
    bool full = top->n == top->k && top->k > 0;
    return full && top->items[0].score > probe->bound ? top->items[0].score : probe->bound;
}

/* Scores one row exactly. `rows` are the segment's. */
static void offer(const vx_segment *segment, vx_probe *probe, const float *rows, size_t row) {
    int64_t id = segment->ids[row];
    if ((probe->before_id && id >= probe->before_id) ||
        (probe->not_ids && vx_idset_contains(probe->not_ids, id)))
        return;
    size_t dim = (size_t)segment->dim;
    float score = vx_score_dot(probe->query, rows + row * dim, dim);
    probe->work.rows_rescored++;
    if (score >= probe->bound && score <= probe->max_score) /* false for NaN */
        vx_topk_push(&probe->top, (vx_neighbour){id, segment->groups[row], score});
}

/* ---- by codes ---- */

/* Dot products that are computed before they are looked at: 8 KiB of them. */
#define QUERIES_AT_ONCE 32
/* Where a tile has only so few selected rows for one query, they are scored exactly at once: a row is four
 * times as long as its codes, but the tile has 64. With several queries the codes are read only once. */
#define FEW_ROWS 4

/* Bit i: row i of the tile that begins at row `first` is there and selected. */
static uint64_t selected_locked(const vx_segment *segment, size_t first,
                                const vx_selected *selected) VX_REQUIRES_SHARED(&segment->lock) {
    size_t n = segment->n - first;
    if (!selected)
        return n >= VX_TILE_ROWS ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
    const int64_t *keys = (selected->by_id ? segment->ids : segment->groups) + first;
    uint64_t rows = 0;
    bool has = false;
    for (size_t i = 0; i < n && i < VX_TILE_ROWS; i++) {
        if (i == 0 || keys[i] != keys[i - 1]) /* rows of one group mostly lie together */
            has = vx_idset_bits_have(&selected->bits, keys[i]);
        rows |= (uint64_t)has << i;
    }
    return rows;
}

/* Whether the row can be better than the best one of its group, by the codes. Without this each of a
 * film's 10,000 clips would be scored exactly where the film is a result. */
static bool can_lead_its_group(const vx_segment *segment, const vx_probe *probe, size_t row,
                               int32_t dot) {
    const vx_row_codes *codes = &segment->codes;
    const vx_neighbour *best = vx_topk_of_group(&probe->top, segment->groups[row]);
    if (!best)
        return true;
    vx_dots_bar bar = vx_codes_bar(codes, &probe->coded, best->score);
    return vx_dots_reaches(dot, codes->scales[row], codes->errors[row], &bar);
}

/* The rows of a tile that can matter to one query, by its integer products with them. */
static void offer_tile_locked(const vx_segment *segment, vx_probe *probe, const float *rows,
                              size_t first, const int32_t *dots, uint64_t wanted)
    VX_REQUIRES_SHARED(&segment->lock) {
    const vx_row_codes *codes = &segment->codes;
    vx_dots_bar least = vx_codes_bar(codes, &probe->coded, bar(probe));
    uint64_t reach =
        wanted & codes->kernel->reach(dots, codes->scales + first, codes->errors + first, &least);
    for (; reach; reach &= reach - 1) {
        size_t i = (size_t)__builtin_ctzll(reach);
        if (!probe->top.by_group || can_lead_its_group(segment, probe, first + i, dots[i]))
            offer(segment, probe, rows, first + i);
    }
}

static void scan_tile_locked(const vx_segment *segment, vx_probe *probes, size_t n,
                             const float *rows, size_t first, uint64_t wanted)
    VX_REQUIRES_SHARED(&segment->lock) {
    const vx_row_codes *codes = &segment->codes;
    const uint8_t *tile = vx_codes_tile(codes, first / VX_TILE_ROWS);
    _Alignas(64) int32_t dots[QUERIES_AT_ONCE * VX_TILE_ROWS];
    for (size_t q = 0, now; q < n; q += now) {
        now = n - q < QUERIES_AT_ONCE ? n - q : QUERIES_AT_ONCE;
        codes->kernel->tile(tile, codes->groups, probes[q].coded.codes, now, dots);
        for (size_t i = 0; i < now; i++)
            offer_tile_locked(segment, &probes[q + i], rows, first, dots + i * VX_TILE_ROWS,
                              wanted);
    }
}

static void scan_codes_locked(const vx_segment *segment, vx_probe *probes, size_t n,
                              const vx_selected *selected) VX_REQUIRES_SHARED(&segment->lock) {
    const float *rows = vx_faiss_rows(segment->flat);
    int64_t n_scanned = 0;
    for (size_t first = 0; first < segment->n; first += VX_TILE_ROWS) {
        uint64_t wanted = selected_locked(segment, first, selected);
        size_t n_wanted = (size_t)__builtin_popcountll(wanted);
        n_scanned += (int64_t)n_wanted;
        if (n_wanted * n > FEW_ROWS) {
            scan_tile_locked(segment, probes, n, rows, first, wanted);
            continue;
        }
        for (; wanted; wanted &= wanted - 1)
            for (size_t i = 0; i < n; i++)
                offer(segment, &probes[i], rows, first + (size_t)__builtin_ctzll(wanted));
    }
    for (size_t i = 0; i < n; i++)
        probes[i].work.rows_scanned += n_scanned;
}

/* ---- by FAISS ---- */

static void scan_rows_locked(const vx_segment *segment, vx_probe *probes, size_t n,
                             const vx_selected *selected) VX_REQUIRES_SHARED(&segment->lock) {
    const float *rows = vx_faiss_rows(segment->flat);
    for (size_t row = 0; row < segment->n; row++) {
        if (selected &&
            !vx_idset_bits_have(&selected->bits,
                                selected->by_id ? segment->ids[row] : segment->groups[row]))
            continue;
        for (size_t i = 0; i < n; i++) {
            probes[i].work.rows_scanned++;
            offer(segment, &probes[i], rows, row);
        }
    }
}

/* Scores one query's candidates again; false = a row outside them could belong to the result. */
static bool settle_locked(const vx_segment *segment, vx_probe *probe, const float *scores,
                          const int64_t *candidates, size_t n) VX_REQUIRES_SHARED(&segment->lock) {
    const float *rows = vx_faiss_rows(segment->flat);
    for (size_t i = 0; i < n && candidates[i] >= 0; i++) {
        if (scores[i] + probe->slack < bar(probe))
            return true;
        offer(segment, probe, rows, (size_t)candidates[i]);
    }
    /* Fewer than n: the rest are no numbers and never match. */
    return candidates[n - 1] < 0 || scores[n - 1] + probe->slack < bar(probe);
}

static int candidates_locked(const vx_segment *segment, vx_probe *probes, size_t n, size_t k,
                             vx_err *err) VX_REQUIRES_SHARED(&segment->lock) {
    size_t n_results;
    if (!vx_mul(n, k, &n_results))
        return VX_FAIL(err, -ENOMEM, "search for %zu × %zu results is too large", n, k);
    VX_AUTO_FREE float *scores = vx_new_array(n_results, sizeof(*scores));
    VX_AUTO_FREE int64_t *rows = vx_new_array(n_results, sizeof(*rows));
    if (!scores || !rows)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu candidates", n_results);
    int rc = vx_faiss_search(segment->flat, probes->query, n, k, scores, rows, err);
    for (size_t i = 0; i < n && rc == 0; i++) {
        probes[i].work.rows_scanned += (int64_t)segment->n;
        if (!settle_locked(segment, &probes[i], scores + i * k, rows + i * k, k)) {
            probes[i].top.n = 0;
            scan_rows_locked(segment, &probes[i], 1, NULL);
        }
    }
    return rc;
}

static int search_floats_locked(const vx_segment *segment, vx_probe *probes, size_t n,
                                const vx_selected *selected, vx_err *err)
    VX_REQUIRES_SHARED(&segment->lock) {
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        k = probes[i].top.k > k ? probes[i].top.k : k;
    /* Where most rows would be scored again anyway, FAISS's pass is wasted. */
    if (!selected && k + PAD <= segment->n / 2)
        return candidates_locked(segment, probes, n, k + PAD, err);
    scan_rows_locked(segment, probes, n, selected);
    return 0;
}

int vx_segment_search(vx_segment *segment, vx_probe *probes, size_t n, const vx_selected *selected,
                      vx_err *err) {
    int rc = 0;
    vx_rwlock_read(&segment->lock);
    if (segment->codes.kernel)
        scan_codes_locked(segment, probes, n, selected);
    else
        rc = search_floats_locked(segment, probes, n, selected, err);
    vx_rwlock_end_read(&segment->lock);
    return rc;
}
