/* dedup.c — see the header.
 *
 * Rows are compared in blocks, in rank order. A block is searched in what was kept before it, which
 * is one batched pass over those vectors, and in itself; then its rows are decided one by one.
 *
 * Kept vectors are copied into an index of their own, which knows them by rank, so that of equal
 * scores the better rank wins. Once that copy has reached its limit, further kept rows are copied
 * out of the source for each block, a tile at a time.
 */
#include "dedup.h"

#include <errno.h>
#include <string.h>

#define DEFAULT_MEMORY_BYTES (INT64_C(1) << 30)

enum { BLOCK = 256, TILE = 1024 };

typedef struct comparison {
    const vx_dedup_params *p;
    vx_dedup_match *matches;
    size_t dim;
    vx_index *kept, *tile, *block; /* ids are ranks */
    size_t n_kept, kept_limit;     /* rows of `kept` */
    size_t first_uncopied;         /* kept rows from this rank on are not in `kept` */
    float *vectors;                /* [BLOCK, dim]: the block's */
    float *tile_vectors;           /* [TILE, dim] */
    vx_neighbour *inside;          /* [BLOCK, BLOCK]: neighbours within the block, best first */
    size_t n_inside[BLOCK];
    int64_t ranks[TILE];      /* of the vectors copied last */
    vx_neighbour best[BLOCK]; /* nearest kept row so far; id -1 = none */
    uint8_t *is_kept;         /* [n] bits */
} comparison;

static bool is_kept(const comparison *c, size_t rank) {
    return c->is_kept[rank / 8] >> rank % 8 & 1;
}

static void improve(vx_neighbour *best, vx_neighbour found) {
    if (best->id < 0 || found.score > best->score ||
        (found.score == best->score && found.id < best->id))
        *best = found;
}

/* Copies the vectors of up to `max` of the ranks [*rank, end) that are wanted, and moves *rank on.
 * Rows that the source no longer has are passed over. */
static int copy_vectors(comparison *c, bool only_kept, size_t *rank, size_t end, size_t max,
                        float *vectors, size_t *ret_n, vx_err *err) {
    size_t n = 0;
    for (; *rank < end && n < max; ++*rank) {
        if (only_kept && !is_kept(c, *rank))
            continue;
        int rc = vx_index_get(c->p->source, c->p->rows[*rank], vectors + n * c->dim, err);
        if (rc < 0)
            return rc;
        if (!rc)
            c->ranks[n++] = (int64_t)*rank;
    }
    *ret_n = n;
    return 0;
}

/* The nearest neighbour of each of the block's n rows in one index of kept rows. */
static int search_kept(comparison *c, vx_index *index, size_t n, vx_err *err) {
    vx_neighbour found[BLOCK];
    size_t n_found[BLOCK];
    vx_index_query query = {.vectors = c->vectors, .n = n, .k = 1};
    int rc = vx_index_search(index, &query, found, n_found, NULL, err);
    for (size_t i = 0; i < n && !rc; i++)
        if (n_found[i])
            improve(&c->best[i], found[i]);
    return rc;
}

/* The kept rows before rank `end` that had no room in c->kept. */
static int search_uncopied(comparison *c, size_t n, size_t end, vx_err *err) {
    int rc = 0;
    for (size_t rank = c->first_uncopied, n_tile = 0; rank < end && !rc;) {
        rc = copy_vectors(c, true, &rank, end, TILE, c->tile_vectors, &n_tile, err);
        if (!rc && n_tile)
            rc = vx_index_add(c->tile, c->ranks, NULL, c->tile_vectors, n_tile, err);
        if (!rc && n_tile)
            rc = search_kept(c, c->tile, n, err);
        if (!rc && n_tile)
            rc = vx_index_remove(c->tile, c->ranks, n_tile, err);
    }
    return rc;
}

/* Decides the block's n rows, whose ranks rise, in that order. */
static void decide(comparison *c, const int64_t *ranks, size_t n) {
    for (size_t i = 0; i < n; i++) {
        vx_neighbour *best = &c->best[i];
        for (size_t k = 0; k < c->n_inside[i]; k++) {
            vx_neighbour other = c->inside[i * BLOCK + k];
            if (is_kept(c, (size_t)other.id)) { /* so it was decided before */
                improve(best, other);
                break; /* they come best first, then by rank */
            }
        }
        size_t rank = (size_t)ranks[i];
        if (best->id >= 0)
            c->matches[rank] = (vx_dedup_match){.of = (size_t)best->id,
                                                .score = best->score > 1 ? 1 : best->score,
                                                .is_duplicate = best->score >= c->p->threshold};
        if (!c->matches[rank].is_duplicate)
            c->is_kept[rank / 8] |= (uint8_t)(1 << rank % 8);
    }
}

