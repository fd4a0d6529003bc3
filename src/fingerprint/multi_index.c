/* multi_index.c — multi-index hashing over the frames of all videos.
 *
 * A 256-bit hash is 16 chunks of 16 bits. Each chunk has a table of 65536 chains, and a frame is
 * linked into one chain of each table. Two hashes within distance 15 agree in some chunk, so the
 * query's 16 chains contain all of those, and most of those within 31 because the bits that differ
 * are not spread evenly. Each frame within 31 votes for (video, time offset).
 *
 * Chains are links inside the frame records: 64 bytes a frame, no slack, nothing to free one by one.
 * The last record added comes first in its chain. At most MAX_STEPS records of a chain are visited,
 * which bounds the cost of a hash that many videos have (a logo, a test card).
 *
 * Records are kept in blocks that never move. The records of a video are consecutive, because it is
 * added in one step. Removal marks the video; compaction closes the gaps and links all chains again.
 */
#include "fingerprint.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/simd.h"
#include "base/thread.h"
#include "hash256.h"
#include "map64.h"

enum {
    CHUNKS = 16,
    CHAINS = 1 << 16,
    BLOCK = 4096,        /* records in a block: 425 KB */
    SAME_DISTANCE = 6,   /* nearer frames of one shot add nothing */
    MAX_QUERY = 512,     /* frames of a query that are searched */
    MAX_STEPS = 2048,    /* records visited in one chain */
    COMPACT_FROM = 4096, /* dead records below which compaction is not worth it */
};
static const float BIN_S = 2.f; /* offsets vote for two bins: windows of 4 s, overlapping by half */

typedef struct record {
    uint32_t next[CHUNKS]; /* record number + 1; 0 ends the chain */
    vx_hash256 hash;
    uint32_t slot;
    float time_s;
} record;

typedef struct video_slot {
    int64_t video;
    uint32_t first, n; /* its records */
    bool dead;
} video_slot;

struct vx_fp_index {
    vx_rwlock lock;  /* guards all below */
    uint32_t *chain; /* [CHUNKS, CHAINS] record number + 1 */
    record **block;  /* [n_blocks] of BLOCK records */
    size_t n_blocks, n_records, n_dead;
    video_slot *slot; /* [n_slots] */
    size_t n_slots, slot_capacity, n_dead_slots;
    vx_map64 by_video; /* slot number + 1 */
};

static record *record_at(const vx_fp_index *index, size_t number) {
    return &index->block[number / BLOCK][number % BLOCK];
}

static unsigned chunk_of(const vx_hash256 *hash, int c) {
    return (unsigned)(hash->word[c / 4] >> (c % 4 * 16)) & 0xffff;
}

int vx_fp_index_new(vx_fp_index **ret_index, vx_err *err) {
    vx_fp_index *index = vx_new(vx_fp_index);
    if (!index)
        return VX_FAIL(err, -ENOMEM, "out of memory for the fingerprint index");
    vx_rwlock_init(&index->lock);
    index->chain = vx_new_array((size_t)CHUNKS * CHAINS, sizeof *index->chain);
    if (!index->chain) {
        vx_fp_index_free(index);
        return VX_FAIL(err, -ENOMEM, "out of memory for the fingerprint index");
    }
    *ret_index = index;
    return 0;
}

vx_fp_index *vx_fp_index_free(vx_fp_index *index) {
    if (index) {
        for (size_t i = 0; i < index->n_blocks; i++)
            free(index->block[i]);
        free(index->block);
        free(index->chain);
        free(index->slot);
        vx_map64_done(&index->by_video);
        vx_rwlock_done(&index->lock);
        free(index);
    }
    return NULL;
}

/* Selects the frames that are usable and differ from the previously selected one. */
static size_t distinct_frames(const vx_fp_frame *frames, size_t n, uint32_t *ret_kept) {
    size_t n_kept = 0;
    vx_hash256 last = {0};
    for (size_t i = 0; i < n; i++) {
        if (frames[i].quality < VX_FP_MIN_QUALITY || !isfinite(frames[i].time_s))
            continue;
        vx_hash256 hash = vx_hash256_load(frames[i].hash);
        if (n_kept && vx_hash256_distance(&hash, &last) <= SAME_DISTANCE)
            continue;
        ret_kept[n_kept++] = (uint32_t)i;
        last = hash;
    }
    return n_kept;
}

