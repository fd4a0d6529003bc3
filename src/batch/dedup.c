/* batch_dedup.c — see the header.
 *
 * Blocks of clips, in rank order, are searched in an index of what was kept so far, which is one
 * batched pass over it, and in an index of the block itself; then the block's clips are decided one
 * by one. Both indexes know clips by rank, so that of equal scores the better rank wins.
 */
#include "dedup.h"

#include <errno.h>
#include <string.h>

#include "parquet/parquet.h"
#include "store.h"

#define PAIRS "pairwise_results/cluster_0.parquet"
#define REMOVED "duplicates/cluster_0.parquet"
#define MARK ".vidx/dedup" /* the two files are ours */

enum { BLOCK = 256 };

typedef struct matching {
    vx_index *source, *kept, *block;
    const vx_batch_clip *clips;
    const size_t *rank;
    size_t n, dim;
    float threshold;
    vx_batch_match *matches;
    float *vectors;       /* [BLOCK, dim] */
    vx_neighbour *before; /* [BLOCK]: the nearest kept in an earlier block */
    vx_neighbour *inside; /* [BLOCK, BLOCK] */
    size_t n_before[BLOCK], n_inside[BLOCK];
    bool is_kept[BLOCK];
} matching;

static int compare_clips(const void *a, const void *b, void *ctx) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    const vx_batch_clip *clips = ctx;
    int64_t p = clips[x].pixels, q = clips[y].pixels;
    return p != q ? (p < q) - (p > q) : (x > y) - (x < y);
}

static int load_block(matching *m, size_t first, size_t n, vx_err *err) {
    int64_t ids[BLOCK];
    for (size_t i = 0; i < n; i++) {
        int64_t row = m->clips[m->rank[first + i]].row;
        int rc = vx_index_get(m->source, row, m->vectors + i * m->dim, err);
        if (rc)
            return rc > 0 ? VX_FAIL(err, -EIO, "a clip has no vector") : rc;
        ids[i] = (int64_t)(first + i);
    }
    return vx_index_add(m->block, ids, m->vectors, n, err);
}

static int search_block(matching *m, size_t n, vx_err *err) {
    int rc = vx_index_search(m->kept, m->vectors, n, 1, 0, NULL, NULL, m->before, m->n_before, err);
    return rc ? rc
              : vx_index_search(m->block, m->vectors, n, BLOCK, 0, NULL, NULL, m->inside,
                                m->n_inside, err);
}

/* Clip `at` of the block: those before it are decided. */
static void decide(matching *m, size_t first, size_t at) {
    vx_neighbour best = {.id = -1};
    if (m->n_before[at])
        best = m->before[at];
    for (size_t i = 0; i < m->n_inside[at]; i++) {
        vx_neighbour other = m->inside[at * BLOCK + i]; /* best first, then better rank first */
        size_t place = (size_t)other.id - first;
        if (place < at && m->is_kept[place]) {
            if (best.id < 0 || other.score > best.score)
                best = other;
            break;
        }
    }
    size_t clip = m->rank[first + at];
    m->matches[clip] = best.id < 0
                           ? (vx_batch_match){.of = clip}
                           : (vx_batch_match){m->rank[best.id], best.score > 1 ? 1 : best.score};
    m->is_kept[at] = best.id < 0 || best.score < m->threshold;
}

/* Empties the block's index; its kept clips go into the other. */
static int close_block(matching *m, size_t first, size_t n, vx_err *err) {
    int64_t all[BLOCK], kept[BLOCK];
    size_t n_kept = 0;
    for (size_t i = 0; i < n; i++) {
        all[i] = (int64_t)(first + i);
        if (!m->is_kept[i])
            continue;
        memmove(m->vectors + n_kept * m->dim, m->vectors + i * m->dim, m->dim * sizeof(float));
        kept[n_kept++] = all[i];
    }
    int rc = vx_index_remove(m->block, all, n, err);
    return rc || !n_kept ? rc : vx_index_add(m->kept, kept, m->vectors, n_kept, err);
}

static int match_all(matching *m, vx_err *err) {
    int rc = 0;
    for (size_t first = 0; first < m->n && !rc; first += BLOCK) {
        size_t n = m->n - first < BLOCK ? m->n - first : BLOCK;
        rc = load_block(m, first, n, err);
        if (!rc)
            rc = search_block(m, n, err);
        for (size_t i = 0; i < n && !rc; i++)
            decide(m, first, i);
        if (!rc)
            rc = close_block(m, first, n, err);
    }
    return rc;
}

