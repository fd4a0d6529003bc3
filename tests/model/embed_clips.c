/* embed_clips.c — prepared clips through the embedder, for the Python tests and for timing.
 *
 *     embed_clips MODELS NAME DEVICE DTYPE|auto ROUNDS < float32 clips > float32 vectors
 *
 * Standard error says in one JSON object how long opening took and one clip takes (fastest round).
 */
#include <stdint.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "embed/embed.h"

static int die(const vx_err *err) {
    fprintf(stderr, "embed_clips: %s\n", err->msg);
    return 1;
}

static float *read_all(size_t *ret_floats) {
    size_t capacity = 1 << 20, used = 0, n;
    float *all = vx_new_array(capacity, sizeof(float));
    while (all && (n = fread(all + used, sizeof(float), capacity - used, stdin)) > 0) {
        used += n;
        if (used == capacity) {
            float *more = vx_regrow(all, capacity *= 2, sizeof(float));
            if (!more)
                free(all);
            all = more;
        }
    }
    *ret_floats = used;
    return all;
}

int main(int argc, char **argv) {
    if (argc != 6)
        return fprintf(stderr, "usage: embed_clips MODELS NAME DEVICE DTYPE|auto ROUNDS\n"), 2;
    vx_err err;
    VX_AUTO(vx_embedder) e = NULL;
    int64_t start_us = vx_clock_monotonic_us();
    vx_embedder_params params = {.models_dir = argv[1],
                                 .name = argv[2],
                                 .device = argv[3],
                                 .dtype = strcmp(argv[4], "auto") ? argv[4] : NULL};
    if (vx_embedder_open(&params, &e, &err))
        return die(&err);
    int64_t open_us = vx_clock_monotonic_us() - start_us;
    const vx_model_info *m = vx_embedder_info(e);
    size_t clip_floats =
        (size_t)m->n_frames * 3 * (size_t)m->preprocess.width_px * (size_t)m->preprocess.height_px;
    size_t n_floats;
    VX_AUTO_FREE float *clips = read_all(&n_floats);
    int n = (int)(n_floats / clip_floats);
    VX_AUTO_FREE float *vectors = vx_new_array((size_t)n * (size_t)m->dim, sizeof(float));
    if (!clips || !vectors || n < 1 || n_floats % clip_floats)
        return fprintf(stderr, "embed_clips: standard input is not whole clips\n"), 1;
    int64_t best_us = INT64_MAX;
    for (int round = 0; round < atoi(argv[5]); round++) {
        start_us = vx_clock_monotonic_us();
        if (vx_embedder_run(e, clips, n, vectors, &err))
            return die(&err);
        int64_t us = vx_clock_monotonic_us() - start_us;
        best_us = us < best_us ? us : best_us;
    }
    fwrite(vectors, sizeof(float), (size_t)n * (size_t)m->dim, stdout);
    fprintf(stderr,
            "{\"device\": \"%s\", \"dtype\": \"%s\", \"open_ms\": %.1f, \"clip_ms\": %.2f}\n",
            m->device, m->dtype, (double)open_us / 1000, (double)best_us / 1000 / n);
    return 0;
}
