// operators_fp8.cpp — see the header. The product of gelu_fp8 is cuBLASLt's: it adds the bias, applies GELU and
// rounds to float8 while the numbers are in registers, which torch has no operator for.
#include "operators_fp8.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/rms_norm.h>
#include <torch/library.h>

#include <cstdint>
#include <optional>
#include <tuple>

#include "fp8.h"

#ifdef VX_CUDA_KERNELS
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

#include "kernels.cuh"
#endif
#ifdef VX_CUBLASLT
#include <cublasLt.h>

#include <map>
#include <memory>
#include <mutex>
#include <type_traits>
#endif

namespace {

using Pair = std::tuple<at::Tensor, at::Tensor>;
using Triple = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
using Maybe = std::optional<at::Tensor>;

constexpr auto FP8 = at::kFloat8_e4m3fn;

at::Tensor to_fp8(const at::Tensor &numbers) {
    return at::clamp(numbers, -VX_FP8_MAX, VX_FP8_MAX).to(FP8);
}

// One number as the scale of all rows.
at::Tensor for_rows(const at::Tensor &scale, int64_t rows) {
    return scale.expand({rows, 1}).contiguous();
}

Pair rows_fp8(const at::Tensor &x) {
    at::Tensor wide = x.to(at::kFloat);
    at::Tensor amax = wide.abs().amax({1}, true).clamp_min(VX_FP8_LEAST_AMAX);
    return {to_fp8(wide * (amax.reciprocal() * VX_FP8_MAX)), amax / VX_FP8_MAX};
}

Triple add_norm_fp8(const at::Tensor &x, const Maybe &y, const at::Tensor &weight,
                    const Maybe &bias, double eps, const Maybe &scales) {
    at::Tensor total = y ? x + *y : x, gain = weight.to(at::kFloat);
    at::Tensor wide = total.to(at::kFloat).flatten(0, -2);
    at::Tensor normed = bias ? at::layer_norm(wide, gain.sizes(), gain, bias->to(at::kFloat), eps)
                             : at::rms_norm(wide, gain.sizes(), gain, eps);
    if (scales) {
        at::Tensor scale = scales->select(0, 0).select(0, 0);
        return {total, to_fp8(normed * scale.reciprocal()), for_rows(scale, wide.size(0))};
    }
    auto [rounded, row_scales] = rows_fp8(normed);
    return {total, rounded, row_scales};
}

void check_gelu(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias,
                const at::Tensor &scales) {
    TORCH_CHECK(x.dim() == 2 && weight.dim() == 2 && x.size(1) == weight.size(1) &&
                    x.scalar_type() == FP8 && weight.scalar_type() == FP8,
                "gelu_fp8 of ", x.sizes(), " and weights ", weight.sizes());
    TORCH_CHECK(bias.numel() == weight.size(0) && scales.numel() == 16 &&
                    scales.scalar_type() == at::kFloat,
                "gelu_fp8 with bias ", bias.sizes(), " and scales ", scales.sizes());
}

Pair gelu_fp8(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias,
              const at::Tensor &scales) {
    check_gelu(x, weight, bias, scales);
    at::Tensor s = scales.select(1, 0);
    at::Tensor wide = at::linear(x.to(at::kFloat) * s.select(0, 0),
                                 weight.to(at::kFloat) * s.select(0, 1), bias.to(at::kFloat));
    return {to_fp8(at::gelu(wide, "tanh") * s.select(0, 2)), for_rows(s.select(0, 3), x.size(0))};
}

#ifdef VX_CUDA_KERNELS
// Rows that the kernels can read 16 bytes at a time.
bool is_plain(const at::Tensor &tensor, at::ScalarType type) {
    return tensor.scalar_type() == type && tensor.is_contiguous() &&
           reinterpret_cast<uintptr_t>(tensor.data_ptr()) % 16 == 0;
}

bool are_rows(const at::Tensor &x) {
    int64_t width = x.size(-1);
    return is_plain(x, at::kBFloat16) && width && width % 8 == 0 && width <= VX_NORM_MAX_WIDTH &&
           x.numel() / width <= INT32_MAX;
}

bool is_of_row(const Maybe &tensor, int64_t width) {
    return !tensor || (is_plain(*tensor, at::kBFloat16) && tensor->numel() == width);
}

struct rounded {
    int rows, width;
    at::Tensor numbers, scales;

