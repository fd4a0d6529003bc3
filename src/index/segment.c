/* segment.c — how a segment finds its exact k best:
 *
 * FAISS gives the k + PAD best candidates by its own float32 score. Each candidate is scored again
 * with vx_score_dot(), which alone decides the order. A row that FAISS left out has a FAISS score
 * of at most the last candidate's, so its true score is at most that plus `slack`. If this is below
 * the k-th best found, no row was missed. Otherwise (many equal or nearly equal vectors) the
 * segment is scanned row by row, as it is when there is a filter: slower, but simple and exact.
 */
#include "segment.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define PAD 32
#define APPEND_SLICE_BYTES ((size_t)8 << 20) /* copied in a few ms: the longest a search waits */

int vx_segment_new(int dim, size_t capacity, vx_segment **ret_segment, vx_err *err) {
    vx_segment *segment = vx_new(vx_segment);
    if (!segment)
        return VX_FAIL(err, -ENOMEM, "no memory for an index segment");
    vx_rwlock_init(&segment->lock);
    segment->dim = dim;
    segment->capacity = capacity;
    segment->ids = vx_new_array(capacity, sizeof(*segment->ids));
    int rc = segment->ids ? vx_faiss_new(dim, &segment->flat, err)
                          : VX_FAIL(err, -ENOMEM, "no memory for %zu ids", capacity);
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
    free(segment->ids);
    vx_rwlock_done(&segment->lock);
    free(segment);
    return NULL;
}

int vx_segment_append(vx_segment *segment, const int64_t *ids, const float *vectors, size_t n,
                      size_t *ret_n, vx_err *err) {
    size_t row_bytes = (size_t)segment->dim * sizeof(float);
    size_t slice_rows = APPEND_SLICE_BYTES / row_bytes;
    for (*ret_n = 0; *ret_n < n;) {
        /* The first rows go in at once, as FAISS then allocates exactly what they need and not
         * twice over, step by step; nothing there is worth a search yet. */
        bool whole = segment->n == 0 || n - *ret_n < slice_rows;
        size_t slice = whole ? n - *ret_n : slice_rows;
        vx_rwlock_write(&segment->lock);
        int rc = vx_faiss_add(segment->flat, vectors + *ret_n * (size_t)segment->dim, slice, err);
        if (rc == 0) {
            memcpy(segment->ids + segment->n, ids + *ret_n, slice * sizeof(*ids));
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
    int64_t kept_id = segment->ids[a];
    segment->ids[a] = segment->ids[b];
    segment->ids[b] = kept_id;
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

static void offer(const vx_segment *segment, vx_probe *probe, const float *rows, size_t row) {
    float score =
        vx_score_dot(probe->query, rows + row * (size_t)segment->dim, (size_t)segment->dim);
    if (score >= probe->bound) /* false for NaN */
        vx_topk_push(&probe->top, (vx_neighbour){.id = segment->ids[row], .score = score});
}

static void scan_locked(const vx_segment *segment, vx_probe *probes, size_t n,
                        vx_index_filter filter, void *filter_ctx)
    VX_REQUIRES_SHARED(&segment->lock) {
    const float *rows = vx_faiss_rows(segment->flat);
    for (size_t row = 0; row < segment->n; row++) {
        if (filter && !filter(filter_ctx, segment->ids[row]))
            continue;
        for (size_t i = 0; i < n; i++)
            offer(segment, &probes[i], rows, row);
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

static int candidates_locked(const vx_segment *segment, const float *queries, vx_probe *probes,
                             size_t n, size_t k, vx_err *err) VX_REQUIRES_SHARED(&segment->lock) {
    size_t n_results;
    if (!vx_mul(n, k, &n_results))
        return VX_FAIL(err, -ENOMEM, "search for %zu × %zu results is too large", n, k);
    VX_AUTO_FREE float *scores = vx_new_array(n_results, sizeof(*scores));
    VX_AUTO_FREE int64_t *rows = vx_new_array(n_results, sizeof(*rows));
    if (!scores || !rows)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu candidates", n_results);
    int rc = vx_faiss_search(segment->flat, queries, n, k, scores, rows, err);
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (!settle_locked(segment, &probes[i], scores + i * k, rows + i * k, k)) {
            probes[i].top.n = 0;
            scan_locked(segment, &probes[i], 1, NULL, NULL);
        }
    }
    return rc;
}

int vx_segment_search(vx_segment *segment, const float *queries, vx_probe *probes, size_t n,
                      vx_index_filter filter, void *filter_ctx, vx_err *err) {
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        k = probes[i].top.k > k ? probes[i].top.k : k;
    vx_rwlock_read(&segment->lock);
    int rc = 0;
    /* Where most rows would be scored again anyway, FAISS's pass is wasted. */
    if (filter || k + PAD > segment->n / 2)
        scan_locked(segment, probes, n, filter, filter_ctx);
    else
        rc = candidates_locked(segment, queries, probes, n, k + PAD, err);
    vx_rwlock_end_read(&segment->lock);
    return rc;
}