static void link_record(vx_fp_index *index, size_t number) {
    record *r = record_at(index, number);
    for (int c = 0; c < CHUNKS; c++) {
        uint32_t *head = &index->chain[(size_t)c * CHAINS + chunk_of(&r->hash, c)];
        r->next[c] = *head;
        *head = (uint32_t)number + 1;
    }
}

static int reserve_locked(vx_fp_index *index, size_t n_more, vx_err *err)
    VX_REQUIRES(&index->lock) {
    if (index->n_records + n_more >= UINT32_MAX)
        return VX_FAIL(err, -ENOSPC, "the fingerprint index is full (4 billion frames)");
    size_t n_blocks = (index->n_records + n_more + BLOCK - 1) / BLOCK;
    if (n_blocks > index->n_blocks) {
        record **block = vx_regrow(index->block, n_blocks, sizeof *block);
        if (!block)
            return VX_FAIL(err, -ENOMEM, "out of memory for fingerprints");
        index->block = block;
        for (; index->n_blocks < n_blocks; index->n_blocks++) {
            record *fresh = malloc(BLOCK * sizeof *fresh);
            if (!fresh)
                return VX_FAIL(err, -ENOMEM, "out of memory for fingerprints");
            index->block[index->n_blocks] = fresh;
        }
    }
    if (index->n_slots == index->slot_capacity) {
        size_t capacity = index->slot_capacity ? 2 * index->slot_capacity : 64;
        video_slot *slot = vx_regrow(index->slot, capacity, sizeof *slot);
        if (!slot)
            return VX_FAIL(err, -ENOMEM, "out of memory for fingerprints");
        index->slot = slot;
        index->slot_capacity = capacity;
    }
    return vx_map64_reserve(&index->by_video, 1, err);
}

static int add_locked(vx_fp_index *index, int64_t video, const vx_fp_frame *frames,
                      const uint32_t *kept, size_t n_kept, vx_err *err) VX_REQUIRES(&index->lock) {
    const vx_map64_cell *known = vx_map64_get(&index->by_video, (uint64_t)video);
    if (known && !index->slot[known->value - 1].dead)
        return VX_FAIL(err, -EEXIST, "video %lld is in the fingerprint index already",
                       (long long)video);
    int rc = reserve_locked(index, n_kept, err);
    if (rc)
        return rc;
    for (size_t k = 0; k < n_kept; k++) {
        record *r = record_at(index, index->n_records + k);
        r->hash = vx_hash256_load(frames[kept[k]].hash);
        r->slot = (uint32_t)index->n_slots;
        r->time_s = frames[kept[k]].time_s;
        link_record(index, index->n_records + k);
    }
    index->slot[index->n_slots] =
        (video_slot){video, (uint32_t)index->n_records, (uint32_t)n_kept, false};
    vx_map64_put(&index->by_video, (uint64_t)video)->value = (uint32_t)++index->n_slots;
    index->n_records += n_kept;
    return 0;
}

int vx_fp_index_add(vx_fp_index *index, int64_t video, const vx_fp_frame *frames, size_t n,
                    vx_err *err) {
    VX_AUTO_FREE uint32_t *kept = vx_new_array(n ? n : 1, sizeof *kept);
    if (!kept)
        return VX_FAIL(err, -ENOMEM, "out of memory for fingerprints");
    size_t n_kept = distinct_frames(frames, n, kept);
    vx_rwlock_write(&index->lock);
    int rc = add_locked(index, video, frames, kept, n_kept, err);
    vx_rwlock_end_write(&index->lock);
    return rc;
}

