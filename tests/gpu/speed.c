/* speed.c — how fast archives run on cuda:0, as vidx runs them: clips come from page-locked memory.
 *
 *     speed T SIZE DIM SECONDS ARCHIVE...
 *
 * Prints for each archive the median time of a run of 1 and of 4 clips (CUDA graphs), clips a second at 8, 16
 * and 32 a run, and its smallest cosine to the first archive's vectors; each figure takes SECONDS at most.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "torch/torch_shim.h"

enum { N_CLIPS = 32, MAX_RUNS = 400, WARM_UP = 3 };

typedef struct bench {
    vx_torch_module *module;
    vx_torch_view clip;
    const void *clips[N_CLIPS];
    int dim;
    double seconds;
} bench;

static void check(int rc, const vx_err *err) {
    if (!rc)
        return;
    fprintf(stderr, "tests/gpu: %s\n", err->msg);
    exit(1);
}

/* Waves in motion with a fine texture, another pattern for each clip; values 0..1. */
static void fill(float *out, int clip, const vx_torch_view *shape) {
    for (int64_t t = 0; t < shape->shape[0]; t++)
        for (int c = 0; c < 3; c++)
            for (int64_t y = 0; y < shape->shape[2]; y++)
                for (int64_t x = 0; x < shape->shape[3]; x++) {
                    double wave =
                        sin((double)x * 0.02 * (clip + 1) + (double)(y + 4 * t) * 0.07 + c);
                    double texture = (double)((x * 31 + y * 17 + clip * 7 + t) % 64) / 64;
                    *out++ = (float)(0.5 + 0.3 * wave + 0.2 * (texture - 0.5));
                }
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The median time of a run of n clips, in microseconds. */
static int64_t median_us(const bench *b, int n, float *vectors) {
    vx_torch_view out = {vectors, VX_TORCH_F32, 2, {n, b->dim}};
    int64_t took[MAX_RUNS];
    vx_err err;
    int n_runs = 0;
    for (int i = 0; i < WARM_UP; i++)
        check(vx_torch_run_parts(b->module, b->clips, n, &b->clip, &out, &err), &err);
    int64_t end_us = vx_clock_monotonic_us() + (int64_t)(b->seconds * 1e6);
    for (; n_runs < MAX_RUNS && (!n_runs || vx_clock_monotonic_us() < end_us); n_runs++) {
        int64_t start_us = vx_clock_monotonic_us();
        check(vx_torch_run_parts(b->module, b->clips, n, &b->clip, &out, &err), &err);
        took[n_runs] = vx_clock_monotonic_us() - start_us;
    }
    qsort(took, (size_t)n_runs, sizeof *took, by_value);
    return took[n_runs / 2];
}

static double least_cosine(const float *a, const float *b, int n, int dim) {
    double least = 2;
    for (int i = 0; i < n; i++) {
        double product = 0;
        for (int k = 0; k < dim; k++)
            product += (double)a[i * dim + k] * (double)b[i * dim + k];
        if (!(product >= least)) /* also when it is NaN */
            least = product;
    }
    return least;
}

static void measure(bench *b, const char *archive, const float *first, float *vectors) {
    vx_err err;
    check(vx_torch_load(archive, "cuda:0", &b->module, &err), &err);
    printf("%s\n    1 clip %.2f ms, 4 clips %.2f ms;", archive,
           (double)median_us(b, 1, vectors) / 1e3, (double)median_us(b, 4, vectors) / 1e3);
    for (int n = 8; n <= N_CLIPS; n *= 2)
        printf(" %d: %.1f clips/s%s", n, n * 1e6 / (double)median_us(b, n, vectors),
               n < N_CLIPS ? "," : "");
    int graphs, most;
    vx_torch_count_graphs(b->module, &graphs, &most);
    printf("\n    %d graphs; smallest cosine to the first archive %.6f, of different clips %.4f\n",
           graphs, least_cosine(first, vectors, N_CLIPS, b->dim),
           least_cosine(vectors, vectors + b->dim, N_CLIPS - 1, b->dim));
    fflush(stdout);
    b->module = vx_torch_free(b->module);
}

int main(int argc, char **argv) {
    if (argc < 6)
        return fprintf(stderr, "usage: speed T SIZE DIM SECONDS ARCHIVE...\n"), 2;
    int n_frames = atoi(argv[1]), size = atoi(argv[2]);
    bench b = {.clip = {NULL, VX_TORCH_F32, 4, {n_frames, 3, size, size}},
               .dim = atoi(argv[3]),
               .seconds = atof(argv[4])};
    size_t floats = (size_t)n_frames * 3 * (size_t)size * (size_t)size;
    vx_err err;
    for (int i = 0; i < N_CLIPS; i++) {
        vx_torch_host_memory *memory; /* until the process ends */
        void *data;
        check(vx_torch_host_alloc(floats * sizeof(float), &memory, &data, &err), &err);
        fill(data, i, &b.clip);
        b.clips[i] = data;
    }
    VX_AUTO_FREE float *vectors = vx_new_array(2 * N_CLIPS * (size_t)b.dim, sizeof(float));
    if (!vectors)
        return fprintf(stderr, "tests/gpu: out of memory\n"), 1;
    for (int i = 5; i < argc; i++)
        measure(&b, argv[i], vectors, i == 5 ? vectors : vectors + N_CLIPS * b.dim);
    return 0;
}
