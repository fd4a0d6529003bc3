#include "card.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "torch/torch_shim.h"

/* Below this many rows a processor has scanned them before a card has been asked. */
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

struct vx_card {
    vx_card_device device;
    char name[16];
    size_t groups, dim, segment_tiles, min_rows;
    int64_t keep_free_bytes;
    vx_mutex mu;
    vx_code_scan *scan VX_GUARDED; /* NULL: empty */
    copied *segments VX_GUARDED;   /* [n_segments]; the first n_copied are on the card */
    size_t n_segments VX_GUARDED, n_copied VX_GUARDED;
    float max_length VX_GUARDED;  /* of the rows on the card */
    int64_t retry_us VX_GUARDED;  /* until then it stays empty */
    vx_code_row *rows VX_GUARDED; /* [AT_ONCE, VX_CODE_SCAN_ROOM] */
    vx_mutex wake_mu;
    vx_cond wake, synced;
    bool stop VX_GUARDED, changed VX_GUARDED; /* by wake_mu, as is the next */
    uint64_t n_rounds VX_GUARDED;
    pthread_t thread;
    bool has_thread;
};

static const vx_card_device cuda = {.memory = vx_torch_memory,
                                    .new = vx_code_scan_new,
                                    .free = vx_code_scan_free,
                                    .put = vx_code_scan_put,
                                    .run = vx_code_scan_run};

static void empty_locked(vx_card *card) VX_REQUIRES(&card->mu) {
    card->scan = card->device.free(card->scan);
    card->n_copied = 0;
    card->max_length = 0;
}

/* ---- copying ---- */

static int64_t row_bytes(const vx_card *card) {
    return (int64_t)(card->groups * 4 + 2 * sizeof(float) + AT_ONCE * sizeof(float));
}

/* Whether all segments fit beside what must stay free. */
static bool has_room_locked(vx_card *card, vx_err *err) VX_REQUIRES(&card->mu) {
    int64_t free_bytes, total_bytes;
    if (card->device.memory(card->name, &free_bytes, &total_bytes, err))
        return false;
    int64_t n_rows = (int64_t)((card->n_segments - card->n_copied) * card->segment_tiles) * 64;
    int64_t keep = card->keep_free_bytes ? card->keep_free_bytes : total_bytes / 4;
    if (free_bytes - n_rows * row_bytes(card) >= keep)
        return true;
    VX_FAIL(err, VX_TORCH_OUT_OF_MEMORY, "%s has %.1f GiB free, %.1f of them are to stay so",
            card->name, (double)free_bytes / 0x1p30, (double)keep / 0x1p30);
    return false;
}

/* The whole tiles of a segment that have changed since they were copied, in runs. */
static int copy_segment_locked(vx_card *card, size_t at, vx_err *err) VX_REQUIRES(&card->mu) {
    copied *own = &card->segments[at];
    vx_segment *segment = own->segment;
    vx_rwlock_read(&segment->lock);
    const vx_row_codes *codes = &segment->codes;
    size_t n_tiles = segment->n / VX_TILE_ROWS, first = 0, end;
    bool is_new = at == card->n_copied;
    int rc = is_new || n_tiles != own->n_tiles
                 ? card->device.put(card->scan, at, 0, 0, n_tiles, codes->tiles, codes->scales,
                                    codes->errors, err)
                 : 0;
    for (; !rc && first < n_tiles; first = end + 1) {
        end = first;
        while (end < n_tiles && (is_new || vx_segment_tile_changed(segment, end)))
            end++;
        if (end > first)
            rc = card->device.put(card->scan, at, first, end - first, n_tiles,
                                  vx_codes_tile(codes, first), codes->scales + first * VX_TILE_ROWS,
                                  codes->errors + first * VX_TILE_ROWS, err);
    }
    if (!rc) {
        vx_segment_note_copied(segment, n_tiles);
        own->removals = segment->removals;
        own->n_tiles = n_tiles;
        card->n_copied += is_new;
        if (codes->max_length > card->max_length)
            card->max_length = codes->max_length;
    }
    vx_rwlock_end_read(&segment->lock);
    return rc;
}

static void give_up_locked(vx_card *card, const vx_err *err) VX_REQUIRES(&card->mu) {
    vx_log_failed(VX_LOG_WARN, "index", err, "device=%s index_on_gpu=no retry_s=%d", card->name,
                  (int)(RETRY_US / 1000000));
    empty_locked(card);
    card->retry_us = vx_clock_monotonic_us() + RETRY_US;
}

static int copy_one_locked(vx_card *card, size_t at, vx_err *err) VX_REQUIRES(&card->mu) {
    if (at >= card->n_copied && !has_room_locked(card, err))
        return err->code;
    int rc = card->scan ? 0
                        : card->device.new(card->name, card->groups, card->segment_tiles,
                                           &card->scan, err);
    return rc ? rc : copy_segment_locked(card, at, err);
}

static bool is_wanted_locked(const vx_card *card) VX_REQUIRES(&card->mu) {
    size_t n_rows = card->n_segments * card->segment_tiles * VX_TILE_ROWS;
    return n_rows >= card->min_rows && vx_clock_monotonic_us() >= card->retry_us;
}

