/* code_scan_none.c — in a build without CUDA. */
#include "code_scan.h"

#include "torch_shim.h"

int vx_code_scan_new(const char *device, size_t groups, size_t segment_tiles,
                     vx_code_scan **ret_scan, vx_err *err) {
    (void)groups;
    (void)segment_tiles;
    (void)ret_scan;
    return VX_FAIL(err, VX_TORCH_NO_DEVICE, "%s: vidx was built without CUDA", device);
}

vx_code_scan *vx_code_scan_free(vx_code_scan *scan) {
    (void)scan;
    return NULL;
}

int vx_code_scan_put(vx_code_scan *scan, size_t segment, size_t first, size_t n, size_t n_tiles,
                     const vx_code_tiles *tiles, vx_err *err) {
    (void)scan;
    (void)segment;
    (void)first;
    (void)n;
    (void)n_tiles;
    (void)tiles;
    return VX_FAIL(err, VX_TORCH_NO_DEVICE, "vidx was built without CUDA");
}

int vx_code_scan_run(vx_code_scan *scan, const vx_code_query *queries, size_t n,
                     const vx_code_selection *selected, vx_code_row *ret_rows, size_t *ret_n,
                     float *ret_bars, vx_err *err) {
    (void)scan;
    (void)queries;
    (void)n;
    (void)selected;
    (void)ret_rows;
    (void)ret_n;
    (void)ret_bars;
    return VX_FAIL(err, VX_TORCH_NO_DEVICE, "vidx was built without CUDA");
}
