// The device's memory without libtorch, for index.sh.
#include "torch/torch_shim.h"

extern "C" int vx_torch_memory(const char *device, int64_t *ret_free_bytes,
                               int64_t *ret_total_bytes, vx_err *err) noexcept {
    size_t free_bytes, total_bytes;
    if (cudaSetDevice(0) || cudaMemGetInfo(&free_bytes, &total_bytes))
        return VX_FAIL(err, VX_TORCH_NO_DEVICE, "%s tells nothing of its memory", device);
    *ret_free_bytes = static_cast<int64_t>(free_bytes);
    *ret_total_bytes = static_cast<int64_t>(total_bytes);
    return 0;
}
