/* curator.c — what NeMo Curator's SemanticDeduplicationWorkflow writes, with which_to_keep "hard".
 *
 *   kmeans_results/centroid=<i>/part_0.parquet  id, embedding list<float>, l2_dist_to_cent, cosine_dist_to_cent
 *   kmeans_results/kmeans_centroids.npy         float32 [k, dim] (older versions; newer ones do not keep it)
 *   pairwise_results/cluster_<i>.parquet        id, max_id, cosine_sim_score
 *   duplicates/duplicates.parquet               id, sorted
 *
 * In each cluster clips are ranked from the farthest from the centroid to the nearest, of equal ones the greater
 * id first; each is compared with all before it, kept or not. Its score is the highest cosine among those (0 and
 * itself: the first one). Clips with a score of 1 - eps or more are duplicates. As in Curator a clip goes if one
 * that goes itself is near, and pairs in different clusters are missed: `vidx embed --dedup` compares all.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "cluster_folder_internal.h"
#include "index/index.h"
#include "parquet/parquet.h"

typedef struct curator {
    const vx_embedded *in;
    const vx_clustering *found;
    uint32_t *order; /* [n] rows by cluster, then rank */
    float *scores;   /* [n] cosine with the nearest before, by row */
    uint32_t *near;  /* [n] that one */
    bool (*interrupted)(void);
} curator;

static void curator_done(curator *c) {
    free(c->order);
    free(c->scores);
    free(c->near);
}

static int by_rank(const void *a, const void *b, void *ctx) {
    const curator *c = ctx;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    if (c->found->labels[x] != c->found->labels[y])
        return c->found->labels[x] < c->found->labels[y] ? -1 : 1;
    if (c->found->scores[x] != c->found->scores[y])
        return c->found->scores[x] < c->found->scores[y] ? -1 : 1;
    return strcmp(c->in->clip_ids[y], c->in->clip_ids[x]);
}

/* ---- Parquet files ---- */

static int to_file(void *ctx, const void *bytes, size_t n, vx_err *err) {
    return fwrite(bytes, 1, n, ctx) == n ? 0 : VX_FAIL(err, errno ? -errno : -EIO, "writing");
}

typedef int (*write_row)(const curator *c, uint32_t row, vx_parquet *parquet, vx_err *err);

static int write_file(const curator *c, const char *folder, const char *name,
                      const vx_parquet_column *columns, size_t n_columns, const uint32_t *rows,
                      size_t n, write_row write, vx_err *err) {
    FILE *file;
    int rc = vx_open_below(folder, name, &file, err);
    if (rc)
        return rc;
    VX_AUTO(vx_parquet) parquet = NULL;
    rc = vx_parquet_new(columns, n_columns, to_file, file, &parquet, err);
    for (size_t i = 0; i < n && !rc; i++)
        rc = write(c, rows[i], parquet, err);
    if (!rc)
        rc = vx_parquet_finish(parquet, err);
    if (rc) {
        fclose(file);
        return rc;
    }
    return vx_close_durably(file, name, err);
}

static int write_vector(const curator *c, uint32_t row, vx_parquet *parquet, vx_err *err) {
    size_t dim = (size_t)c->in->dim;
    double cosine = (double)c->found->scores[row];
    const vx_parquet_value values[] = {{.text = c->in->clip_ids[row]},
                                       {.floats = c->in->vectors + row * dim, .n = dim},
                                       {.real = sqrt(fmax(0, 2 - 2 * cosine))},
                                       {.real = 1 - cosine}};
    return vx_parquet_write(parquet, values, err);
}

static int write_pair(const curator *c, uint32_t row, vx_parquet *parquet, vx_err *err) {
    const vx_parquet_value values[] = {{.text = c->in->clip_ids[row]},
                                       {.text = c->in->clip_ids[c->near[row]]},
                                       {.real = (double)c->scores[row]}};
    return vx_parquet_write(parquet, values, err);
}

static int write_id(const curator *c, uint32_t row, vx_parquet *parquet, vx_err *err) {
    return vx_parquet_write(parquet, &(vx_parquet_value){.text = c->in->clip_ids[row]}, err);
}

/* ---- pairs ---- */

/* Ids of the index are ranks, from 1 on: 0 as before_id would mean any. */
static int find_nearest(curator *c, vx_index *index, const uint32_t *rows, size_t n, vx_err *err) {
    enum { ASK_EVERY = 256 };
    size_t dim = (size_t)c->in->dim;
    for (size_t i = 0; i < n; i++) {
        if (i % ASK_EVERY == 0 && c->interrupted && c->interrupted())
            return VX_FAIL(err, VX_CLUSTER_STOPPED, "interrupted");
        vx_neighbour found;
        size_t n_found = 0;
        const vx_index_query query = {.vectors = c->in->vectors + rows[i] * dim,
                                      .n = 1,
                                      .k = 1,
                                      .min_score = 0,
                                      .before_id = (int64_t)i + 1,
                                      .on_caller = true};
        int rc = i ? vx_index_search(index, &query, &found, &n_found, NULL, err) : 0;
        if (rc)
            return rc;
        c->near[rows[i]] = n_found ? rows[found.id - 1] : rows[0];
        c->scores[rows[i]] = !n_found ? 0 : found.score > 1 ? 1 : found.score;
    }
    return 0;
}

