#include "gpu.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "torch/torch_shim.h"

/* Below this many rows a processor has scanned them before a GPU has been asked. */
#define MIN_ROWS ((size_t)200000)
#define PAUSE_US 20000 /* between two rounds of copying, so that small changes go together */
#define RETRY_US (INT64_C(600) * 1000000)
#define MAX_K 16384
/* Rows that a query gets beside its k: for removed ones, and for ids that it must not take. */
#define SPARE 64
/* Videos mostly have fewer clips among the best than this. Where not, the query is searched again. */
#define ROWS_A_GROUP 8
#define AT_ONCE 8 /* queries of one run of the device */

typedef struct copied {
    vx_segment *segment;
    uint64_t removals;
    size_t n_tiles;
} copied;

struct vx_gpu {
    vx_gpu_device device;
    char name[16];
    size_t groups, dim, segment_tiles, min_rows;
    int64_t keep_free_bytes;
    vx_mutex mu;
    vx_code_scan *scan VX_GUARDED; /* NULL: empty */
    copied *segments VX_GUARDED;   /* [n_segments]; the first n_copied are on the GPU */
    size_t n_segments VX_GUARDED, n_copied VX_GUARDED;
    float max_length VX_GUARDED;  /* of the rows on the GPU */
    int64_t retry_us VX_GUARDED;  /* until then it stays empty */
    vx_code_row *rows VX_GUARDED; /* [AT_ONCE, VX_CODE_SCAN_ROOM] */
    vx_mutex wake_mu;
    vx_cond wake, synced;
    bool stop VX_GUARDED, changed VX_GUARDED; /* by wake_mu, as is the next */
    uint64_t n_rounds VX_GUARDED;
    pthread_t thread;
    bool has_thread;
};

static const vx_gpu_device cuda = {.memory = vx_torch_memory,
                                   .new = vx_code_scan_new,
                                   .free = vx_code_scan_free,
                                   .put = vx_code_scan_put,
                                   .run = vx_code_scan_run};

static void empty_locked(vx_gpu *gpu) VX_REQUIRES(&gpu->mu) {
    gpu->scan = gpu->device.free(gpu->scan);
    gpu->n_copied = 0;
    gpu->max_length = 0;
}

/* ---- copying ---- */

static int64_t row_bytes(const vx_gpu *gpu) {
    size_t own = gpu->groups * 4 + 2 * sizeof(float) + 2 * sizeof(int64_t);
    return (int64_t)(own + AT_ONCE * sizeof(float));
}

/* Whether all segments fit beside what must stay free. */
static bool has_room_locked(vx_gpu *gpu, vx_err *err) VX_REQUIRES(&gpu->mu) {
    int64_t free_bytes, total_bytes;
    if (gpu->device.memory(gpu->name, &free_bytes, &total_bytes, err))
        return false;
    int64_t n_rows = (int64_t)((gpu->n_segments - gpu->n_copied) * gpu->segment_tiles) * 64;
    int64_t keep = gpu->keep_free_bytes ? gpu->keep_free_bytes : total_bytes / 4;
    if (free_bytes - n_rows * row_bytes(gpu) >= keep)
        return true;
    VX_FAIL(err, VX_TORCH_OUT_OF_MEMORY, "%s has %.1f GiB free, %.1f of them are to stay so",
            gpu->name, (double)free_bytes / 0x1p30, (double)keep / 0x1p30);
    return false;
}

static vx_code_tiles tiles_from(const vx_segment *segment, size_t tile) {
    size_t row = tile * VX_TILE_ROWS;
    return (vx_code_tiles){.tiles = vx_codes_tile(&segment->codes, tile),
                           .scales = segment->codes.scales + row,
                           .errors = segment->codes.errors + row,
                           .ids = segment->ids + row,
                           .groups = segment->groups + row};
}

/* The whole tiles of a segment that have changed since they were copied, in runs. */
static int copy_segment_locked(vx_gpu *gpu, size_t at, vx_err *err) VX_REQUIRES(&gpu->mu) {
    copied *own = &gpu->segments[at];
    vx_segment *segment = own->segment;
    vx_rwlock_read(&segment->lock);
    const vx_row_codes *codes = &segment->codes;
    size_t n_tiles = segment->n / VX_TILE_ROWS, first = 0, end;
    bool is_new = at == gpu->n_copied;
    vx_code_tiles tiles = tiles_from(segment, 0);
    int rc = is_new || n_tiles != own->n_tiles
                 ? gpu->device.put(gpu->scan, at, 0, 0, n_tiles, &tiles, err)
                 : 0;
    for (; !rc && first < n_tiles; first = end + 1) {
        end = first;
        while (end < n_tiles && (is_new || vx_segment_tile_changed(segment, end)))
            end++;
        tiles = tiles_from(segment, first);
        if (end > first)
            rc = gpu->device.put(gpu->scan, at, first, end - first, n_tiles, &tiles, err);
    }
    if (!rc) {
        vx_segment_note_copied(segment, n_tiles);
        own->removals = segment->removals;
        own->n_tiles = n_tiles;
        gpu->n_copied += is_new;
        if (codes->max_length > gpu->max_length)
            gpu->max_length = codes->max_length;
    }
    vx_rwlock_end_read(&segment->lock);
    return rc;
}

