/* Kernels of src/preprocess on a CUDA device against their CPU twin: every value must be equal to the bit.
 * Exit 0 passed, 1 a value differs or CUDA failed. */
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "preprocess/prepare_kernels.h"

#include "kernels_c.h"

static bool failed(cudaError_t e, const char *what) {
    if (e != cudaSuccess)
        fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(e));
    return e != cudaSuccess;
}

struct shape {
    int w, h, depth, matrix, full, transpose, flip_x, flip_y;
};

static const shape SHAPES[] = {
    {1920, 1080, 8, 1, 0, 0, 0, 0},  {1920, 1080, 10, 1, 0, 0, 0, 0}, {320, 240, 8, 2, 1, 0, 0, 0},
    {720, 1281, 8, 9, 0, 1, 1, 0},   {201, 131, 10, 6, 0, 1, 0, 1},   {17, 33, 8, 5, 0, 0, 1, 1},
    {3840, 2160, 10, 9, 1, 0, 0, 0}, {8192, 64, 8, 1, 0, 0, 0, 0},
};

/* Runs the shapes as one batch on the CPU and on the device. Returns how many values differ. */
static long compare(int side, int cubic, int crop, int bf16) {
    int n = (int)(sizeof SHAPES / sizeof *SHAPES);
    size_t bytes = (size_t)3 * (size_t)side * (size_t)side * (bf16 ? 2 : 4);
    std::vector<std::vector<unsigned char>> pixels((size_t)n), expected((size_t)n), got((size_t)n);
    std::vector<void *> device((size_t)n), place((size_t)n);
    vxk_batch *batch = vxk_batch_new(side, cubic, crop, bf16);
    for (int i = 0; i < n; i++) {
        const shape &s = SHAPES[i];
        size_t pitch = ((size_t)(s.w + 1) * (s.depth == 8 ? 1 : 2) + 255) / 256 * 256;
        pixels[i].resize(pitch * (size_t)(s.h + (s.h + 1) / 2));
        unsigned seed = 1 + (unsigned)i;
        for (size_t k = 0; k < pixels[i].size(); k++)
            pixels[i][k] = (unsigned char)((seed = seed * 1664525 + 1013904223) >> 24);
        if (s.depth > 8) /* P010: the low bits are zero */
            for (size_t k = 0; k < pixels[i].size(); k += 2)
                pixels[i][k] &= 0xc0;
        expected[i].resize(bytes);
        got[i].resize(bytes);
        if (failed(cudaMalloc(&device[i], pixels[i].size()), "memory") ||
            failed(cudaMalloc(&place[i], bytes), "memory") ||
            failed(
                cudaMemcpy(device[i], pixels[i].data(), pixels[i].size(), cudaMemcpyHostToDevice),
                "copy"))
            exit(1);
        const int facts[8] = {s.w, s.h, s.depth, s.matrix, s.full, s.transpose, s.flip_x, s.flip_y};
        vxk_batch_add(batch, facts, (long)pitch, pixels[i].data(), expected[i].data(), device[i],
                      place[i]);
    }
    if (vxk_batch_run_twin(batch))
        exit(1);
    vx_prepare_launch launch;
    const char *text = "";
    cudaStream_t stream;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    if (vxk_batch_plan(batch, &launch))
        exit(1);
    if (vx_prepare_on_stream(&launch, stream, &text) ||
        failed(cudaStreamSynchronize(stream), "run")) {
        fprintf(stderr, "launch: %s\n", text);
        exit(1);
    }
    long differ = 0;
    for (int i = 0; i < n; i++) {
        if (failed(cudaMemcpy(got[i].data(), place[i], bytes, cudaMemcpyDeviceToHost), "copy"))
            exit(1);
        for (size_t k = 0; k < bytes; k++)
            differ += got[i][k] != expected[i][k];
        cudaFree(device[i]);
        cudaFree(place[i]);
    }
    cudaStreamDestroy(stream);
    vxk_batch_free(batch);
    return differ;
}

/* 64 pictures of 1080p NV12 a call, 224 px, bf16: pictures a second. */
static double speed(void) {
    enum { N = 64, SIDE = 224, REPEATS = 20 };
    size_t pitch = 2048, picture = pitch * (1080 + 540);
    void *memory, *places;
    vxk_batch *batch = vxk_batch_new(SIDE, 0, 0, 1);
    if (failed(cudaMalloc(&memory, N * picture), "memory") ||
        failed(cudaMalloc(&places, (size_t)N * 3 * SIDE * SIDE * 2), "memory") ||
        failed(cudaMemset(memory, 100, N * picture), "fill"))
        exit(1);
    const int facts[8] = {1920, 1080, 8, 1, 0, 0, 0, 0};
    for (int i = 0; i < N; i++)
        vxk_batch_add(batch, facts, (long)pitch, nullptr, nullptr, (char *)memory + i * picture,
                      (char *)places + (size_t)i * 3 * SIDE * SIDE * 2);
    vx_prepare_launch launch;
    const char *text;
    if (vxk_batch_plan(batch, &launch))
        exit(1);
    cudaEvent_t start, end;
    cudaEventCreate(&start);
    cudaEventCreate(&end);
    for (int i = -3; i < REPEATS; i++) {
        if (i == 0)
            cudaEventRecord(start, nullptr);
        if (vx_prepare_on_stream(&launch, nullptr, &text))
            exit(1);
    }
    cudaEventRecord(end, nullptr);
    float ms = 0;
    if (failed(cudaEventSynchronize(end), "run") ||
        failed(cudaEventElapsedTime(&ms, start, end), "time"))
        exit(1);
    cudaFree(memory);
    cudaFree(places);
    vxk_batch_free(batch);
    return N * REPEATS / ms * 1000;
}

int main() {
    long differ = 0;
    for (int way = 0; way < 8; way++) {
        long now = compare(way & 1 ? 448 : 224, way >> 1 & 1, way >> 2 & 1, way & 1);
        printf("%s %s %s: %ld bytes differ\n", way & 1 ? "448 bf16" : "224 float32",
               way >> 1 & 1 ? "bicubic" : "bilinear", way >> 2 & 1 ? "crop" : "squash", now);
        differ += now;
    }
    if (!differ)
        printf("1080p NV12 to 224 px bf16: %.0f pictures/s\n", speed());
    return differ != 0;
}
