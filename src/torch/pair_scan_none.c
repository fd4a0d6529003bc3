/* pair_scan_none.c — in a build without CUDA. */
#include "pair_scan.h"

#include "torch_shim.h"

int vx_pair_scan_new(const char *device, size_t n_rows, size_t dim, vx_pair_scan **ret_scan,
                     vx_err *err) {
    (void)n_rows;
    (void)dim;
    (void)ret_scan;
    return VX_FAIL(err, VX_TORCH_NO_DEVICE, "%s: vidx was built without CUDA", device);
}

vx_pair_scan *vx_pair_scan_free(vx_pair_scan *scan) {
    (void)scan;
    return NULL;
}

int vx_pair_scan_put(vx_pair_scan *scan, size_t first, size_t n, const float *rows, vx_err *err) {
    (void)scan;
    (void)first;
    (void)n;
    (void)rows;
    return VX_FAIL(err, VX_TORCH_NO_DEVICE, "vidx was built without CUDA");
}

int vx_pair_scan_run(vx_pair_scan *scan, const vx_pair_scan_run_params *params,
                     vx_pair_found *ret_found, size_t *ret_n, vx_err *err) {
    (void)scan;
    (void)params;
    (void)ret_found;
    (void)ret_n;
    return VX_FAIL(err, VX_TORCH_NO_DEVICE, "vidx was built without CUDA");
}
