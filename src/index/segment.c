#include "segment.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define APPEND_SLICE_BYTES ((size_t)8 << 20) /* copied in a few ms: the longest a search waits */

int vx_segment_new(int dim, size_t capacity, const vx_first_pass *first_pass,
                   const vx_dots_kernel *kernel, vx_segment **ret_segment, vx_err *err) {
    vx_segment *segment = vx_new(vx_segment);
    if (!segment)
        return VX_FAIL(err, -ENOMEM, "no memory for an index segment");
    vx_rwlock_init(&segment->lock);
    segment->dim = dim;
    segment->capacity = capacity;
    segment->first_pass = first_pass;
    segment->ids = vx_new_array(capacity, sizeof(*segment->ids));
    segment->groups = vx_new_array(capacity, sizeof(*segment->groups));
    segment->changed_tiles =
        vx_new_array(capacity / VX_TILE_ROWS / 64 + 1, sizeof(*segment->changed_tiles));
    int rc = 0;
    if (!segment->ids || !segment->groups || !segment->changed_tiles ||
        (first_pass->has_codes && vx_codes_init(&segment->codes, kernel, (size_t)dim, capacity)))
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
    free(segment->changed_tiles);
    vx_rwlock_done(&segment->lock);
    free(segment);
    return NULL;
}

/* Makes the codes of n rows from `row` on. */
static void put_codes_locked(vx_segment *segment, size_t row, const float *rows, size_t n)
    VX_REQUIRES(&segment->lock) {
    vx_codes_put(&segment->codes, row, rows, n);
    for (size_t tile = row / VX_TILE_ROWS; tile * VX_TILE_ROWS < row + n; tile++)
        segment->changed_tiles[tile / 64] |= (uint64_t)1 << tile % 64;
}

void vx_segment_note_copied(vx_segment *segment, size_t n_tiles) {
    for (size_t tile = 0; tile < n_tiles; tile++)
        segment->changed_tiles[tile / 64] &= ~((uint64_t)1 << tile % 64);
}

/* Of the rows that enter; NaN numbers give none. */
static void note_lengths_locked(vx_segment *segment, const float *rows, size_t n)
    VX_REQUIRES(&segment->lock) {
    size_t dim = (size_t)segment->dim;
    for (size_t i = 0; i < n; i++) {
        float length = sqrtf(vx_score_dot(rows + i * dim, rows + i * dim, dim)) * (1 + 0x1p-20f);
        segment->max_length = length > segment->max_length ? length : segment->max_length;
    }
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
            if (segment->first_pass->has_codes)
                put_codes_locked(segment, segment->n, rows, slice);
            else
                note_lengths_locked(segment, rows, slice);
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
    if (rc == 0) {
        segment->n -= n;
        segment->removals++;
    }
    for (size_t i = n; rc && i-- > 0;)
        swap_rows(segment, rows[i], segment->n - 1 - i);
    for (size_t i = 0; i < n && !rc && segment->first_pass->has_codes; i++)
        if (rows[i] < segment->n)
            put_codes_locked(segment, rows[i],
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

static vx_rows rows_locked(const vx_segment *segment) VX_REQUIRES_SHARED(&segment->lock) {
    return (vx_rows){.vectors = vx_faiss_rows(segment->flat),
                     .ids = segment->ids,
                     .groups = segment->groups,
                     .n = segment->n,
                     .dim = (size_t)segment->dim,
                     .codes = &segment->codes,
                     .flat = segment->flat,
                     .max_length = segment->max_length};
}

int vx_segment_scan(vx_segment *segment, const vx_segment_part *part, vx_probe *probes, size_t n,
                    uint64_t *ret_removals, vx_err *err) {
    const vx_gpu_found *found = part->found;
    size_t first = part->first;
    int rc = 0;
    vx_rwlock_read(&segment->lock);
    vx_rows rows = rows_locked(segment);
    *ret_removals = segment->removals;
    if (found && probes->segment < found->n_segments &&
        found->parts[probes->segment].removals == segment->removals) {
        size_t n_found = found->parts[probes->segment].n_rows;
        if (first == 0)
            vx_scan_gpu(&rows, found, probes, n);
        first = first > n_found ? first : n_found;
    }
    rows.n = rows.n < part->end ? rows.n : part->end;
    if (first < rows.n && part->selected)
        vx_idset_bits_begin(&part->selected->bits);
    if (first < rows.n)
        rc = segment->first_pass->scan(&rows, first, probes, n, part->selected, err);
    if (first < rows.n && part->selected)
        vx_idset_bits_end(&part->selected->bits);
    for (size_t i = 0; i < n && !rc && part->settle; i++)
        vx_probe_settle(&probes[i], &rows);
    vx_rwlock_end_read(&segment->lock);
    return rc;
}

bool vx_segment_offer_held(vx_segment *segment, vx_probe *probe, const vx_held *held) {
    vx_rwlock_read(&segment->lock);
    bool is_there = held->row < segment->n && segment->ids[held->row] == held->id;
    if (is_there) {
        vx_rows rows = rows_locked(segment);
        vx_probe_offer(probe, &rows, held->row);
    }
    vx_rwlock_end_read(&segment->lock);
    return is_there;
}
