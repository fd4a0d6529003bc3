// operators.cpp — the operators "vidx::…" that archives may use; models/common/operators.py describes them.
//
// Each is written with torch's operators for any device. Where CUDA kernels were built (kernels.cu), these
// stand in for it on a GPU.

#include <ATen/ops/add.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/im2col.h>
#include <ATen/ops/layer_norm.h>
#include <torch/library.h>

#include <cstdint>
#include <optional>
#include <tuple>

#include "operators.h"
#include "operators_fp8.h"

#ifdef VX_CUDA_KERNELS
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

#include "kernels.cuh"
#endif

namespace {

using Pair = std::tuple<at::Tensor, at::Tensor>;

Pair add_layer_norm(const at::Tensor &x, const std::optional<at::Tensor> &y,
                    const at::Tensor &weight, const at::Tensor &bias, double eps) {
    at::Tensor total = y ? at::add(x, *y) : x;
    return {total, at::layer_norm(total, weight.sizes(), weight, bias, eps)};
}

void check_patches(const at::Tensor &pictures, int64_t side, int64_t width) {
    TORCH_CHECK(pictures.dim() == 4 && pictures.size(1) == 3 && side > 0 &&
                    pictures.size(2) % side == 0 && pictures.size(3) % side == 0,
                "patches of side ", side, " of pictures ", pictures.sizes());
    TORCH_CHECK(width >= 3 * side * side, "patches of side ", side, " in ", width, " numbers");
}

at::Tensor patches(const at::Tensor &pictures, int64_t side, int64_t width) {
    check_patches(pictures, side, width);
    at::Tensor squares = at::im2col(pictures, {side, side}, {1, 1}, {0, 0}, {side, side});
    squares = at::constant_pad_nd(squares.transpose(1, 2), {0, width - 3 * side * side});
    return squares.to(at::kBFloat16);
}

#ifdef VX_CUDA_KERNELS
bool is_aligned(const at::Tensor &tensor) {
    return reinterpret_cast<uintptr_t>(tensor.data_ptr()) % 16 == 0;
}

// Rows of bfloat16 that the kernel can read 16 bytes at a time.
bool is_plain(const at::Tensor &tensor) {
    return tensor.scalar_type() == at::kBFloat16 && tensor.is_contiguous() && is_aligned(tensor);
}

// What the kernel does not take goes through torch's operators.
bool kernel_takes(const at::Tensor &x, const std::optional<at::Tensor> &y, const at::Tensor &weight,
                  const at::Tensor &bias) {
    int64_t width = x.size(-1);
    return is_plain(x) && is_plain(weight) && is_plain(bias) && weight.numel() == width &&
           bias.numel() == width && width % 8 == 0 && width <= VX_NORM_MAX_WIDTH &&
           x.numel() / width <= INT32_MAX && (!y || (is_plain(*y) && y->sizes() == x.sizes()));
}

Pair add_layer_norm_cuda(const at::Tensor &x, const std::optional<at::Tensor> &y,
                         const at::Tensor &weight, const at::Tensor &bias, double eps) {
    if (!kernel_takes(x, y, weight, bias))
        return add_layer_norm(x, y, weight, bias, eps);
    at::Tensor total = y ? at::empty_like(x) : x, normed = at::empty_like(x);
    C10_CUDA_CHECK(vx_add_layer_norm(
        x.data_ptr(), y ? y->data_ptr() : nullptr, weight.data_ptr(), bias.data_ptr(),
        total.data_ptr(), normed.data_ptr(), static_cast<int>(x.numel() / x.size(-1)),
        static_cast<int>(x.size(-1)), static_cast<float>(eps), c10::cuda::getCurrentCUDAStream()));
    return {total, normed};
}

at::Tensor patches_cuda(const at::Tensor &pictures, int64_t side, int64_t width) {
    check_patches(pictures, side, width);
    if (!pictures.is_contiguous() || pictures.scalar_type() != at::kFloat)
        return patches(pictures, side, width);
    int64_t rows = pictures.size(2) / side, columns = pictures.size(3) / side;
    at::Tensor out = at::empty({pictures.size(0), rows * columns, width},
                               pictures.options().dtype(at::kBFloat16));
    C10_CUDA_CHECK(vx_patches(pictures.data_ptr<float>(), out.data_ptr(), pictures.size(0), side,
                              rows, columns, width, c10::cuda::getCurrentCUDAStream()));
    return out;
}
#endif

} // namespace

// Not with TORCH_LIBRARY: its registrations end with the process, when torch's own are ending too. This one
// is never destroyed.
void vx_register_operators(void) {
    // Nobody reads it. It keeps the library reachable, or LeakSanitizer reports it.
    [[gnu::used]] static auto *const library = [] {
        auto *made =
            new torch::Library(torch::Library::DEF, "vidx", std::nullopt, __FILE__, __LINE__);
        auto any = c10::DispatchKey::CompositeExplicitAutograd;
        made->def("add_layer_norm(Tensor x, Tensor? y, Tensor weight, Tensor bias, float eps)"
                  " -> (Tensor, Tensor)");
        made->def("patches(Tensor pictures, int side, int width) -> Tensor");
        made->impl("add_layer_norm", torch::dispatch(any, add_layer_norm));
        made->impl("patches", torch::dispatch(any, patches));
#ifdef VX_CUDA_KERNELS
        made->impl("add_layer_norm", torch::dispatch(c10::DispatchKey::CUDA, add_layer_norm_cuda));
        made->impl("patches", torch::dispatch(c10::DispatchKey::CUDA, patches_cuda));
#endif
        vx_define_fp8_operators(made);
        return made;
    }();
}
