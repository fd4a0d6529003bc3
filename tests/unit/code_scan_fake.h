/* code_scan_fake.h: code_scan.h in plain C, as a device of the tests; and what it can be told to do wrong. */
#pragma once

#include "index/gpu.h"
#include "torch/torch_shim.h"

struct vx_code_scan {
    size_t groups, segment_tiles, n_segments;
    struct fake_segment {
        size_t n_tiles;
        uint8_t *tiles;
        float *scales, *errors;
        int64_t *ids, *groups;
    } segments[256];
};

/* What all devices of the tests do; reset by fake_reset(). */
static struct fake {
    int64_t free_bytes;
    int fail_put, fail_run; /* this many calls from now; 0: none */
    atomic_int n_runs, n_open;
    size_t room; /* rows that a query gets; 0: all of code_scan.h's */
} fake;

static inline void fake_reset(void) {
    fake.free_bytes = INT64_C(1) << 40;
    fake.fail_put = fake.fail_run = 0;
    fake.room = VX_CODE_SCAN_ROOM;
    atomic_store(&fake.n_runs, 0);
}

static int fake_memory(const char *device, int64_t *ret_free_bytes, int64_t *ret_total_bytes,
                       vx_err *err) {
    (void)device;
    (void)err;
    *ret_free_bytes = fake.free_bytes;
    *ret_total_bytes = INT64_C(1) << 41;
    return 0;
}

static int fake_new(const char *device, size_t groups, size_t segment_tiles,
                    vx_code_scan **ret_scan, vx_err *err) {
    if (strncmp(device, "cuda:", 5))
        return VX_FAIL(err, VX_TORCH_NO_DEVICE, "there is no %s", device);
    vx_code_scan *scan = vx_new(vx_code_scan);
    scan->groups = groups;
    scan->segment_tiles = segment_tiles;
    atomic_fetch_add(&fake.n_open, 1);
    *ret_scan = scan;
    return 0;
}

static vx_code_scan *fake_free(vx_code_scan *scan) {
    if (!scan)
        return NULL;
    for (size_t i = 0; i < scan->n_segments; i++) {
        free(scan->segments[i].tiles);
        free(scan->segments[i].scales);
        free(scan->segments[i].errors);
        free(scan->segments[i].ids);
        free(scan->segments[i].groups);
    }
    free(scan);
    atomic_fetch_sub(&fake.n_open, 1);
    return NULL;
}

static int fake_put(vx_code_scan *scan, size_t segment, size_t first, size_t n, size_t n_tiles,
                    const vx_code_tiles *tiles, vx_err *err) {
    if (fake.fail_put && --fake.fail_put == 0)
        return VX_FAIL(err, VX_TORCH_OUT_OF_MEMORY, "the fake device has no memory");
    struct fake_segment *own = &scan->segments[segment];
    size_t tile_bytes = scan->groups * VX_TILE_ROWS * 4;
    if (segment == scan->n_segments) {
        own->tiles = aligned_alloc(64, scan->segment_tiles * tile_bytes);
        own->scales = vx_new_array(scan->segment_tiles * VX_TILE_ROWS, sizeof *own->scales);
        own->errors = vx_new_array(scan->segment_tiles * VX_TILE_ROWS, sizeof *own->errors);
        own->ids = vx_new_array(scan->segment_tiles * VX_TILE_ROWS, sizeof *own->ids);
        own->groups = vx_new_array(scan->segment_tiles * VX_TILE_ROWS, sizeof *own->groups);
        scan->n_segments++;
    }
    assert_true(segment < scan->n_segments && n_tiles <= scan->segment_tiles &&
                first + n <= n_tiles);
    if (n) {
        size_t row = first * VX_TILE_ROWS, n_rows = n * VX_TILE_ROWS;
        memcpy(own->tiles + first * tile_bytes, tiles->tiles, n * tile_bytes);
        memcpy(own->scales + row, tiles->scales, n_rows * sizeof(float));
        memcpy(own->errors + row, tiles->errors, n_rows * sizeof(float));
        memcpy(own->ids + row, tiles->ids, n_rows * sizeof(int64_t));
        memcpy(own->groups + row, tiles->groups, n_rows * sizeof(int64_t));
    }
    own->n_tiles = n_tiles;
    return 0;
}