/* Closes the gaps of removed videos in place. Allocates nothing, so it cannot fail. */
static void compact_locked(vx_fp_index *index) VX_REQUIRES(&index->lock) {
    size_t n_records = 0, n_slots = 0;
    vx_map64_clear(&index->by_video);
    memset(index->chain, 0, (size_t)CHUNKS * CHAINS * sizeof *index->chain);
    for (size_t s = 0; s < index->n_slots; s++) {
        video_slot moved = index->slot[s];
        if (moved.dead)
            continue;
        for (size_t k = 0; k < moved.n; k++) {
            record *r = record_at(index, n_records + k);
            *r = *record_at(index, moved.first + k);
            r->slot = (uint32_t)n_slots;
            link_record(index, n_records + k);
        }
        moved.first = (uint32_t)n_records;
        n_records += moved.n;
        index->slot[n_slots] = moved;
        vx_map64_put(&index->by_video, (uint64_t)moved.video)->value = (uint32_t)++n_slots;
    }
    index->n_records = n_records;
    index->n_slots = n_slots;
    index->n_dead = index->n_dead_slots = 0;
    while (index->n_blocks * BLOCK >= n_records + 2 * BLOCK)
        free(index->block[--index->n_blocks]);
}

int vx_fp_index_remove(vx_fp_index *index, int64_t video, vx_err *err) {
    (void)err;
    vx_rwlock_write(&index->lock);
    const vx_map64_cell *known = vx_map64_get(&index->by_video, (uint64_t)video);
    video_slot *slot = known ? &index->slot[known->value - 1] : NULL;
    if (slot && !slot->dead) {
        slot->dead = true;
        index->n_dead += slot->n;
        index->n_dead_slots++;
        if ((index->n_dead >= COMPACT_FROM && 2 * index->n_dead >= index->n_records) ||
            (index->n_dead_slots >= COMPACT_FROM && 2 * index->n_dead_slots >= index->n_slots))
            compact_locked(index);
    }
    vx_rwlock_end_write(&index->lock);
    return 0;
}

typedef struct query_frame {
    vx_hash256 hash;
    float time_s;
    uint32_t number; /* from 1; a frame votes once per offset and video */
} query_frame;

static void vote(vx_map64 *votes, uint32_t slot, float offset_s, uint32_t number) {
    float position = floorf(offset_s / BIN_S);
    if (fabsf(position) > 1e9f)
        return;
    for (int k = 0; k < 2; k++) {
        uint32_t bin = (uint32_t)((int32_t)position + k);
        vx_map64_cell *cell = vx_map64_put(votes, (uint64_t)slot << 32 | bin);
        if (cell->mark != number) {
            cell->value++;
            cell->mark = number;
        }
    }
}

/* Whether the hashes agree in a chunk before c: then that chunk's chain contained the frame. */
static bool seen_before(const vx_hash256 *a, const vx_hash256 *b, int c) {
    for (int k = 0; k < c; k++)
        if (chunk_of(a, k) == chunk_of(b, k))
            return true;
    return false;
}

/* The record of a link; prefetches the two cache lines that the search reads. */
static inline const record *prefetch_record(const vx_fp_index *index, uint32_t link, int c) {
    if (!link)
        return NULL;
    const record *r = record_at(index, link - 1);
    __builtin_prefetch(&r->next[c]);
    __builtin_prefetch(&r->hash);
    return r;
}

/* Walks all chains in parallel, one step of each in turn: records lie anywhere in memory, so the next
 * sixteen are being fetched while one is compared. */
VX_SIMD_CLONES
static int search_frame_locked(const vx_fp_index *index, const query_frame *query, vx_map64 *votes,
                               vx_err *err) VX_REQUIRES_SHARED(&index->lock) {
    const record *at[CHUNKS];
    int n_active = CHUNKS;
    for (int c = 0; c < CHUNKS; c++)
        at[c] =
            prefetch_record(index, index->chain[(size_t)c * CHAINS + chunk_of(&query->hash, c)], c);
    for (int step = 0; n_active && step < MAX_STEPS; step++) {
        int rc = vx_map64_reserve(votes, 2 * CHUNKS, err);
        if (rc)
            return rc;
        n_active = 0;
        for (int c = 0; c < CHUNKS; c++) {
            const record *r = at[c];
            if (!r)
                continue;
            n_active++;
            at[c] = prefetch_record(index, r->next[c], c);
            if (vx_hash256_distance(&query->hash, &r->hash) <= VX_FP_MATCH_DISTANCE &&
                !index->slot[r->slot].dead && !seen_before(&query->hash, &r->hash, c))
                vote(votes, r->slot, r->time_s - query->time_s, query->number);
        }
    }
    return 0;
}

