/* compare.c — an archive on cuda:0 against one on the CPU, on the same inputs.
 *
 *     compare CUDA_ARCHIVE CPU_ARCHIVE T SIZE DIM FLOOR
 *
 * Prints both devices' time per clip and the smallest cosine between their vectors; fails under
 * FLOOR, and when the GPU's answer to one clip changes with the clips that share its batch. Then a
 * batch larger than the device must be refused as out of memory, and the module must go on.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "torch/torch_shim.h"

/* A large model takes many seconds a clip on a CPU, so that sees the first few only, once. */
enum { N_CLIPS = 16, N_CPU_CLIPS = 4, N_ROUNDS = 5 };

typedef struct shape {
    int n_frames, size, dim;
    size_t clip_floats;
} shape;

static void die(const vx_err *err) {
    fprintf(stderr, "tests/gpu: %s\n", err->msg);
    exit(1);
}

/* Pictures of moving waves in the range of normalised pixels, another pattern for each clip. */
static void fill(float *clips, const shape *s) {
    float *out = clips;
    for (int clip = 0; clip < N_CLIPS; clip++)
        for (int t = 0; t < s->n_frames; t++)
            for (int c = 0; c < 3; c++)
                for (int y = 0; y < s->size; y++)
                    for (int x = 0; x < s->size; x++) {
                        double wave = sin(x * 0.02 * (clip + 1) + y * 0.07 + t * 0.3 + c);
                        double texture = (double)((x * 31 + y * 17 + clip * 7 + t) % 64) / 64 - 0.5;
                        *out++ = (float)(1.5 * wave + texture);
                    }
}

static int run_batch(vx_torch_module *module, const float *clips, const shape *s, int n,
                     float *vectors, vx_err *err) {
    vx_torch_view in = {(void *)clips, VX_TORCH_F32, 5, {n, s->n_frames, 3, s->size, s->size}};
    vx_torch_view out = {vectors, VX_TORCH_F32, 2, {n, s->dim}};
    return vx_torch_run(module, &in, 1, &out, err);
}

/* Vectors of all clips, `batch` at a time, and the fastest round's time per clip. */
static double run(const char *archive, const char *device, const float *clips, const shape *s,
                  int batch, float *vectors) {
    vx_err err;
    VX_AUTO(vx_torch_module) module = NULL;
    if (vx_torch_load(archive, device, &module, &err))
        die(&err);
    int64_t best_us = INT64_MAX;
    bool on_cpu = !strcmp(device, "cpu");
    int n_clips = on_cpu ? N_CPU_CLIPS : N_CLIPS, n_rounds = on_cpu ? 1 : N_ROUNDS;
    for (int round = 0; round < n_rounds; round++) {
        int64_t start_us = vx_clock_monotonic_us();
        for (int i = 0; i < n_clips; i += batch)
            if (run_batch(module, clips + (size_t)i * s->clip_floats, s, batch,
                          vectors + i * s->dim, &err))
                die(&err);
        int64_t us = vx_clock_monotonic_us() - start_us;
        best_us = us < best_us ? us : best_us;
    }
    return (double)best_us / 1000 / n_clips;
}

static double min_cosine(const float *a, const float *b, int n_clips, int dim) {
    double least = 2;
    for (int clip = 0; clip < n_clips; clip++) {
        double ab = 0, aa = 0, bb = 0;
        for (int i = clip * dim; i < (clip + 1) * dim; i++) {
            ab += (double)a[i] * (double)b[i];
            aa += (double)a[i] * (double)a[i];
            bb += (double)b[i] * (double)b[i];
        }
        double cosine = ab / sqrt(aa * bb);
        if (!(cosine >= least)) /* also when it is NaN */
            least = cosine;
    }
    return least;
}

/* 0 when all vectors of a and b agree to the floor. */
static int report(const char *what, const float *a, const float *b, int n_clips, int dim,
                  double floor) {
    double cosine = min_cosine(a, b, n_clips, dim);
    printf("tests/gpu: smallest cosine, %s: %.7f (at least %g wanted)\n", what, cosine, floor);
    return cosine >= floor ? 0 : 1;
}

