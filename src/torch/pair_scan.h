/* pair_scan.h — rows on a CUDA device, and which pairs of them have a product that may reach a bar.
 *
 * Rows are float32 unit vectors. There they are rounded to float16 (times 256, so that small numbers keep their
 * digits) and multiplied on tensor cores with sums in float32. A product is off from the exact one of the float32
 * rows by at most vx_pair_scan_slack(): so whoever takes all pairs from bar - slack on, and scores these exactly,
 * misses none.
 *
 * Errs  VX_TORCH_NO_DEVICE (also in a build without CUDA, and for cards older than compute capability 7.0),
 *       VX_TORCH_OUT_OF_MEMORY, -EIO with CUDA's own words. After -EIO free the scan: CUDA may fail from then on
 * Threads  external lock
 * Memory   on the device 2 bytes a number, dim rounded up to a multiple of 32, and what vx_pair_scan_bytes() adds
 */
#pragma once

#ifdef __cplusplus
#define VX_PAIR_SCAN_NOEXCEPT noexcept
extern "C" {
#else
#define VX_PAIR_SCAN_NOEXCEPT
#endif

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    VX_PAIR_SCAN_ROOM = 1 << 20,   /* pairs that one run can give */
    VX_PAIR_SCAN_OTHERS = 1 << 20, /* others of one run */
    VX_PAIR_SCAN_PUT = 1 << 14,    /* rows that are copied at once */
};

typedef struct vx_pair_scan vx_pair_scan;
typedef struct vx_pair_found {
    uint32_t row, other;
} vx_pair_found;

/* device: "cuda:N". n_rows: up to 2^32 - 1024. */
int vx_pair_scan_new(const char *device, size_t n_rows, size_t dim, vx_pair_scan **ret_scan,
                     vx_err *err) VX_PAIR_SCAN_NOEXCEPT;
vx_pair_scan *vx_pair_scan_free(vx_pair_scan *scan) VX_PAIR_SCAN_NOEXCEPT;
/* Copies rows [first, first + n) there: float32 [n, dim]. */
int vx_pair_scan_put(vx_pair_scan *scan, size_t first, size_t n, const float *rows,
                     vx_err *err) VX_PAIR_SCAN_NOEXCEPT;

typedef struct vx_pair_scan_run_params {
    size_t row, n_rows; /* these rows, each */
    size_t other,
        n_others;   /* with these others that stand before it; n_others <= VX_PAIR_SCAN_OTHERS */
    float at_least; /* pairs whose product there is at least this */
} vx_pair_scan_run_params;
/* In no order.
 *   ret_found  [VX_PAIR_SCAN_ROOM]
 *   ret_n      more than VX_PAIR_SCAN_ROOM: there was no room for all */
int vx_pair_scan_run(vx_pair_scan *scan, const vx_pair_scan_run_params *params,
                     vx_pair_found *ret_found, size_t *ret_n, vx_err *err) VX_PAIR_SCAN_NOEXCEPT;

/* Bytes of the device's memory that a scan takes. */
static inline size_t vx_pair_scan_bytes(size_t n_rows, size_t dim) {
    size_t found = VX_PAIR_SCAN_ROOM * sizeof(vx_pair_found);
    return (n_rows + 256) * ((dim + 31) / 32 * 32) * 2 + VX_PAIR_SCAN_PUT * dim * 4 + found;
}

/* Of rows of length 1, or a few units of the last place more.
 *   rounding both factors to 11 bits   2 · 2^-11 + 2^-22 of sum |a b| <= 1
 *   numbers below 2^-14 / 256          2^-33 each, of sum |a| <= sqrt(dim): nothing beside the next
 *   sums on tensor cores               products are exact; each addition, in groups of at least 4, cuts off less
 *                                      than 2^-22 of the greatest term: 1.25 · dim · 2^-22 (Fasi, Higham, Mikaitis,
 *                                      Pranesh: Numerical behavior of NVIDIA tensor cores, PeerJ CS 2021) */
static inline float vx_pair_scan_slack(size_t dim) {
    return (0x1p-10f + 0x1p-22f + 1.5f * (float)dim * 0x1p-22f) * 1.01f;
}

#ifdef __cplusplus
}
#endif