/* The lock is free between segments, so that searches get in between. */
static void copy_changes(vx_card *card) {
    vx_err err = {0};
    bool more = true;
    for (size_t at = 0; more; at++) {
        vx_mutex_lock(&card->mu);
        more = at < card->n_segments && at <= card->n_copied && is_wanted_locked(card);
        if (more && copy_one_locked(card, at, &err))
            give_up_locked(card, &err);
        vx_mutex_unlock(&card->mu);
    }
}

static void *thread_main(void *arg) {
    vx_card *card = arg;
    vx_mutex_lock(&card->wake_mu);
    while (!card->stop) {
        if (!card->changed) {
            vx_cond_wait_until(&card->wake, &card->wake_mu, vx_clock_monotonic_us() + RETRY_US);
            card->changed |= !card->stop; /* or it is time to try again */
            continue;
        }
        card->changed = false;
        vx_mutex_unlock(&card->wake_mu);
        copy_changes(card);
        vx_mutex_lock(&card->wake_mu);
        card->n_rounds++;
        vx_cond_broadcast(&card->synced);
        int64_t until_us = vx_clock_monotonic_us() + PAUSE_US;
        while (!card->stop && vx_cond_wait_until(&card->wake, &card->wake_mu, until_us))
            ;
    }
    vx_mutex_unlock(&card->wake_mu);
    return NULL;
}

void vx_card_wake(vx_card *card) {
    vx_mutex_lock(&card->wake_mu);
    card->changed = true;
    vx_cond_signal(&card->wake);
    vx_mutex_unlock(&card->wake_mu);
}

/* Two rounds: one may be under way that began before the last change. */
void vx_card_sync(vx_card *card) {
    vx_mutex_lock(&card->wake_mu);
    for (uint64_t until = card->n_rounds + 2; card->n_rounds < until;) {
        card->changed = true;
        vx_cond_signal(&card->wake);
        vx_cond_wait(&card->synced, &card->wake_mu);
    }
    vx_mutex_unlock(&card->wake_mu);
}

bool vx_card_release(vx_card *card) {
    vx_mutex_lock(&card->mu);
    bool had = card->scan != NULL;
    empty_locked(card);
    card->retry_us = vx_clock_monotonic_us() + RETRY_US;
    vx_mutex_unlock(&card->mu);
    if (had)
        vx_log(VX_LOG_INFO, "index",
               "device=%s index_on_gpu=no reason=\"a model needs the memory\"", card->name);
    return had;
}

void vx_card_get_state(vx_card *card, vx_index_gpu_state *ret_state) {
    vx_mutex_lock(&card->mu);
    *ret_state = (vx_index_gpu_state){.device = card->name};
    for (size_t i = 0; i < card->n_copied; i++)
        ret_state->rows += (int64_t)(card->segments[i].n_tiles * VX_TILE_ROWS);
    if (card->scan)
        ret_state->bytes =
            (int64_t)(card->n_copied * card->segment_tiles * VX_TILE_ROWS) * row_bytes(card);
    vx_mutex_unlock(&card->mu);
}

/* ---- asking ---- */

static size_t rows_to_ask_for(const vx_probe *probe) {
    size_t k = probe->top.k, not_ids = probe->not_ids ? probe->not_ids->n : 0;
    return (probe->top.by_group ? ROWS_A_GROUP * k : k) + not_ids + SPARE;
}

static bool is_for_card(const vx_probe *probe) {
    return probe->top.k && rows_to_ask_for(probe) <= MAX_K && probe->max_score == INFINITY &&
           !probe->before_id;
}

static bool is_full_enough_locked(const vx_card *card) VX_REQUIRES(&card->mu) {
    size_t n_tiles = 0;
    for (size_t i = 0; i < card->n_copied; i++)
        n_tiles += card->segments[i].n_tiles;
    return card->scan && n_tiles && n_tiles * VX_TILE_ROWS >= card->min_rows;
}