/* 0 when a batch larger than the device is VX_TORCH_OUT_OF_MEMORY, and clips then pass as before. */
static int exhaust(const char *archive, const float *clips, const shape *s, int64_t device_bytes,
                   const float *before, float *vectors) {
    vx_err err;
    VX_AUTO(vx_torch_module) module = NULL;
    if (vx_torch_load(archive, "cuda:0", &module, &err))
        die(&err);
    int n = (int)(device_bytes / (int64_t)(s->clip_floats * sizeof(float))) + 1;
    /* Never touched, so these pages take no memory of the machine. */
    VX_AUTO_FREE float *many = vx_new_array((size_t)n * s->clip_floats, sizeof(float));
    VX_AUTO_FREE float *answers = vx_new_array((size_t)n * (size_t)s->dim, sizeof(float));
    if (!many || !answers)
        return fprintf(stderr, "tests/gpu: no address space for a batch of %d\n", n), 1;
    int rc = run_batch(module, many, s, n, answers, &err);
    printf("tests/gpu: a batch of %d answers %d: %s\n", n, rc, rc ? err.msg : "");
    if (rc != VX_TORCH_OUT_OF_MEMORY)
        return 1;
    if (run_batch(module, clips, s, N_CLIPS, vectors, &err))
        die(&err);
    return report("cuda:0 after running out of memory", before, vectors, N_CLIPS, s->dim, 0.9999);
}

int main(int argc, char **argv) {
    if (argc != 7)
        return fprintf(stderr, "usage: compare CUDA_ARCHIVE CPU_ARCHIVE T SIZE DIM FLOOR\n"), 2;
    const char *cuda_archive = argv[1], *cpu_archive = argv[2];
    shape s = {atoi(argv[3]), atoi(argv[4]), atoi(argv[5]), 0};
    s.clip_floats = (size_t)s.n_frames * 3 * (size_t)s.size * (size_t)s.size;
    VX_AUTO_FREE float *clips = vx_new_array(N_CLIPS * s.clip_floats, sizeof(float));
    VX_AUTO_FREE float *vectors = vx_new_array(4 * N_CLIPS * (size_t)s.dim, sizeof(float));
    if (!clips || !vectors)
        return fprintf(stderr, "tests/gpu: out of memory\n"), 1;
    float *cpu = vectors, *single = cpu + N_CLIPS * s.dim, *batched = single + N_CLIPS * s.dim;
    fill(clips, &s);

    vx_err err;
    int64_t free_bytes, total_bytes, left_bytes;
    if (vx_torch_memory("cuda:0", &free_bytes, &total_bytes, &err))
        die(&err);
    printf("tests/gpu: libtorch %s, %d CUDA device(s), cuda:0 has %.1f GiB free of %.1f\n",
           vx_torch_version(), vx_torch_cuda_count(), (double)free_bytes / 0x1p30,
           (double)total_bytes / 0x1p30);
    printf("tests/gpu: cpu            %7.2f ms/clip\n", run(cpu_archive, "cpu", clips, &s, 1, cpu));
    printf("tests/gpu: cuda:0         %7.2f ms/clip\n",
           run(cuda_archive, "cuda:0", clips, &s, 1, single));
    printf("tests/gpu: cuda:0 by %-3d  %7.2f ms/clip\n", N_CLIPS,
           run(cuda_archive, "cuda:0", clips, &s, N_CLIPS, batched));
    if (vx_torch_memory("cuda:0", &left_bytes, &total_bytes, &err))
        die(&err);
    printf("tests/gpu: %.2f GiB of the device were taken\n",
           (double)(free_bytes - left_bytes) / 0x1p30);
    double floor = strtod(argv[6], NULL);
    return report("cuda:0 to cpu", single, cpu, N_CPU_CLIPS, s.dim, floor) |
           report("cuda:0 batched to single", batched, single, N_CLIPS, s.dim, floor) |
           exhaust(cuda_archive, clips, &s, total_bytes, batched, batched + N_CLIPS * s.dim);
}
