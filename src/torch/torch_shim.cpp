// torch_shim.cpp — runs TorchScript. torch_shim.h has the contract.
//
// TorchScript runs without its profiling executor, which spends the first runs of each input shape on
// recording and specialising (seconds for a large network), and without the passes of the one before it,
// which break networks that compute in bfloat16: packages are frozen or traced, so neither would gain
// anything. On a GPU each module has its own stream, and small batches are replayed as CUDA graphs
// (cuda_graphs.h). cuDNN and cuBLAS are told not to round float32 inputs to TF32, because a vector must not
// depend on the device that made it.

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/cpu/Utils.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/version.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>

#if defined(VX_TORCH_CUDA) && defined(VX_CUBLASLT)
#include <c10/cuda/CUDAException.h>
#endif
#ifdef VX_TORCH_CUDA
#include <c10/cuda/CUDAStream.h>
#endif

#include "cuda_graphs.h"
#include "operators.h"
#include "torch_shim.h"
extern "C" {
#include "base/trace.h"
}

struct vx_torch_module {
    torch::jit::Module script;
    at::Device device;
#ifdef VX_TORCH_CUDA
    std::unique_ptr<vx_cuda_runner> cuda = nullptr; // none on the CPU
#endif
};

struct vx_torch_host_memory {
    at::Tensor tensor;
};