static void give_up_locked(vx_gpu *gpu, const vx_err *err) VX_REQUIRES(&gpu->mu) {
    vx_log_failed(VX_LOG_WARN, "index", err, "device=%s index_on_gpu=no retry_s=%d", gpu->name,
                  (int)(RETRY_US / 1000000));
    empty_locked(gpu);
    gpu->retry_us = vx_clock_monotonic_us() + RETRY_US;
}

static int copy_one_locked(vx_gpu *gpu, size_t at, vx_err *err) VX_REQUIRES(&gpu->mu) {
    if (at >= gpu->n_copied && !has_room_locked(gpu, err))
        return err->code;
    int rc = gpu->scan
                 ? 0
                 : gpu->device.new(gpu->name, gpu->groups, gpu->segment_tiles, &gpu->scan, err);
    return rc ? rc : copy_segment_locked(gpu, at, err);
}

static bool is_wanted_locked(const vx_gpu *gpu) VX_REQUIRES(&gpu->mu) {
    size_t n_rows = gpu->n_segments * gpu->segment_tiles * VX_TILE_ROWS;
    return n_rows >= gpu->min_rows && vx_clock_monotonic_us() >= gpu->retry_us;
}

/* The lock is free between segments, so that searches get in between. */
static void copy_changes(vx_gpu *gpu) {
    vx_err err = {0};
    bool more = true;
    for (size_t at = 0; more; at++) {
        vx_mutex_lock(&gpu->mu);
        more = at < gpu->n_segments && at <= gpu->n_copied && is_wanted_locked(gpu);
        if (more && copy_one_locked(gpu, at, &err))
            give_up_locked(gpu, &err);
        vx_mutex_unlock(&gpu->mu);
    }
}

static void *thread_main(void *arg) {
    vx_gpu *gpu = arg;
    vx_mutex_lock(&gpu->wake_mu);
    while (!gpu->stop) {
        if (!gpu->changed) {
            vx_cond_wait_until(&gpu->wake, &gpu->wake_mu, vx_clock_monotonic_us() + RETRY_US);
            gpu->changed |= !gpu->stop; /* or it is time to try again */
            continue;
        }
        gpu->changed = false;
        vx_mutex_unlock(&gpu->wake_mu);
        copy_changes(gpu);
        vx_mutex_lock(&gpu->wake_mu);
        gpu->n_rounds++;
        vx_cond_broadcast(&gpu->synced);
        int64_t until_us = vx_clock_monotonic_us() + PAUSE_US;
        while (!gpu->stop && vx_cond_wait_until(&gpu->wake, &gpu->wake_mu, until_us))
            ;
    }
    vx_mutex_unlock(&gpu->wake_mu);
    return NULL;
}

void vx_gpu_wake(vx_gpu *gpu) {
    vx_mutex_lock(&gpu->wake_mu);
    gpu->changed = true;
    vx_cond_signal(&gpu->wake);
    vx_mutex_unlock(&gpu->wake_mu);
}

/* Two rounds: one may be under way that began before the last change. */
void vx_gpu_sync(vx_gpu *gpu) {
    vx_mutex_lock(&gpu->wake_mu);
    for (uint64_t until = gpu->n_rounds + 2; gpu->n_rounds < until;) {
        gpu->changed = true;
        vx_cond_signal(&gpu->wake);
        vx_cond_wait(&gpu->synced, &gpu->wake_mu);
    }
    vx_mutex_unlock(&gpu->wake_mu);
}

bool vx_gpu_release(vx_gpu *gpu) {
    vx_mutex_lock(&gpu->mu);
    bool had = gpu->scan != NULL;
    empty_locked(gpu);
    gpu->retry_us = vx_clock_monotonic_us() + RETRY_US;
    vx_mutex_unlock(&gpu->mu);
    if (had)
        vx_log(VX_LOG_INFO, "index",
               "device=%s index_on_gpu=no reason=\"a model needs the memory\"", gpu->name);
    return had;
}