static int compare_cluster(curator *c, const uint32_t *rows, size_t n, vx_err *err) {
    VX_AUTO(vx_index) index = NULL;
    const vx_index_params params = {.dim = c->in->dim, .threads = 1};
    int rc = vx_index_new(&params, &index, err);
    for (size_t i = 0; i < n && !rc; i++) {
        int64_t id = (int64_t)i + 1;
        rc = vx_index_add(index, &id, NULL, c->in->vectors + rows[i] * (size_t)c->in->dim, 1, err);
    }
    return rc ? rc : find_nearest(c, index, rows, n, err);
}

static int write_cluster(curator *c, const char *folder, const uint32_t *rows, size_t n,
                         vx_err *err) {
    static const vx_parquet_column vectors[] = {{"id", VX_PARQUET_UTF8},
                                                {"embedding", VX_PARQUET_LIST_FLOAT},
                                                {"l2_dist_to_cent", VX_PARQUET_FLOAT},
                                                {"cosine_dist_to_cent", VX_PARQUET_FLOAT}};
    static const vx_parquet_column pairs[] = {{"id", VX_PARQUET_UTF8},
                                              {"max_id", VX_PARQUET_UTF8},
                                              {"cosine_sim_score", VX_PARQUET_FLOAT}};
    char name[96];
    int label = c->found->labels[rows[0]];
    snprintf(name, sizeof name, "kmeans_results/centroid=%d/part_0.parquet", label);
    int rc = write_file(c, folder, name, vectors, VX_LEN(vectors), rows, n, write_vector, err);
    if (!rc)
        rc = compare_cluster(c, rows, n, err);
    snprintf(name, sizeof name, "pairwise_results/cluster_%d.parquet", label);
    return rc ? rc : write_file(c, folder, name, pairs, VX_LEN(pairs), rows, n, write_pair, err);
}

/* ---- all ---- */

static int by_id(const void *a, const void *b, void *ctx) {
    const curator *c = ctx;
    return strcmp(c->in->clip_ids[*(const uint32_t *)a], c->in->clip_ids[*(const uint32_t *)b]);
}

static int write_duplicates(curator *c, const char *folder, double eps, size_t *ret_removed,
                            vx_err *err) {
    static const vx_parquet_column id = {"id", VX_PARQUET_UTF8};
    size_t n = 0;
    for (uint32_t row = 0; row < c->in->n; row++)
        if (c->found->labels[row] >= 0 && (double)c->scores[row] >= 1 - eps)
            c->order[n++] = row; /* the ranks are not needed any more */
    qsort_r(c->order, n, sizeof *c->order, by_id, c);
    *ret_removed = n;
    return write_file(c, folder, "duplicates/duplicates.parquet", &id, 1, c->order, n, write_id,
                      err);
}

int vx_cluster_folder_write_curator(const char *folder, const vx_embedded *in,
                                    const vx_clustering *found, double eps,
                                    bool (*interrupted)(void), size_t *ret_removed, vx_err *err) {
    __attribute__((cleanup(curator_done)))
    curator c = {.in = in, .found = found, .interrupted = interrupted};
    c.order = vx_new_array(in->n, sizeof *c.order);
    c.scores = vx_new_array(in->n, sizeof *c.scores);
    c.near = vx_new_array(in->n, sizeof *c.near);
    if (!c.order || !c.scores || !c.near)
        return VX_FAIL(err, -ENOMEM, "no memory to compare %zu clips", in->n);
    for (uint32_t i = 0; i < in->n; i++)
        c.order[i] = i;
    qsort_r(c.order, in->n, sizeof *c.order, by_rank, &c);
    int rc = vx_write_npy(folder, "kmeans_results/kmeans_centroids.npy", "<f4", found->centroids,
                          found->k, (size_t)in->dim, err);
    for (size_t at = 0, end; at < in->n && !rc; at = end) {
        for (end = at; end < in->n && found->labels[c.order[end]] == found->labels[c.order[at]];)
            end++;
        if (found->labels[c.order[at]] >= 0)
            rc = write_cluster(&c, folder, c.order + at, end - at, err);
    }
    return rc ? rc : write_duplicates(&c, folder, eps, ret_removed, err);
}