namespace {

// TorchScript's messages are a page of traceback; the useful part is the last "…Error: …" line.
std::string last_error_line(const std::string &text) {
    size_t mark = text.rfind("Error: ");
    size_t from = mark == std::string::npos ? 0 : text.rfind('\n', mark) + 1;
    return text.substr(from, text.find('\n', from) - from);
}

// A c10::OutOfMemoryError thrown inside a TorchScript module arrives as a runtime_error with the
// interpreter's traceback around its text, so it can only be recognised by the text. In order: CUDA's
// and other accelerators' allocators; the CPU's; cuBLAS and cuDNN allocating a workspace.
bool is_out_of_memory(const char *text) {
    return strstr(text, "out of memory") || strstr(text, "allocate memory") ||
           strstr(text, "_ALLOC_FAILED");
}

// What cudaGetErrorString and the libraries above it say when the device itself fails, and not the program: after most
// of these every call of this process for that device fails. No sign may be shorter: below each error of CUDA torch
// writes that device-side assertions can be enabled.
bool is_device_lost(const char *text) {
    static const char *const signs[] = {"CUDA error: initialization error",
                                        "driver shutting down",
                                        "all CUDA-capable devices are busy or unavailable",
                                        "CUDA-capable device(s) is/are busy or unavailable",
                                        "no CUDA-capable device is detected",
                                        "uncorrectable ECC error",
                                        "uncorrectable NVLink error",
                                        "peer GPU memory over nvlink or a hardware error",
                                        "illegal memory access",
                                        "the launch timed out",
                                        "context is destroyed",
                                        "device-side assert triggered",
                                        "hardware stack error",
                                        "an illegal instruction was encountered",
                                        "misaligned address",
                                        "operation not supported on global/shared address space",
                                        "invalid program counter",
                                        "unspecified launch failure",
                                        "system not yet initialized",
                                        "MPS server",
                                        "MPS client",
                                        "CUDA error: unknown error",
                                        "CUBLAS_STATUS_EXECUTION_FAILED",
                                        "CUBLAS_STATUS_NOT_INITIALIZED",
                                        "CUBLAS_STATUS_INTERNAL_ERROR",
                                        "CUDNN_STATUS_EXECUTION_FAILED",
                                        "CUDNN_STATUS_INTERNAL_ERROR"};
    for (const char *sign : signs)
        if (strstr(text, sign))
            return true;
    return false;
}

// The outcome that a text of libtorch tells; `failed` if it tells none.
int outcome_of(const char *text, int failed) {
    int told = vx_torch_outcome_of(text);
    return told ? told : failed;
}

// Runs body and turns exceptions into errors; `failed` is the outcome for an error of torch itself,
// whose meaning depends on the operation. noexcept: the only thing left that could throw is building
// a message without memory, and then the process may as well end.
template <typename Body>
int guarded(vx_err *err, int failed, const char *what, Body body) noexcept {
    try {
        return body();
    } catch (const c10::OutOfMemoryError &e) {
        return VX_FAIL(err, VX_TORCH_OUT_OF_MEMORY, "%s: %s", what,
                       last_error_line(e.what_without_backtrace()).c_str());
    } catch (const c10::Error &e) {
        const char *text = e.what_without_backtrace();
        return VX_FAIL(err, outcome_of(text, failed), "%s: %s", what,
                       last_error_line(text).c_str());
    } catch (const std::bad_alloc &) {
        return VX_FAIL(err, -ENOMEM, "%s: out of memory", what);
    } catch (const std::exception &e) {
        return VX_FAIL(err, outcome_of(e.what(), failed), "%s: %s", what,
                       last_error_line(e.what()).c_str());
    } catch (...) {
        return VX_FAIL(err, -EIO, "%s: unknown failure of libtorch", what);
    }
}

struct {
    vx_torch_reserve give_back;
    void *ctx;
} reserve;

// A run, and once more where it lacked memory and others gave some back.
template <typename Body> int guarded_run(vx_err *err, Body body) noexcept {
    int rc = guarded(err, VX_TORCH_BAD_RESULT, "running the module", body);
    if (rc == VX_TORCH_OUT_OF_MEMORY && reserve.give_back && reserve.give_back(reserve.ctx))
        rc = guarded(err, VX_TORCH_BAD_RESULT, "running the module", body);
    return rc;
}

void set_up_once() {
    static const bool done = [] {
        torch::jit::getExecutorMode() = false;
        at::globalContext().setAllowTF32CuDNN(false);
        at::globalContext().setAllowTF32CuBLAS(false);
        vx_register_operators();
        return true;
    }();
    (void)done;
}

int cuda_count() {
    return at::globalContext().hasCUDA() ? at::detail::getCUDAHooks().getNumGPUs() : 0;
}

int parse_device(const char *name, at::Device *ret, vx_err *err) {
    if (!strcmp(name, "cpu")) {
        *ret = at::Device(at::kCPU);
        return 0;
    }
    char *end = nullptr;
    long index = strncmp(name, "cuda:", 5) ? -1 : strtol(name + 5, &end, 10);
    if (index < 0 || end == name + 5 || *end)
        return VX_FAIL(err, VX_TORCH_NO_DEVICE, "device '%s' is not cpu or cuda:N", name);
    int count = cuda_count();
    if (index >= count)
        return VX_FAIL(err, VX_TORCH_NO_DEVICE, "no device %s: this machine has %d CUDA device%s",
                       name, count, count == 1 ? "" : "s");
    *ret = at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
    return 0;
}

at::ScalarType scalar_type(vx_torch_dtype dtype) {
    switch (dtype) {
    case VX_TORCH_U8:
        return at::kByte;
    case VX_TORCH_I64:
        return at::kLong;
    case VX_TORCH_F32:
        return at::kFloat;
    }
    TORCH_CHECK(false, "dtype ", static_cast<int>(dtype), " is not one of vx_torch_dtype");
}

at::Tensor tensor_of(const vx_torch_view &view) {
    TORCH_CHECK(view.n_dims >= 1 && view.n_dims <= VX_TORCH_MAX_DIMS, "a view of ", view.n_dims,
                " dimensions");
    return at::from_blob(view.data, at::IntArrayRef(view.shape, static_cast<size_t>(view.n_dims)),
                         at::TensorOptions().dtype(scalar_type(view.dtype)));
}

int store(const at::IValue &value, const vx_torch_view &output, vx_err *err) {
    if (!value.isTensor())
        return VX_FAIL(err, VX_TORCH_BAD_RESULT, "the module returns a %s, not a tensor",
                       value.tagKind().c_str());
    at::Tensor target = tensor_of(output);
    const at::Tensor &result = value.toTensor();
    if (result.sizes() != target.sizes())
        return VX_FAIL(err, VX_TORCH_BAD_RESULT, "the module returns shape %s, expected %s",
                       c10::str(result.sizes()).c_str(), c10::str(target.sizes()).c_str());
    int64_t begun_us = vx_trace_begin();
#ifdef VX_TORCH_CUDA
    if (begun_us && result.is_cuda()) { // else the copy would wait for the model
        c10::cuda::getCurrentCUDAStream().synchronize();
        begun_us = vx_trace_begin();
    }
#endif
    target.copy_(result);
    vx_trace_end("copy out", begun_us);
    return 0;
}

// Each input is in parts, which are joined along their first dimension. They may change when this returns;
// store() waits for the values, which need them.
int run(vx_torch_module *module, const std::vector<std::vector<at::Tensor>> &inputs,
        const vx_torch_view &output, vx_err *err) {
    c10::InferenceMode inference;
    torch::jit::GraphOptimizerEnabledGuard bare(false);
#ifdef VX_TORCH_CUDA
    if (module->cuda) {
        auto current = module->cuda->on_stream();
        return store(module->cuda->run(module->script, inputs), output, err);
    }
#endif
    std::vector<at::IValue> given;
    for (const auto &parts : inputs)
        given.emplace_back(parts.size() == 1 ? parts[0] : at::cat(parts));
    return store(module->script.forward(std::move(given)), output, err);
}

} // namespace

