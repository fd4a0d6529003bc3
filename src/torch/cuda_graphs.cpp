// cuda_graphs.cpp — see cuda_graphs.h. Empty where torch has no CUDA.
#include "cuda_graphs.h"

#ifdef VX_TORCH_CUDA
#include <c10/cuda/CUDAException.h>

vx_cuda_runner::vx_cuda_runner(at::Device place)
    : device(place), stream(c10::cuda::getStreamFromPool(false, place.index())) {}

static bool same_kind(const at::Tensor &a, const at::Tensor &b) {
    return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type();
}

vx_cuda_runner::graph *vx_cuda_runner::find(const std::vector<at::Tensor> &inputs) {
    for (auto &one : graphs) {
        bool same = one->inputs.size() == inputs.size();
        for (size_t i = 0; same && i < inputs.size(); i++)
            same = same_kind(one->inputs[i], inputs[i]);
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

at::IValue vx_cuda_runner::run(torch::jit::Module &script, const std::vector<at::Tensor> &inputs) {
    graph *known = find(inputs);
    if (known)
        for (size_t i = 0; i < inputs.size(); i++)
            known->inputs[i].copy_(inputs[i], /*non_blocking=*/true);
    if (known && (known->recorded || (records && record(*known, script)))) {
        known->cuda.replay();
        return known->output;
    }
    std::vector<at::Tensor> moved;
    for (size_t i = 0; i < inputs.size(); i++)
        moved.push_back(known ? known->inputs[i] : inputs[i].to(device, /*non_blocking=*/true));
    if (!known && records && inputs[0].size(0) <= VX_GRAPH_MAX_BATCH &&
        graphs.size() < VX_GRAPHS_MAX) {
        graphs.push_back(std::make_unique<graph>());
        graphs.back()->inputs = moved;
    }
    return script.forward({moved.begin(), moved.end()});
}
#endif