    explicit rounded(const at::Tensor &x)
        : rows(static_cast<int>(x.numel() / x.size(-1))), width(static_cast<int>(x.size(-1))),
          numbers(at::empty({rows, width}, x.options().dtype(FP8))),
          scales(at::empty({rows, 1}, x.options().dtype(at::kFloat))) {}
};

Triple add_norm_fp8_cuda(const at::Tensor &x, const Maybe &y, const at::Tensor &weight,
                         const Maybe &bias, double eps, const Maybe &scales) {
    bool fits = are_rows(x) && is_of_row(weight, x.size(-1)) && is_of_row(bias, x.size(-1)) &&
                (!y || (is_plain(*y, at::kBFloat16) && y->sizes() == x.sizes()));
    if (!fits)
        return add_norm_fp8(x, y, weight, bias, eps, scales);
    rounded out(x);
    at::Tensor total = y ? at::empty_like(x) : x;
    C10_CUDA_CHECK(vx_add_norm_fp8(
        x.data_ptr(), y ? y->data_ptr() : nullptr, weight.data_ptr(),
        bias ? bias->data_ptr() : nullptr, total.data_ptr(), out.numbers.data_ptr(),
        out.scales.data_ptr<float>(), scales ? scales->data_ptr<float>() : nullptr, out.rows,
        out.width, static_cast<float>(eps), c10::cuda::getCurrentCUDAStream()));
    return {total, out.numbers, out.scales};
}

Pair rows_fp8_cuda(const at::Tensor &x) {
    if (x.dim() != 2 || !are_rows(x))
        return rows_fp8(x);
    rounded out(x);
    C10_CUDA_CHECK(vx_rows_fp8(x.data_ptr(), out.numbers.data_ptr(), out.scales.data_ptr<float>(),
                               out.rows, out.width, c10::cuda::getCurrentCUDAStream()));
    return {out.numbers, out.scales};
}
#endif

#ifdef VX_CUBLASLT
constexpr size_t WORKSPACE_BYTES = 32 << 20; // as much as cuBLAS wants on Hopper

void check(cublasStatus_t status, const char *what) {
    TORCH_CHECK(status == CUBLAS_STATUS_SUCCESS, what, ": ", cublasLtGetStatusName(status));
}

// A handle belongs to a device, works for any thread, and lives as long as the process.
cublasLtHandle_t handle_of(c10::DeviceIndex device) {
    static std::mutex lock;
    [[gnu::used]] static auto *const handles = new std::map<c10::DeviceIndex, cublasLtHandle_t>;
    std::lock_guard<std::mutex> held(lock);
    auto found = handles->find(device);
    if (found != handles->end())
        return found->second;
    cublasLtHandle_t made;
    check(cublasLtCreate(&made), "cublasLtCreate");
    return handles->emplace(device, made).first->second;
}

template <auto destroy> struct with {
    template <typename T> void operator()(T *one) const {
        destroy(one);
    }
};
template <typename T, auto destroy>
using owned = std::unique_ptr<std::remove_pointer_t<T>, with<destroy>>;

owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy> layout(cudaDataType_t type, int64_t rows,
                                                                  int64_t columns) {
    cublasLtMatrixLayout_t made;
    check(cublasLtMatrixLayoutCreate(&made, type, static_cast<uint64_t>(rows),
                                     static_cast<uint64_t>(columns), rows),
          "cublasLtMatrixLayoutCreate");
    return owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>(made);
}

// cuBLASLt's matrices are by column: a row-major [n, k] is its [k, n]. So it computes the transposed result
// [N, rows] = weight, transposed, times x, with a bias along its columns.
Pair gelu_fp8_cuda(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias,
                   const at::Tensor &scales) {
    check_gelu(x, weight, bias, scales);
    int64_t rows = x.size(0), inner = x.size(1), n = weight.size(0);
    if (!rows || inner % 16 || n % 16 || !is_plain(x, FP8) || !is_plain(weight, FP8) ||
        !is_plain(bias, at::kBFloat16) || !is_plain(scales, at::kFloat))
        return gelu_fp8(x, weight, bias, scales);
    at::Tensor out = at::empty({rows, n}, x.options());
    at::Tensor workspace = at::empty({WORKSPACE_BYTES}, x.options().dtype(at::kByte));

    cublasLtMatmulDesc_t made;
    check(cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F),
          "cublasLtMatmulDescCreate");
    owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> product(made);
    auto set = [&](cublasLtMatmulDescAttributes_t name, const auto &value) {
        check(cublasLtMatmulDescSetAttribute(made, name, &value, sizeof value),
              "cublasLtMatmulDescSetAttribute");
    };
    const float *scale = scales.data_ptr<float>();
    set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_GELU_BIAS);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void *>(bias.data_ptr()));
    set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CUDA_R_16BF);
    set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, static_cast<const void *>(scale + 4));
    set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, static_cast<const void *>(scale));
    set(CUBLASLT_MATMUL_DESC_D_SCALE_POINTER, static_cast<const void *>(scale + 8));
    set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, static_cast<int8_t>(1));

    auto a = layout(CUDA_R_8F_E4M3, inner, n), b = layout(CUDA_R_8F_E4M3, inner, rows);
    auto c = layout(CUDA_R_16BF, n, rows), d = layout(CUDA_R_8F_E4M3, n, rows);
    cublasLtMatmulPreference_t wish;
    check(cublasLtMatmulPreferenceCreate(&wish), "cublasLtMatmulPreferenceCreate");
    owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> preference(wish);
    check(cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                               &WORKSPACE_BYTES, sizeof WORKSPACE_BYTES),
          "cublasLtMatmulPreferenceSetAttribute");
    cublasLtHandle_t handle = handle_of(x.device().index());
    cublasLtMatmulHeuristicResult_t best;
    int n_found = 0;
    check(cublasLtMatmulAlgoGetHeuristic(handle, made, a.get(), b.get(), c.get(), d.get(), wish, 1,
                                         &best, &n_found),
          "cublasLtMatmulAlgoGetHeuristic");
    TORCH_CHECK(n_found == 1, "cuBLASLt has no product of float8 [", rows, ", ", inner, "] with [",
                n, ", ", inner, "] and GELU for this device");
    const float one = 1, zero = 0;
    check(cublasLtMatmul(handle, made, &one, weight.data_ptr(), a.get(), x.data_ptr(), b.get(),
                         &zero, nullptr, c.get(), out.data_ptr(), d.get(), &best.algo,
                         workspace.data_ptr(), WORKSPACE_BYTES, c10::cuda::getCurrentCUDAStream()),
          "cublasLtMatmul");
    return {out, for_rows(scales.select(0, 3).select(0, 0), rows)};
}
#endif

} // namespace