extern "C" {

int vx_torch_load(const char *path, const char *device, vx_torch_module **ret_module,
                  vx_err *err) noexcept {
    return guarded(err, VX_TORCH_BAD_FILE, path, [&] {
        set_up_once();
        at::Device place(at::kCPU);
        if (int r = parse_device(device, &place, err))
            return r;
        c10::InferenceMode inference;
        torch::jit::Module script = torch::jit::load(path, place);
        script.eval();
        std::unique_ptr<vx_torch_module> module(new vx_torch_module{std::move(script), place});
#ifdef VX_TORCH_CUDA
        if (place.is_cuda())
            module->cuda = std::make_unique<vx_cuda_runner>(place);
#endif
        *ret_module = module.release();
        return 0;
    });
}

vx_torch_module *vx_torch_free(vx_torch_module *module) noexcept {
    delete module;
    return nullptr;
}

int vx_torch_run(vx_torch_module *module, const vx_torch_view *inputs, int n_inputs,
                 const vx_torch_view *output, vx_err *err) noexcept {
    return guarded_run(err, [&] {
        TORCH_CHECK(n_inputs >= 1 && n_inputs <= VX_TORCH_MAX_INPUTS, n_inputs, " inputs");
        std::vector<std::vector<at::Tensor>> given;
        for (int i = 0; i < n_inputs; i++)
            given.push_back({tensor_of(inputs[i])});
        return run(module, given, *output, err);
    });
}

int vx_torch_run_parts(vx_torch_module *module, const void *const *data, int n,
                       const vx_torch_view *part, const vx_torch_view *output,
                       vx_err *err) noexcept {
    return guarded_run(err, [&] {
        TORCH_CHECK(n >= 1, n, " parts");
        std::vector<at::Tensor> parts;
        for (int i = 0; i < n; i++) {
            vx_torch_view view = *part;
            view.data = const_cast<void *>(data[i]);
            parts.push_back(tensor_of(view).unsqueeze(0));
        }
        return run(module, {parts}, *output, err);
    });
}

int vx_torch_host_alloc(size_t n_bytes, vx_torch_host_memory **ret_memory, void **ret_data,
                        vx_err *err) noexcept {
    if (vx_torch_cuda_count() == 0)
        return VX_FAIL(err, VX_TORCH_NO_DEVICE, "no CUDA device to lock memory for");
    return guarded(err, -ENOMEM, "allocating page-locked memory", [&] {
        auto *memory = new vx_torch_host_memory{
            at::empty({static_cast<int64_t>(n_bytes)},
                      at::TensorOptions().dtype(at::kByte).pinned_memory(true))};
        *ret_memory = memory;
        *ret_data = memory->tensor.data_ptr();
        return 0;
    });
}

vx_torch_host_memory *vx_torch_host_free(vx_torch_host_memory *memory) noexcept {
    delete memory;
    return nullptr;
}

int vx_torch_outcome_of(const char *text) noexcept {
    return is_out_of_memory(text) ? VX_TORCH_OUT_OF_MEMORY
           : is_device_lost(text) ? VX_TORCH_DEVICE_LOST
                                  : 0;
}

const char *vx_torch_version(void) noexcept {
    return TORCH_VERSION;
}

bool vx_torch_has_operators(const char *set) noexcept {
    return !strcmp(set, VX_OPERATORS) || !strcmp(set, VX_OPERATORS_FP8);
}

const char *vx_torch_operators(void) noexcept {
    return VX_OPERATORS " and " VX_OPERATORS_FP8;
}

int vx_torch_check_fp8(const char *device, vx_err *err) noexcept {
    return guarded(err, VX_TORCH_NO_DEVICE, device, [&] {
        at::Device place(at::kCPU);
        if (int r = parse_device(device, &place, err))
            return r;
        if (place.is_cpu())
            return 0;
#if defined(VX_TORCH_CUDA) && defined(VX_CUBLASLT)
        int major, minor;
        C10_CUDA_CHECK(
            cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, place.index()));
        C10_CUDA_CHECK(
            cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, place.index()));
        if (major > 8 || (major == 8 && minor >= 9))
            return 0;
        return VX_FAIL(err, VX_TORCH_NO_DEVICE,
                       "%s has compute capability %d.%d, and products in float8 need 8.9", device,
                       major, minor);
#else
        return VX_FAIL(err, VX_TORCH_NO_DEVICE,
                       "vidx was built without products in float8, because nvcc, a torch with CUDA "
                       "or cublasLt.h was not there");
#endif
    });
}

