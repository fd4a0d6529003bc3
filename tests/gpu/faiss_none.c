/* Rows without FAISS, for index.sh: with codes, it does nothing but hold them. */
#include <errno.h>
#include <string.h>

#include "index/faiss_flat.h"

struct vx_faiss {
    size_t dim, n, room;
    float *rows;
};

int vx_faiss_new(int dim, vx_faiss **ret_flat, vx_err *err) {
    vx_faiss *flat = vx_new(vx_faiss);
    if (!flat)
        return VX_FAIL(err, -ENOMEM, "no memory for rows");
    flat->dim = (size_t)dim;
    *ret_flat = flat;
    return 0;
}

vx_faiss *vx_faiss_free(vx_faiss *flat) {
    if (flat)
        free(flat->rows);
    free(flat);
    return NULL;
}

int vx_faiss_add(vx_faiss *flat, const float *vectors, size_t n, vx_err *err) {
    if (flat->n + n > flat->room) {
        size_t room = flat->n ? 2 * (flat->n + n) : n;
        float *grown = vx_regrow(flat->rows, room, flat->dim * sizeof *grown);
        if (!grown)
            return VX_FAIL(err, -ENOMEM, "no memory for %zu rows", room);
        flat->rows = grown;
        flat->room = room;
    }
    memcpy(flat->rows + flat->n * flat->dim, vectors, n * flat->dim * sizeof *vectors);
    flat->n += n;
    return 0;
}

int vx_faiss_drop_last(vx_faiss *flat, size_t n, vx_err *err) {
    (void)err;
    flat->n -= n;
    return 0;
}

float *vx_faiss_rows(vx_faiss *flat) {
    return flat->rows;
}

int vx_faiss_search(const vx_faiss *flat, const float *queries, size_t n_queries, size_t k,
                    float *ret_scores, int64_t *ret_rows, vx_err *err) {
    (void)flat;
    (void)queries;
    (void)n_queries;
    (void)k;
    (void)ret_scores;
    (void)ret_rows;
    return VX_FAIL(err, -EIO, "there is no FAISS");
}

void vx_faiss_set_up_thread(void) {}
