/* duplicates.c — see the header. */
#include "duplicates.h"

#include <errno.h>
#include <string.h>

#include "output.h"
#include "parquet/parquet.h"

#define PAIRS "pairwise_results/cluster_0.parquet"
#define REMOVED "duplicates/cluster_0.parquet"
#define MARK ".vidx/dedup" /* the two files are ours */

typedef struct comparison {
    const vx_batch_clip **clips; /* [n] in rank order */
    int64_t *rows;               /* [n] */
    vx_dedup_match *matches;     /* [n] */
    const char **removed;        /* [n_removed] ids, sorted */
    size_t n, n_removed;
} comparison;

static void comparison_done(comparison *c) {
    free(c->clips);
    free(c->rows);
    free(c->matches);
    free(c->removed);
}

/* The order in which clips are kept: see the header. */
static int compare_rank(const void *a, const void *b) {
    const vx_batch_clip *x = *(const vx_batch_clip *const *)a,
                        *y = *(const vx_batch_clip *const *)b;
    if (x->set_aside != y->set_aside)
        return x->set_aside ? 1 : -1;
    if (x->pixels != y->pixels)
        return x->pixels < y->pixels ? 1 : -1;
    return (x > y) - (x < y);
}

static int compare_ids(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool go_on(void *ctx, size_t n_done, size_t n) {
    (void)n_done, (void)n;
    return !(*(bool (**)(void))ctx)();
}

static int compare_all(comparison *c, vx_index *index, const vx_batch_clip_list *list,
                       float threshold, bool (*interrupted)(void), vx_err *err) {
    c->n = list->n;
    c->clips = vx_new_array(c->n + 1, sizeof(*c->clips));
    c->rows = vx_new_array(c->n + 1, sizeof *c->rows);
    c->matches = vx_new_array(c->n + 1, sizeof *c->matches);
    c->removed = vx_new_array(c->n + 1, sizeof *c->removed);
    if (!c->clips || !c->rows || !c->matches || !c->removed)
        return VX_FAIL(err, -ENOMEM, "no memory to compare %zu clips", c->n);
    for (size_t i = 0; i < c->n; i++)
        c->clips[i] = &list->items[i];
    qsort(c->clips, c->n, sizeof(*c->clips), compare_rank);
    for (size_t i = 0; i < c->n; i++) {
        c->rows[i] = c->clips[i]->row;
        if (!vx_index_has(index, c->rows[i]))
            return VX_FAIL(err, -EIO, "the clip %s has no vector", c->clips[i]->id);
    }
    const vx_dedup_indexed indexed = {.index = index, .ids = c->rows, .n = c->n};
    const vx_dedup_rows rows = vx_dedup_rows_of_index(&indexed);
    const vx_dedup_params params = {
        .rows = &rows, .threshold = threshold, .go_on = go_on, .ctx = &interrupted};
    int rc = vx_dedup_all_pairs(&params, c->matches, err);
    for (size_t i = 0; i < c->n && !rc; i++)
        if (c->matches[i].is_duplicate)
            c->removed[c->n_removed++] = c->clips[i]->id;
    qsort(c->removed, c->n_removed, sizeof *c->removed, compare_ids);
    return rc;
}

/* ---- the files ---- */

static int to_file(void *ctx, const void *bytes, size_t n, vx_err *err) {
    return fwrite(bytes, 1, n, ctx) == n ? 0 : VX_FAIL(err, errno ? -errno : -EIO, "writing");
}

static int write_pairs(FILE *file, void *ctx) {
    static const vx_parquet_column columns[] = {{"id", VX_PARQUET_UTF8},
                                                {"max_id", VX_PARQUET_UTF8},
                                                {"cosine_sim_score", VX_PARQUET_FLOAT}};
    const comparison *c = ctx;
    VX_AUTO(vx_parquet) parquet = NULL;
    vx_err err;
    int rc = vx_parquet_new(columns, VX_LEN(columns), to_file, file, &parquet, &err);
    for (size_t i = 0; i < c->n && !rc; i++) {
        vx_parquet_value row[] = {{.text = c->clips[i]->id},
                                  {.text = c->clips[c->matches[i].of]->id},
                                  {.real = (double)c->matches[i].score}};
        rc = vx_parquet_write(parquet, row, &err);
    }
    return rc ? rc : vx_parquet_finish(parquet, &err);
}

static int write_removed(FILE *file, void *ctx) {
    static const vx_parquet_column column = {"id", VX_PARQUET_UTF8};
    const comparison *c = ctx;
    VX_AUTO(vx_parquet) parquet = NULL;
    vx_err err;
    int rc = vx_parquet_new(&column, 1, to_file, file, &parquet, &err);
    for (size_t i = 0; i < c->n_removed && !rc; i++)
        rc = vx_parquet_write(parquet, &(vx_parquet_value){.text = c->removed[i]}, &err);
    return rc ? rc : vx_parquet_finish(parquet, &err);
}

int vx_batch_write_duplicates(vx_index *index, const vx_batch_clip_list *clips, float threshold,
                              const char *output, bool (*interrupted)(void), size_t *ret_removed,
                              vx_err *err) {
    comparison c = {0};
    bool written;
    int rc = compare_all(&c, index, clips, threshold, interrupted, err);
    if (!rc)
        rc = vx_batch_open_staging(output, err);
    if (!rc)
        rc = vx_batch_put_bytes(output, MARK, "", 0, &written, err);
    if (!rc)
        rc = vx_batch_put(output, PAIRS, write_pairs, &c, &written, err);
    if (!rc)
        rc = vx_batch_put(output, REMOVED, write_removed, &c, &written, err);
    if (!rc)
        rc = vx_batch_sync(output, err);
    *ret_removed = c.n_removed;
    comparison_done(&c);
    return rc;
}

int vx_batch_remove_duplicates(const char *output, vx_err *err) {
    static const char *const names[] = {REMOVED, PAIRS, "duplicates", "pairwise_results", MARK};
    char path[PATH_MAX];
    int rc = vx_batch_join(path, output, MARK, err);
    if (rc || access(path, F_OK))
        return rc;
    for (size_t i = 0; i < VX_LEN(names) && !rc; i++)
        rc = vx_batch_remove(output, names[i], err);
    return rc;
}