const char *vx_torch_kernels_note(void) noexcept {
#ifdef VX_CUDA_KERNELS
    return nullptr;
#else
    return "vidx was built without kernels.cu, because CUDA's compiler nvcc or a torch with CUDA "
           "was "
           "not there";
#endif
}

void vx_torch_set_reserve(vx_torch_reserve give_back, void *ctx) noexcept {
    reserve.give_back = give_back;
    reserve.ctx = ctx;
}

int vx_torch_cuda_count(void) noexcept {
    try {
        return cuda_count();
    } catch (...) {
        return 0;
    }
}

int vx_torch_memory(const char *device, int64_t *ret_free_bytes, int64_t *ret_total_bytes,
                    vx_err *err) noexcept {
    return guarded(err, VX_TORCH_NO_DEVICE, device, [&] {
        at::Device place(at::kCPU);
        if (int r = parse_device(device, &place, err))
            return r;
        if (place.is_cpu())
            return VX_FAIL(err, VX_TORCH_NO_DEVICE, "libtorch does not know the CPU's memory");
        at::globalContext().lazyInitDevice(place.type());
        auto bytes = at::getDeviceAllocator(place.type())->getMemoryInfo(place.index());
        *ret_free_bytes = static_cast<int64_t>(bytes.first);
        *ret_total_bytes = static_cast<int64_t>(bytes.second);
        return 0;
    });
}

int vx_torch_take_peak(const char *device, int64_t *ret_bytes, vx_err *err) noexcept {
    return guarded(err, VX_TORCH_NO_DEVICE, device, [&] {
        at::Device place(at::kCPU);
        if (int r = parse_device(device, &place, err))
            return r;
        if (place.is_cpu())
            return VX_FAIL(err, VX_TORCH_NO_DEVICE, "libtorch does not count the CPU's memory");
        at::globalContext().lazyInitDevice(place.type());
        auto allocator = at::getDeviceAllocator(place.type());
        const auto held =
            allocator->getDeviceStats(place.index())
                .allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)];
        *ret_bytes = held.peak - held.current;
        allocator->resetPeakStats(place.index());
        return 0;
    });
}

bool vx_torch_cpu_has_amx(void) noexcept {
    try {
        return at::cpu::init_amx();
    } catch (...) {
        return false;
    }
}

void vx_torch_count_graphs(const vx_torch_module *module, int *ret_n, int *ret_max) noexcept {
    *ret_n = *ret_max = 0;
#ifdef VX_TORCH_CUDA
    if (module->cuda) {
        *ret_n = module->cuda->n_recorded;
        *ret_max = static_cast<int>(VX_GRAPHS_MAX);
    }
#else
    (void)module;
#endif
}

int vx_torch_set_threads(int n, vx_err *err) noexcept {
    return guarded(err, -EIO, "setting the number of threads", [&] {
        at::set_num_threads(n);
        return 0;
    });
}

} // extern "C"