/* Puts one query's rows behind those found before, in the order of their segments. */
static int sort_rows(vx_card_found *found, size_t query, const vx_code_row *rows, size_t n) {
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

static int run_locked(vx_card *card, const vx_probe *probes, size_t n, size_t at,
                      vx_card_found *found, vx_err *err) VX_REQUIRES(&card->mu) {
    vx_code_query queries[AT_ONCE];
    size_t counts[AT_ONCE], now = n - at < AT_ONCE ? n - at : AT_ONCE;
    for (size_t i = 0; i < now; i++) {
        const vx_probe *probe = &probes[at + i];
        const vx_codes_query *coded = &probe->coded;
        queries[i] = (vx_code_query){.codes = coded->codes,
                                     .scale = coded->scale,
                                     .norm = coded->length,
                                     .width = vx_codes_width(card->max_length, coded),
                                     .range = (coded->length + coded->error) * card->max_length,
                                     .lowest = probe->bound,
                                     .k = rows_to_ask_for(probe)};
    }
    int rc = card->device.run(card->scan, queries, now, card->rows, counts, found->bars + at, err);
    for (size_t i = 0; i < now && !rc; i++) {
        bool fits = counts[i] <= VX_CODE_SCAN_ROOM;
        if (!fits)
            found->bars[at + i] = INFINITY;
        if (sort_rows(found, at + i, card->rows + i * VX_CODE_SCAN_ROOM, fits ? counts[i] : 0))
            rc = VX_FAIL(err, -ENOMEM, "no memory for what a GPU found");
    }
    return rc;
}

static vx_card_found *found_new_locked(const vx_card *card, size_t n) VX_REQUIRES(&card->mu) {
    vx_card_found *found = vx_new(vx_card_found);
    if (!found)
        return NULL;
    found->n = n;
    found->n_segments = card->n_copied;
    found->parts = vx_new_array(found->n_segments, sizeof *found->parts);
    found->bars = vx_new_array(n, sizeof *found->bars);
    found->first = vx_new_array(n * found->n_segments + 1, sizeof *found->first);
    if (!found->parts || !found->bars || !found->first)
        return vx_card_found_free(found);
    for (size_t i = 0; i < found->n_segments; i++)
        found->parts[i] = (struct vx_card_part){card->segments[i].removals,
                                                card->segments[i].n_tiles * VX_TILE_ROWS};
    return found;
}

vx_card_found *vx_card_ask(vx_card *card, const vx_probe *probes, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!is_for_card(&probes[i]))
            return NULL;
    vx_err err;
    int rc = 0;
    vx_mutex_lock(&card->mu);
    vx_card_found *found = is_full_enough_locked(card) ? found_new_locked(card, n) : NULL;
    for (size_t at = 0; found && at < n && !rc; at += AT_ONCE)
        rc = run_locked(card, probes, n, at, found, &err);
    if (rc) {
        give_up_locked(card, &err);
        found = vx_card_found_free(found);
    }
    vx_mutex_unlock(&card->mu);
    return found;
}

/* ---- making ---- */

/* Without its locks: the thread that wants them is started last. */
VX_NO_LOCK_ANALYSIS int vx_card_new(const vx_index_gpu *params, size_t dim, size_t segment_rows,
                                    vx_segment *const *segments, size_t n_segments,
                                    vx_card **ret_card, vx_err *err) {
    vx_card *card = vx_new(vx_card);
    if (!card)
        return VX_FAIL(err, -ENOMEM, "no memory for an index on a GPU");
    vx_mutex_init(&card->mu);
    vx_mutex_init(&card->wake_mu);
    vx_cond_init(&card->wake);
    vx_cond_init(&card->synced);
    card->device = params->device_functions ? *params->device_functions : cuda;
    card->groups = vx_codes_groups(dim);
    card->segment_tiles = (segment_rows + VX_TILE_ROWS - 1) / VX_TILE_ROWS;
    card->min_rows = params->min_rows ? (size_t)params->min_rows : MIN_ROWS;
    card->keep_free_bytes = params->keep_free_bytes;
    snprintf(card->name, sizeof card->name, "%s", params->device);
    card->rows = vx_new_array(AT_ONCE * VX_CODE_SCAN_ROOM, sizeof *card->rows);
    int rc = card->rows ? 0 : VX_FAIL(err, -ENOMEM, "no memory for an index on a GPU");
    for (size_t i = 0; i < n_segments && !rc; i++) {
        rc = vx_card_reserve(card, err);
        if (!rc)
            vx_card_add_segment(card, segments[i]);
    }
    if (!rc)
        rc = vx_thread_start(&card->thread, "vx-index-gpu", thread_main, card, err);
    card->has_thread = !rc;
    if (rc)
        vx_card_free(card);
    else
        *ret_card = card;
    return rc;
}

/* Behind the thread without them. */
VX_NO_LOCK_ANALYSIS vx_card *vx_card_free(vx_card *card) {
    if (!card)
        return NULL;
    vx_mutex_lock(&card->wake_mu);
    card->stop = true;
    vx_cond_signal(&card->wake);
    vx_mutex_unlock(&card->wake_mu);
    if (card->has_thread)
        pthread_join(card->thread, NULL);
    card->device.free(card->scan);
    vx_cond_done(&card->wake);
    vx_cond_done(&card->synced);
    vx_mutex_done(&card->wake_mu);
    vx_mutex_done(&card->mu);
    free(card->segments);
    free(card->rows);
    free(card);
    return NULL;
}

int vx_card_reserve(vx_card *card, vx_err *err) {
    vx_mutex_lock(&card->mu);
    copied *grown = vx_regrow(card->segments, card->n_segments + 1, sizeof *grown);
    card->segments = grown ? grown : card->segments;
    vx_mutex_unlock(&card->mu);
    return grown ? 0 : VX_FAIL(err, -ENOMEM, "no memory for another index segment");
}

void vx_card_add_segment(vx_card *card, vx_segment *segment) {
    vx_mutex_lock(&card->mu);
    card->segments[card->n_segments++] = (copied){.segment = segment};
    vx_mutex_unlock(&card->mu);
}