void vx_define_fp8_operators(void *torch_library) {
    auto *library = static_cast<torch::Library *>(torch_library);
    auto any = c10::DispatchKey::CompositeExplicitAutograd;
    library->def("add_norm_fp8(Tensor x, Tensor? y, Tensor weight, Tensor? bias, float eps,"
                 " Tensor? scales) -> (Tensor, Tensor, Tensor)");
    library->def("rows_fp8(Tensor x) -> (Tensor, Tensor)");
    library->def(
        "gelu_fp8(Tensor x, Tensor weight, Tensor bias, Tensor scales) -> (Tensor, Tensor)");
    library->impl("add_norm_fp8", torch::dispatch(any, add_norm_fp8));
    library->impl("rows_fp8", torch::dispatch(any, rows_fp8));
    library->impl("gelu_fp8", torch::dispatch(any, gelu_fp8));
#ifdef VX_CUDA_KERNELS
    auto cuda = c10::DispatchKey::CUDA;
    library->impl("add_norm_fp8", torch::dispatch(cuda, add_norm_fp8_cuda));
    library->impl("rows_fp8", torch::dispatch(cuda, rows_fp8_cuda));
#ifdef VX_CUBLASLT
    library->impl("gelu_fp8", torch::dispatch(cuda, gelu_fp8_cuda));
#endif
#endif
}
