// cuda_graphs.cpp — see cuda_graphs.h. Empty where torch has no CUDA.
#include "cuda_graphs.h"

#ifdef VX_TORCH_CUDA
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>

vx_cuda_runner::vx_cuda_runner(at::Device place)
    : device(place), stream(c10::cuda::getStreamFromPool(false, place.index())) {}

static std::vector<int64_t> shape_of(const vx_cuda_input &input) {
    std::vector<int64_t> shape = input[0].sizes().vec();
    shape[0] *= static_cast<int64_t>(input.size());
    return shape;
}

static void copy(const vx_cuda_input &input, const at::Tensor &to) {
    int64_t rows = input[0].size(0);
    for (size_t i = 0; i < input.size(); i++)
        to.narrow(0, static_cast<int64_t>(i) * rows, rows).copy_(input[i], /*non_blocking=*/true);
}

vx_cuda_runner::graph *vx_cuda_runner::find(const std::vector<vx_cuda_input> &inputs) {
    for (auto &one : graphs) {
        bool same = one->inputs.size() == inputs.size();
        for (size_t i = 0; same && i < inputs.size(); i++)
            same = one->inputs[i].sizes() == shape_of(inputs[i]) &&
                   one->inputs[i].scalar_type() == inputs[i][0].scalar_type();
        if (same)
            return one.get();
    }
    return nullptr;
}

// Other threads' calls to CUDA do not disturb a recording of this thread. What cannot be recorded (a module
// that waits for the device) runs as before; no further recording is tried.
bool vx_cuda_runner::record(graph &one, torch::jit::Module &script) {
    try {
        one.cuda.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
        one.output = script.forward({one.inputs.begin(), one.inputs.end()});
        one.cuda.capture_end();
        one.recorded = true;
        n_recorded++;
    } catch (const std::exception &) {
        records = false;
        try {
            one.cuda.capture_end();
        } catch (const std::exception &) {
        }
        one.output = {};
        (void)cudaGetLastError();
    }
    return one.recorded;
}

at::IValue vx_cuda_runner::run(torch::jit::Module &script,
                               const std::vector<vx_cuda_input> &inputs) {
    graph *known = find(inputs);
    std::vector<at::Tensor> moved;
    for (size_t i = 0; i < inputs.size(); i++) {
        moved.push_back(
            known ? known->inputs[i]
                  : at::empty(shape_of(inputs[i]), inputs[i][0].options().device(device)));
        copy(inputs[i], moved[i]);
    }
    if (known && (known->recorded || (records && record(*known, script)))) {
        known->cuda.replay();
        return known->output;
    }
    if (!known && records && moved[0].size(0) <= VX_GRAPH_MAX_BATCH &&
        graphs.size() < VX_GRAPHS_MAX) {
        graphs.push_back(std::make_unique<graph>());
        graphs.back()->inputs = moved;
    }
    return script.forward({moved.begin(), moved.end()});
}
#endif