void vx_gpu_get_state(vx_gpu *gpu, vx_index_gpu_state *ret_state) {
    vx_mutex_lock(&gpu->mu);
    *ret_state = (vx_index_gpu_state){.device = gpu->name};
    for (size_t i = 0; i < gpu->n_copied; i++)
        ret_state->rows += (int64_t)(gpu->segments[i].n_tiles * VX_TILE_ROWS);
    if (gpu->scan)
        ret_state->bytes =
            (int64_t)(gpu->n_copied * gpu->segment_tiles * VX_TILE_ROWS) * row_bytes(gpu);
    vx_mutex_unlock(&gpu->mu);
}

/* ---- asking ---- */

static size_t rows_to_ask_for(const vx_probe *probe) {
    size_t k = probe->top.k, not_ids = probe->not_ids ? probe->not_ids->n : 0;
    return (probe->top.by_group ? ROWS_A_GROUP * k : k) + not_ids + SPARE;
}

static bool is_for_gpu(const vx_probe *probe) {
    return probe->top.k && rows_to_ask_for(probe) <= MAX_K;
}

static bool is_full_enough_locked(const vx_gpu *gpu) VX_REQUIRES(&gpu->mu) {
    size_t n_tiles = 0;
    for (size_t i = 0; i < gpu->n_copied; i++)
        n_tiles += gpu->segments[i].n_tiles;
    return gpu->scan && n_tiles && n_tiles * VX_TILE_ROWS >= gpu->min_rows;
}

