/* assign.c — the nearest centroids of many rows: exact scores, through an index of the centroids. */
#include <errno.h>

#include "cluster_internal.h"

enum { PIECE = 2048 };

typedef struct nearest {
    const vx_cluster_input *input;
    vx_index *index;
    size_t k;
    const float *floors;
    vx_neighbour *ret;
} nearest;

static int search_piece(void *ctx, size_t i, vx_err *err) {
    const nearest *s = ctx;
    size_t first = i * PIECE, n = s->input->n - first, counts[PIECE];
    n = n < PIECE ? n : PIECE;
    const vx_index_query query = {.vectors = s->input->vectors + first * (size_t)s->input->dim,
                                  .n = n,
                                  .k = s->k,
                                  .min_score = -2,
                                  .min_scores = s->floors ? s->floors + first : NULL,
                                  .on_caller = true};
    int rc = vx_index_search(s->index, &query, s->ret + first * s->k, counts, NULL, err);
    for (size_t row = 0; row < n && !rc; row++)
        for (size_t j = counts[row]; j < s->k; j++)
            s->ret[(first + row) * s->k + j] = (vx_neighbour){.id = -1, .score = -2};
    return rc;
}

int vx_cluster_nearest(const vx_cluster_input *input, const float *centroids, size_t n_centroids,
                       size_t k, const float *floors, vx_neighbour *ret,
                       const vx_cluster_work *work, vx_err *err) {
    VX_AUTO(vx_index) index = NULL;
    VX_AUTO_FREE int64_t *ids = vx_new_array(n_centroids, sizeof *ids);
    const vx_index_params params = {
        .dim = input->dim, .segment_rows = (int64_t)n_centroids, .threads = 1};
    int rc = ids ? vx_index_new(&params, &index, err)
                 : VX_FAIL(err, -ENOMEM, "no memory for %zu centroids", n_centroids);
    for (size_t i = 0; i < n_centroids && !rc; i++)
        ids[i] = (int64_t)i;
    if (!rc)
        rc = vx_index_add(index, ids, NULL, centroids, n_centroids, err);
    nearest s = {.input = input, .index = index, .k = k, .floors = floors, .ret = ret};
    const vx_cluster_work pieces = {.piece = search_piece,
                                    .ctx = &s,
                                    .n = (input->n + PIECE - 1) / PIECE,
                                    .first = work ? work->first : 0,
                                    .total = work ? work->total : 0};
    return rc ? rc : vx_cluster_do(input, &pieces, err);
}

int vx_cluster_assign(const vx_cluster_input *input, const float *centroids, size_t k,
                      int32_t *ret_labels, float *ret_scores, vx_err *err) {
    VX_AUTO_FREE vx_neighbour *found = vx_new_array(input->n, sizeof *found);
    if (!found)
        return VX_FAIL(err, -ENOMEM, "no memory to assign %zu vectors", input->n);
    const vx_cluster_work all = {.total = (int64_t)((input->n + PIECE - 1) / PIECE)};
    int rc = vx_cluster_nearest(input, centroids, k, 1, NULL, found, &all, err);
    for (size_t i = 0; i < input->n && !rc; i++) {
        ret_labels[i] = (int32_t)found[i].id;
        ret_scores[i] = found[i].score > 1 ? 1 : found[i].score;
    }
    return rc;
}