/* Copies what was kept of the block's n rows into c->kept, if that has room. */
static int copy_kept(comparison *c, const int64_t *ranks, size_t n, size_t end, vx_err *err) {
    if (c->n_kept >= c->kept_limit)
        return 0;
    int64_t kept[BLOCK];
    size_t n_kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_kept(c, (size_t)ranks[i]))
            continue;
        memmove(c->vectors + n_kept * c->dim, c->vectors + i * c->dim, c->dim * sizeof(float));
        kept[n_kept++] = ranks[i];
    }
    int rc = n_kept ? vx_index_add(c->kept, kept, NULL, c->vectors, n_kept, err) : 0;
    c->n_kept += n_kept;
    c->first_uncopied = end;
    return rc;
}

static int compare_block(comparison *c, size_t first, size_t end, vx_err *err) {
    int64_t ranks[BLOCK];
    size_t n = 0, rank = first;
    for (size_t r = first; r < end; r++)
        c->matches[r] = (vx_dedup_match){.of = r};
    int rc = copy_vectors(c, false, &rank, end, BLOCK, c->vectors, &n, err);
    if (rc || !n)
        return rc;
    memcpy(ranks, c->ranks, n * sizeof *ranks);
    for (size_t i = 0; i < n; i++)
        c->best[i] = (vx_neighbour){.id = -1};
    vx_index_query query = {.vectors = c->vectors, .n = n, .k = BLOCK};
    rc = search_kept(c, c->kept, n, err);
    if (!rc)
        rc = search_uncopied(c, n, first, err);
    if (!rc)
        rc = vx_index_add(c->block, ranks, NULL, c->vectors, n, err);
    if (!rc)
        rc = vx_index_search(c->block, &query, c->inside, c->n_inside, NULL, err);
    if (!rc)
        rc = vx_index_remove(c->block, ranks, n, err);
    if (rc)
        return rc;
    decide(c, ranks, n);
    return copy_kept(c, ranks, n, end, err);
}

static int open_indexes(comparison *c, vx_err *err) {
    vx_index_params params = {.dim = (int)c->dim};
    int rc = vx_index_new(&params, &c->kept, err);
    params.segment_rows = TILE;
    if (!rc)
        rc = vx_index_new(&params, &c->tile, err);
    params.segment_rows = BLOCK;
    return rc ? rc : vx_index_new(&params, &c->block, err);
}

static void comparison_free(comparison **slot) {
    comparison *c = *slot;
    if (!c)
        return;
    vx_index_free(c->kept);
    vx_index_free(c->tile);
    vx_index_free(c->block);
    free(c->vectors);
    free(c->tile_vectors);
    free(c->inside);
    free(c->is_kept);
    free(c);
}

int vx_dedup_all_pairs(const vx_dedup_params *params, vx_dedup_match *ret_matches, vx_err *err) {
    size_t n = params->n, dim = (size_t)vx_index_dim(params->source);
    int64_t bytes = params->memory_bytes ? params->memory_bytes : DEFAULT_MEMORY_BYTES;
    __attribute__((cleanup(comparison_free))) comparison *c = vx_new(comparison);
    if (!c)
        return VX_FAIL(err, -ENOMEM, "no memory to compare %zu vectors", n);
    c->p = params;
    c->matches = ret_matches;
    c->dim = dim;
    c->kept_limit = (size_t)bytes / (dim * (sizeof(float) + 1)); /* with their codes */
    c->vectors = vx_new_array(BLOCK * dim, sizeof(float));
    c->tile_vectors = vx_new_array(TILE * dim, sizeof(float));
    c->inside = vx_new_array(BLOCK * BLOCK, sizeof *c->inside);
    c->is_kept = vx_new_array(n / 8 + 1, 1);
    if (!c->vectors || !c->tile_vectors || !c->inside || !c->is_kept)
        return VX_FAIL(err, -ENOMEM, "no memory to compare %zu vectors", n);
    int rc = open_indexes(c, err);
    for (size_t first = 0, end; first < n && !rc; first = end) {
        end = n - first < BLOCK ? n : first + BLOCK;
        rc = compare_block(c, first, end, err);
        if (!rc && params->go_on && !params->go_on(params->ctx, end, n))
            rc = VX_FAIL(err, VX_DEDUP_STOPPED, "stopped with %zu of %zu vectors compared", end, n);
    }
    return rc;
}