/* Puts one query's rows behind those found before, in the order of their segments. */
static int sort_rows(vx_gpu_found *found, size_t query, const vx_code_row *rows, size_t n) {
    if (found->n_rows + n > found->room) {
        size_t room = 2 * found->room + n;
        vx_code_row *grown = vx_regrow(found->rows, room, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        found->rows = grown;
        found->room = room;
    }
    size_t *first = found->first + query * found->n_segments;
    for (size_t i = 0; i < n; i++)
        first[rows[i].segment + 1]++;
    first[0] = found->n_rows;
    for (size_t i = 0; i < found->n_segments; i++)
        first[i + 1] += first[i];
    /* Filling moves each beginning to its end; then they are moved back. */
    for (size_t i = 0; i < n; i++)
        found->rows[first[rows[i].segment]++] = rows[i];
    for (size_t i = found->n_segments; i > 0; i--)
        first[i] = first[i - 1];
    first[0] = found->n_rows;
    found->n_rows += n;
    return 0;
}

static int run_locked(vx_gpu *gpu, const vx_probe *probes, size_t n, size_t at,
                      const vx_code_selection *selected, vx_gpu_found *found, vx_err *err)
    VX_REQUIRES(&gpu->mu) {
    vx_code_query queries[AT_ONCE];
    size_t counts[AT_ONCE], now = n - at < AT_ONCE ? n - at : AT_ONCE;
    for (size_t i = 0; i < now; i++) {
        const vx_probe *probe = &probes[at + i];
        const vx_codes_query *coded = &probe->coded;
        queries[i] = (vx_code_query){.codes = coded->codes,
                                     .scale = coded->scale,
                                     .norm = coded->length,
                                     .width = vx_codes_width(gpu->max_length, coded),
                                     .range = (coded->length + coded->error) * gpu->max_length,
                                     .lowest = probe->bound,
                                     .highest = probe->max_score,
                                     .before_id = probe->before_id,
                                     .k = rows_to_ask_for(probe)};
    }
    int rc = gpu->device.run(gpu->scan, queries, now, selected, gpu->rows, counts, found->bars + at,
                             err);
    for (size_t i = 0; i < now && !rc; i++) {
        bool fits = counts[i] <= VX_CODE_SCAN_ROOM;
        if (!fits)
            found->bars[at + i] = INFINITY;
        if (sort_rows(found, at + i, gpu->rows + i * VX_CODE_SCAN_ROOM, fits ? counts[i] : 0))
            rc = VX_FAIL(err, -ENOMEM, "no memory for what a GPU found");
    }
    return rc;
}

static vx_gpu_found *found_new_locked(const vx_gpu *gpu, size_t n) VX_REQUIRES(&gpu->mu) {
    vx_gpu_found *found = vx_new(vx_gpu_found);
    if (!found)
        return NULL;
    found->n = n;
    found->n_segments = gpu->n_copied;
    found->parts = vx_new_array(found->n_segments, sizeof *found->parts);
    found->bars = vx_new_array(n, sizeof *found->bars);
    found->first = vx_new_array(n * found->n_segments + 1, sizeof *found->first);
    if (!found->parts || !found->bars || !found->first)
        return vx_gpu_found_free(found);
    for (size_t i = 0; i < found->n_segments; i++)
        found->parts[i] = (struct vx_gpu_part){gpu->segments[i].removals,
                                               gpu->segments[i].n_tiles * VX_TILE_ROWS};
    return found;
}

vx_gpu_found *vx_gpu_ask(vx_gpu *gpu, const vx_probe *probes, size_t n,
                         const vx_selected *selected) {
    vx_code_selection bits = {.bits = NULL};
    if (selected && (!selected->bits.bits || selected->bits.is_lazy))
        return NULL;
    if (selected)
        bits = (vx_code_selection){.bits = selected->bits.bits,
                                   .first = selected->bits.first,
                                   .n_bits = selected->bits.n_bits,
                                   .by_id = selected->by_id};
    for (size_t i = 0; i < n; i++)
        if (!is_for_gpu(&probes[i]))
            return NULL;
    vx_err err;
    int rc = 0;
    vx_mutex_lock(&gpu->mu);
    vx_gpu_found *found = is_full_enough_locked(gpu) ? found_new_locked(gpu, n) : NULL;
    for (size_t at = 0; found && at < n && !rc; at += AT_ONCE)
        rc = run_locked(gpu, probes, n, at, &bits, found, &err);
    if (rc) {
        give_up_locked(gpu, &err);
        found = vx_gpu_found_free(found);
    }
    vx_mutex_unlock(&gpu->mu);
    return found;
}

/* ---- making ---- */

/* Without its locks: the thread that wants them is started last. */
VX_NO_LOCK_ANALYSIS int vx_gpu_new(const vx_index_gpu *params, size_t dim, size_t segment_rows,
                                   vx_segment *const *segments, size_t n_segments, vx_gpu **ret_gpu,
                                   vx_err *err) {
    vx_gpu *gpu = vx_new(vx_gpu);
    if (!gpu)
        return VX_FAIL(err, -ENOMEM, "no memory for an index on a GPU");
    vx_mutex_init(&gpu->mu);
    vx_mutex_init(&gpu->wake_mu);
    vx_cond_init(&gpu->wake);
    vx_cond_init(&gpu->synced);
    gpu->device = params->device_functions ? *params->device_functions : cuda;
    gpu->groups = vx_codes_groups(dim);
    gpu->segment_tiles = (segment_rows + VX_TILE_ROWS - 1) / VX_TILE_ROWS;
    gpu->min_rows = params->min_rows ? (size_t)params->min_rows : MIN_ROWS;
    gpu->keep_free_bytes = params->keep_free_bytes;
    snprintf(gpu->name, sizeof gpu->name, "%s", params->device);
    gpu->rows = vx_new_array(AT_ONCE * VX_CODE_SCAN_ROOM, sizeof *gpu->rows);
    int rc = gpu->rows ? 0 : VX_FAIL(err, -ENOMEM, "no memory for an index on a GPU");
    for (size_t i = 0; i < n_segments && !rc; i++) {
        rc = vx_gpu_reserve(gpu, err);
        if (!rc)
            vx_gpu_add_segment(gpu, segments[i]);
    }
    if (!rc)
        rc = vx_thread_start(&gpu->thread, "vx-index-gpu", thread_main, gpu, err);
    gpu->has_thread = !rc;
    if (rc)
        vx_gpu_free(gpu);
    else
        *ret_gpu = gpu;
    return rc;
}

/* Behind the thread without them. */
VX_NO_LOCK_ANALYSIS vx_gpu *vx_gpu_free(vx_gpu *gpu) {
    if (!gpu)
        return NULL;
    vx_mutex_lock(&gpu->wake_mu);
    gpu->stop = true;
    vx_cond_signal(&gpu->wake);
    vx_mutex_unlock(&gpu->wake_mu);
    if (gpu->has_thread)
        pthread_join(gpu->thread, NULL);
    gpu->device.free(gpu->scan);
    vx_cond_done(&gpu->wake);
    vx_cond_done(&gpu->synced);
    vx_mutex_done(&gpu->wake_mu);
    vx_mutex_done(&gpu->mu);
    free(gpu->segments);
    free(gpu->rows);
    free(gpu);
    return NULL;
}

int vx_gpu_reserve(vx_gpu *gpu, vx_err *err) {
    vx_mutex_lock(&gpu->mu);
    copied *grown = vx_regrow(gpu->segments, gpu->n_segments + 1, sizeof *grown);
    gpu->segments = grown ? grown : gpu->segments;
    vx_mutex_unlock(&gpu->mu);
    return grown ? 0 : VX_FAIL(err, -ENOMEM, "no memory for another index segment");
}

void vx_gpu_add_segment(vx_gpu *gpu, vx_segment *segment) {
    vx_mutex_lock(&gpu->mu);
    gpu->segments[gpu->n_segments++] = (copied){.segment = segment};
    vx_mutex_unlock(&gpu->mu);
}
