/* codes.h — 8-bit codes of a segment's rows, which say quickly which rows can matter to a query
 * (private to index/).
 *
 * A row r is kept as r' = scale · code, with code an integer of -127..127 for each number, and with
 * the length of what is lost, error >= |r - r'|. A query q gets codes of the same kind, coarser where
 * the kernel needs that. Then by the inequality of Cauchy and Schwarz
 *
 *   |q·r - q'·r'|  =  |q'·(r - r') + (q - q')·r|  <=  |q'| · error(r) + error(q) · |r|
 *
 * so a row whose q'·r' plus this bound lies below a score that is certain is no result, and no other
 * row is left out. The codes take a quarter of the memory of float32, and q'·r' is a sum of integers
 * (dots.h). Rows and queries that have no such codes (a number that is not finite or is huge) get an
 * endless error: each of them passes.
 *
 * Threads: the caller locks. search needs a read lock, put a write lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dots.h"

typedef struct vx_row_codes {
    const vx_dots_kernel *kernel;
    size_t dim, groups;
    size_t n_tiles;   /* capacity */
    void *memory;     /* owned: */
    uint8_t *tiles;   /* [n_tiles, groups, 64, 4], at a multiple of 64 bytes */
    float *scales;    /* [n_tiles · 64] */
    float *errors;    /* [n_tiles · 64] */
    float max_length; /* at least that of any row that was ever put and has codes */
} vx_row_codes;

/* Room for `capacity` rows; untouched memory costs nothing. 0 or -ENOMEM. */
int vx_codes_init(vx_row_codes *codes, const vx_dots_kernel *kernel, size_t dim, size_t capacity);
void vx_codes_done(vx_row_codes *codes);

/* Makes the codes of n rows (float32 [n, dim]) that lie at `row` from now on. */
void vx_codes_put(vx_row_codes *codes, size_t row, const float *vectors, size_t n);

/* ---- queries ---- */

typedef struct vx_codes_query {
    const int8_t *codes; /* borrows int8 [groups, 4] */
    int32_t offset;      /* 128 times the sum of the codes */
    float scale;
    float length, error; /* at least |q'|, and |q - q'| */
} vx_codes_query;

/* Codes of one query (float32 [dim]), within the kernel's pair_max; `codes` has room for 4 · groups. */
void vx_codes_query_init(vx_codes_query *query, const float *vector, size_t dim, int pair_max,
                         int8_t *codes);

/* What dots.h's reach() needs so that it passes every row of these codes that scores `score` or more
 * (as vx_score_dot() does) with the query. */
vx_dots_bar vx_codes_bar(const vx_row_codes *codes, const vx_codes_query *query, float score);

/* How far what the codes say (vx_dots_score()) can lie from a row's score, apart from the row's error times
 * the bar's norm: what the query's codes lost, and roundings.
 *   max_length  of the rows' codes */
float vx_codes_width(float max_length, const vx_codes_query *query);

static inline size_t vx_codes_groups(size_t dim) {
    return (dim + 3) / 4;
}
static inline const uint8_t *vx_codes_tile(const vx_row_codes *codes, size_t tile) {
    return codes->tiles + tile * codes->groups * VX_TILE_ROWS * 4;
}