static int compare_floats(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

static bool fake_may_take(const vx_code_query *query, const vx_code_selection *selected, int64_t id,
                          int64_t group) {
    uint64_t at = (uint64_t)(selected->by_id ? id : group) - (uint64_t)selected->first;
    if (query->before_id && id >= query->before_id)
        return false;
    return !selected->bits || (at < selected->n_bits && selected->bits[at / 64] >> at % 64 & 1);
}

/* Calls visit for each row that may be a result, with its score and bound. */
static void fake_each(const vx_code_scan *scan, const vx_code_query *query,
                      const vx_code_selection *selected,
                      void (*visit)(void *ctx, vx_code_row row, float bound), void *ctx) {
    size_t n_kernels = 0;
    while (vx_dots_kernel_at(n_kernels))
        n_kernels++;
    int32_t dots[VX_TILE_ROWS], offset = 0;
    for (size_t i = 0; i < 4 * scan->groups; i++)
        offset += 128 * query->codes[i];
    for (uint32_t s = 0; s < scan->n_segments; s++) {
        const struct fake_segment *own = &scan->segments[s];
        for (uint32_t tile = 0; tile < own->n_tiles; tile++) {
            vx_dots_kernel_at(n_kernels - 1)
                ->tile(own->tiles + tile * scan->groups * VX_TILE_ROWS * 4, scan->groups,
                       query->codes, 1, dots);
            for (uint32_t i = 0; i < VX_TILE_ROWS; i++) {
                uint32_t row = tile * VX_TILE_ROWS + i;
                if (!fake_may_take(query, selected, own->ids[row], own->groups[row]))
                    continue;
                float score = (float)(dots[i] - offset) * own->scales[row] * query->scale;
                visit(ctx, (vx_code_row){s, row, score},
                      own->errors[row] * query->norm + query->width);
            }
        }
    }
}

typedef struct fake_found {
    float *leasts, bar, highest;
    size_t n;
    vx_code_row *rows;
} fake_found;

static void fake_count(void *ctx, vx_code_row row, float bound) {
    fake_found *found = ctx;
    float least = row.score - bound;
    bool is_certain = row.score + bound <= found->highest && least == least;
    found->leasts[found->n++] = is_certain ? least : -INFINITY;
}

static void fake_pick(void *ctx, vx_code_row row, float bound) {
    fake_found *found = ctx;
    if (row.score + bound < found->bar || row.score - bound > found->highest)
        return;
    if (found->n < fake.room)
        found->rows[found->n] = row;
    found->n++;
}

static int fake_run(vx_code_scan *scan, const vx_code_query *queries, size_t n,
                    const vx_code_selection *selected, vx_code_row *ret_rows, size_t *ret_n,
                    float *ret_bars, vx_err *err) {
    atomic_fetch_add(&fake.n_runs, 1);
    if (fake.fail_run && --fake.fail_run == 0)
        return VX_FAIL(err, -EIO, "the fake device is broken");
    size_t n_rows = 0;
    for (size_t s = 0; s < scan->n_segments; s++)
        n_rows += scan->segments[s].n_tiles * VX_TILE_ROWS;
    float *leasts = vx_new_array(n_rows, sizeof *leasts);
    for (size_t q = 0; q < n; q++) {
        fake_found found = {.leasts = leasts, .highest = queries[q].highest};
        fake_each(scan, &queries[q], selected, fake_count, &found);
        qsort(leasts, found.n, sizeof *leasts, compare_floats);
        float bar = found.n >= queries[q].k ? leasts[queries[q].k - 1] : -INFINITY;
        found = (fake_found){.highest = queries[q].highest,
                             .bar = bar > queries[q].lowest ? bar : queries[q].lowest,
                             .rows = ret_rows + q * VX_CODE_SCAN_ROOM};
        fake_each(scan, &queries[q], selected, fake_pick, &found);
        ret_n[q] = found.n > fake.room ? VX_CODE_SCAN_ROOM + 1 : found.n;
        ret_bars[q] = found.bar;
    }
    free(leasts);
    return 0;
}

static const vx_gpu_device fake_device = {
    .memory = fake_memory, .new = fake_new, .free = fake_free, .put = fake_put, .run = fake_run};

static inline void use_fake(vx_index *index) {
    vx_index_gpu gpu = {.device = "cuda:0", .min_rows = 1, .device_functions = &fake_device};
    assert_int_equal(vx_index_use_gpu(index, &gpu, NULL), 0);
    vx_index_sync_gpu(index);
}