typedef struct tally {
    int64_t video;
    uint32_t n;
} tally;

static int by_video_then_votes(const void *a, const void *b) {
    const tally *x = a, *y = b;
    if (x->video != y->video)
        return x->video < y->video ? -1 : 1;
    return (x->n < y->n) - (x->n > y->n);
}

static int by_votes_then_video(const void *a, const void *b) {
    const tally *x = a, *y = b;
    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return (x->video > y->video) - (x->video < y->video);
}

static int rank_locked(const vx_fp_index *index, const vx_map64 *votes, size_t max,
                       int64_t *ret_videos, size_t *ret_n, vx_err *err)
    VX_REQUIRES_SHARED(&index->lock) {
    VX_AUTO_FREE tally *tallies = vx_new_array(votes->n + 1, sizeof *tallies);
    if (!tallies)
        return VX_FAIL(err, -ENOMEM, "out of memory for a fingerprint search");
    size_t n = 0, n_videos = 0;
    for (size_t i = 0; i < votes->capacity; i++)
        if (votes->cell[i].value)
            tallies[n++] =
                (tally){index->slot[votes->cell[i].key >> 32].video, votes->cell[i].value};
    qsort(tallies, n, sizeof *tallies, by_video_then_votes);
    for (size_t i = 0; i < n; i++) /* each video's best offset */
        if (!n_videos || tallies[n_videos - 1].video != tallies[i].video)
            tallies[n_videos++] = tallies[i];
    qsort(tallies, n_videos, sizeof *tallies, by_votes_then_video);
    *ret_n = n_videos < max ? n_videos : max;
    for (size_t i = 0; i < *ret_n; i++)
        ret_videos[i] = tallies[i].video;
    return 0;
}

int vx_fp_index_candidates(vx_fp_index *index, const vx_fp_frame *frames, size_t n, size_t max,
                           int64_t *ret_videos, size_t *ret_n, vx_err *err) {
    VX_AUTO_FREE uint32_t *kept = vx_new_array(n ? n : 1, sizeof *kept);
    if (!kept)
        return VX_FAIL(err, -ENOMEM, "out of memory for a fingerprint search");
    size_t n_kept = distinct_frames(frames, n, kept);
    size_t n_query = n_kept < MAX_QUERY ? n_kept : MAX_QUERY;
    vx_map64 votes = {0};
    int rc = 0;
    vx_rwlock_read(&index->lock);
    for (size_t k = 0; k < n_query && !rc; k++) {
        const vx_fp_frame *frame = &frames[kept[k * n_kept / n_query]];
        const query_frame query = {vx_hash256_load(frame->hash), frame->time_s, (uint32_t)k + 1};
        rc = search_frame_locked(index, &query, &votes, err);
    }
    if (!rc)
        rc = rank_locked(index, &votes, max, ret_videos, ret_n, err);
    vx_rwlock_end_read(&index->lock);
    vx_map64_done(&votes);
    return rc;
}

void vx_fp_index_get_stats(vx_fp_index *index, vx_fp_index_stats *ret_stats) {
    vx_rwlock_read(&index->lock);
    *ret_stats = (vx_fp_index_stats){
        .videos = index->n_slots - index->n_dead_slots,
        .frames = index->n_records - index->n_dead,
        .bytes = sizeof *index + (size_t)CHUNKS * CHAINS * sizeof *index->chain +
                 index->n_blocks * (BLOCK * sizeof(record) + sizeof *index->block) +
                 index->slot_capacity * sizeof *index->slot +
                 index->by_video.capacity * sizeof *index->by_video.cell,
    };
    vx_rwlock_end_read(&index->lock);
}
