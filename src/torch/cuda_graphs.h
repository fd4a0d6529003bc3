// cuda_graphs.h — a module's runs on one GPU: on a stream of its own, small batches as CUDA graphs.
//
// A graph replays all kernels of a run with one call; for a few clips, starting them one by one takes longer
// than some of them run. It is recorded when a shape comes for the second time, because the first run loads
// kernels and chooses algorithms, which cannot be recorded. A graph keeps the memory of its activations, so
// only batches up to VX_GRAPH_MAX_BATCH have one, and a module at most VX_GRAPHS_MAX.
// Threads: as the module's, one at a time.
#pragma once

#ifdef VX_TORCH_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/csrc/jit/api/module.h>

#include <atomic>
#include <memory>
#include <vector>

constexpr int64_t VX_GRAPH_MAX_BATCH = 4;
constexpr size_t VX_GRAPHS_MAX = 8;

// One input, on the CPU: parts that are joined along their first dimension, alike in the others.
using vx_cuda_input = std::vector<at::Tensor>;

class vx_cuda_runner {
  public:
    explicit vx_cuda_runner(at::Device device);
    // Makes the module's stream the thread's current one, for as long as the result lives.
    c10::cuda::CUDAStreamGuard on_stream() const {
        return c10::cuda::CUDAStreamGuard(stream);
    }
    // The result is on the device, and valid until the next run.
    at::IValue run(torch::jit::Module &script, const std::vector<vx_cuda_input> &inputs);
    std::atomic<int> n_recorded{0}; // graphs; other threads may read it

  private:
    struct graph {
        std::vector<at::Tensor> inputs; // on the device; a run copies its own into them
        at::IValue output;
        at::cuda::CUDAGraph cuda;
        bool recorded = false; // false: seen once
    };
    graph *find(const std::vector<vx_cuda_input> &inputs);
    bool record(graph &one, torch::jit::Module &script);

    at::Device device;
    c10::cuda::CUDAStream stream;
    std::vector<std::unique_ptr<graph>> graphs;
    bool records = true; // false after a recording failed
};
#endif