int vx_batch_match_clips(vx_index *index, const vx_batch_clip *clips, size_t n, float threshold,
                         size_t *ret_rank, vx_batch_match *ret_matches, vx_err *err) {
    for (size_t i = 0; i < n; i++)
        ret_rank[i] = i;
    if (n)
        qsort_r(ret_rank, n, sizeof *ret_rank, compare_clips, (void *)clips);
    matching m = {.source = index,
                  .clips = clips,
                  .rank = ret_rank,
                  .n = n,
                  .dim = (size_t)vx_index_dim(index),
                  .threshold = threshold,
                  .matches = ret_matches};
    VX_AUTO(vx_index) kept = NULL;
    VX_AUTO(vx_index) block = NULL;
    VX_AUTO_FREE float *vectors = vx_new_array(m.dim, BLOCK * sizeof *vectors);
    VX_AUTO_FREE vx_neighbour *inside = vx_new_array(BLOCK * BLOCK, sizeof *inside);
    VX_AUTO_FREE vx_neighbour *before = vx_new_array(BLOCK, sizeof *before);
    if (!vectors || !inside || !before)
        return VX_FAIL(err, -ENOMEM, "no memory to compare clips");
    vx_index_params params = {.dim = (int)m.dim};
    int rc = vx_index_new(&params, &kept, err);
    params.segment_rows = BLOCK;
    if (!rc)
        rc = vx_index_new(&params, &block, err);
    m.kept = kept;
    m.block = block;
    m.vectors = vectors;
    m.inside = inside;
    m.before = before;
    return rc ? rc : match_all(&m, err);
}

/* ---- the files ---- */

typedef struct report {
    const vx_batch_clip *clips;
    const size_t *rank;
    const vx_batch_match *matches;
    const char **removed; /* [n_removed] ids, sorted */
    size_t n, n_removed;
} report;

static int to_file(void *ctx, const void *bytes, size_t n, vx_err *err) {
    return fwrite(bytes, 1, n, ctx) == n ? 0 : VX_FAIL(err, errno ? -errno : -EIO, "writing");
}

static int fill_pairs(FILE *file, void *ctx) {
    static const vx_parquet_column columns[] = {{"id", VX_PARQUET_UTF8},
                                                {"max_id", VX_PARQUET_UTF8},
                                                {"cosine_sim_score", VX_PARQUET_FLOAT}};
    const report *r = ctx;
    VX_AUTO(vx_parquet) parquet = NULL;
    vx_err err;
    int rc = vx_parquet_new(columns, VX_LEN(columns), to_file, file, &parquet, &err);
    for (size_t i = 0; i < r->n && !rc; i++) {
        const vx_batch_match *match = &r->matches[r->rank[i]];
        vx_parquet_value row[] = {{.text = r->clips[r->rank[i]].id},
                                  {.text = r->clips[match->of].id},
                                  {.real = (double)match->score}};
        rc = vx_parquet_write(parquet, row, &err);
    }
    return rc ? rc : vx_parquet_finish(parquet, &err);
}

static int fill_removed(FILE *file, void *ctx) {
    static const vx_parquet_column column = {"id", VX_PARQUET_UTF8};
    const report *r = ctx;
    VX_AUTO(vx_parquet) parquet = NULL;
    vx_err err;
    int rc = vx_parquet_new(&column, 1, to_file, file, &parquet, &err);
    for (size_t i = 0; i < r->n_removed && !rc; i++)
        rc = vx_parquet_write(parquet, &(vx_parquet_value){.text = r->removed[i]}, &err);
    return rc ? rc : vx_parquet_finish(parquet, &err);
}

static int compare_ids(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int write_report(report *r, const char *output, vx_err *err) {
    bool written;
    int rc = vx_batch_open_staging(output, err);
    if (!rc)
        rc = vx_batch_put_bytes(output, MARK, "", 0, &written, err);
    if (!rc)
        rc = vx_batch_put(output, PAIRS, fill_pairs, r, &written, err);
    if (!rc)
        rc = vx_batch_put(output, REMOVED, fill_removed, r, &written, err);
    return rc ? rc : vx_batch_sync(output, err);
}

int vx_batch_dedup(vx_index *index, const vx_batch_clips *clips, float threshold,
                   const char *output, size_t *ret_removed, vx_err *err) {
    size_t n = clips->n;
    VX_AUTO_FREE size_t *rank = vx_new_array(n + 1, sizeof *rank);
    VX_AUTO_FREE vx_batch_match *matches = vx_new_array(n + 1, sizeof *matches);
    VX_AUTO_FREE const char **removed = vx_new_array(n + 1, sizeof *removed);
    if (!rank || !matches || !removed)
        return VX_FAIL(err, -ENOMEM, "no memory to compare %zu clips", n);
    int rc = vx_batch_match_clips(index, clips->items, n, threshold, rank, matches, err);
    if (rc)
        return rc;
    report r = {clips->items, rank, matches, removed, n, 0};
    for (size_t i = 0; i < n; i++)
        if (matches[i].of != i && matches[i].score >= threshold)
            removed[r.n_removed++] = clips->items[i].id;
    if (r.n_removed)
        qsort(removed, r.n_removed, sizeof *removed, compare_ids);
    *ret_removed = r.n_removed;
    return write_report(&r, output, err);
}

int vx_batch_dedup_remove(const char *output, vx_err *err) {
    static const char *const names[] = {REMOVED, PAIRS, "duplicates", "pairwise_results", MARK};
    char path[PATH_MAX];
    int rc = vx_batch_join(path, output, MARK, err);
    if (rc || access(path, F_OK))
        return rc;
    for (size_t i = 0; i < VX_LEN(names) && !rc; i++)
        rc = vx_batch_remove(output, names[i], err);
    return rc;
}
