/* code_scan.h — the 8-bit codes of an index's rows on a CUDA device, and the rows there that can be results.
 *
 * The codes are index/codes.h's, in its tiles of 64 rows: uint8 [groups, 64, 4], a scale and an error for each
 * row. They lie in segments of one size. A row with the integer product `dot` with a query's codes scores
 *
 *     score = dot · scale of the row · scale of the query,  within  error of the row · norm + width,
 *
 * rounded as index/dots.h rounds it. So the k-th highest of score - that bound is a score that k rows reach
 * for certain, and a row whose score plus the bound is below it is none of the k best. Scores go into a
 * histogram of VX_CODE_SCAN_BINS, so the bar is a bin lower than it could be, which lets a few more through.
 *
 * Each row also has its id and its group, by which a query may keep to some rows: all others are as if they
 * were not there.
 *
 * Errs  VX_TORCH_NO_DEVICE (also in a build without CUDA), VX_TORCH_OUT_OF_MEMORY, -EIO with CUDA's own words.
 *       After -EIO free the scan: CUDA may fail from then on
 * Threads  external lock
 * Cost  the codes and 24 bytes a row of the device's memory; 32 bytes a row while up to 8 queries are scanned at
 *       once. Codes are read once for them: 10 M x 256 in about a millisecond on an H200
 */
#pragma once

#ifdef __cplusplus
#define VX_CODE_SCAN_NOEXCEPT noexcept
extern "C" {
#else
#define VX_CODE_SCAN_NOEXCEPT
#endif

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    VX_CODE_SCAN_BINS = 4096,
    VX_CODE_SCAN_ROOM = 1 << 16, /* rows that one query can get */
};

typedef struct vx_code_scan vx_code_scan;

/* What of a scan is asked for. */
typedef struct vx_code_query {
    const int8_t *codes; /* borrows int8 [groups, 4] */
    float scale, norm, width;
    float range;       /* no row with codes scores more than this, or less than its negative */
    float lowest;      /* rows that score less are of no use */
    float highest;     /* nor those that score more; endless: any */
    int64_t before_id; /* only smaller ids; 0 = any */
    size_t k;          /* > 0 */
} vx_code_query;

/* The rows that may be results, of all queries of a run. */
typedef struct vx_code_selection {
    const uint64_t *bits; /* borrows [n_bits / 64 + 1] bit i: first + i; NULL: all rows */
    int64_t first;
    uint64_t n_bits;
    bool by_id; /* bits are of ids; else of groups */
} vx_code_selection;

/* Rows of tiles; all borrowed. */
typedef struct vx_code_tiles {
    const uint8_t *tiles;         /* [n, groups, 64, 4] */
    const float *scales, *errors; /* float32 [n, 64] */
    const int64_t *ids, *groups;  /* [n, 64] */
} vx_code_tiles;

typedef struct vx_code_row {
    uint32_t segment, row;
    float score;
} vx_code_row;

/*   device         "cuda:N"
 *   segment_tiles  tiles of a segment */
int vx_code_scan_new(const char *device, size_t groups, size_t segment_tiles,
                     vx_code_scan **ret_scan, vx_err *err) VX_CODE_SCAN_NOEXCEPT;
vx_code_scan *vx_code_scan_free(vx_code_scan *scan) VX_CODE_SCAN_NOEXCEPT;

/* Copies n tiles, from `first` on, into a segment, which has n_tiles of them afterwards, all of whose rows
 * count. A new segment has the next number. */
int vx_code_scan_put(vx_code_scan *scan, size_t segment, size_t first, size_t n, size_t n_tiles,
                     const vx_code_tiles *tiles, vx_err *err) VX_CODE_SCAN_NOEXCEPT;

/* The rows that can be among the k best of each query, in no order.
 *   selected  copied to the device in each run
 *   ret_rows  [n, VX_CODE_SCAN_ROOM]
 *   ret_n     [n]; more than VX_CODE_SCAN_ROOM: there was no room for all
 *   ret_bars  [n]: every other row that may be a result scores less than this */
int vx_code_scan_run(vx_code_scan *scan, const vx_code_query *queries, size_t n,
                     const vx_code_selection *selected, vx_code_row *ret_rows, size_t *ret_n,
                     float *ret_bars, vx_err *err) VX_CODE_SCAN_NOEXCEPT;

#ifdef __cplusplus
}
#endif
