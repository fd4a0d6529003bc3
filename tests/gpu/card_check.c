/* Pictures that stay on the card, on a machine with one. Exit 0 passed, 77 no card here, else failed.
 *
 *     card_check compare FILE…       hashes and model input of real clips against the CPU's own path
 *     card_check bench CALLERS SECONDS full|frames|decode FILE…
 *                                    clips a second, 8 pictures spread over each: only decoded, prepared
 *                                    (frames), or with two hashes a second as well (full)
 *     card_check alone full|frames|decode FILE   one clip at a time: milliseconds
 */
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "card_check.h"
#include "extract/extract_card.h"

enum { SIDE = 224, N_SPREAD = 8 };

/* ---- clips ---- */

typedef struct clip_run {
    vx_extract_card card;
    const vx_preprocess_spec *spec;
    float *places; /* [n, 3, SIDE, SIDE] */
    int n, n_on_card;
    bool hash, prepare;
    int64_t card_us; /* in flushes */
} clip_run;

static int flush(clip_run *r, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    int rc = vx_extract_card_flush(&r->card, err);
    r->card_us += vx_clock_monotonic_us() - start_us;
    return rc;
}

static int on_picture(void *ctx, int64_t number, double time_s, vx_picture *picture, vx_err *err) {
    clip_run *r = ctx;
    const vx_frame *frame = vx_picture_frame(picture), *view;
    float *place = r->places ? r->places + (size_t)r->n * 3 * SIDE * SIDE : NULL;
    (void)number, (void)time_s;
    int rc = 0;
    r->n++;
    r->n_on_card += frame->device != VX_FRAME_HOST;
    if (vx_extract_card_takes(&r->card, frame)) {
        if (vx_extract_card_is_full(&r->card))
            rc = flush(r, err);
        if (!rc && r->hash)
            rc = vx_extract_card_hash(&r->card, frame, true, err);
        if (!rc && r->prepare)
            rc = vx_extract_card_prepare(&r->card, r->spec, frame, place, err);
        return rc;
    }
    rc = flush(r, err);
    if (!rc && r->hash)
        rc = vx_picture_luma(picture, &view, err);
    if (!rc && r->hash)
        rc = vx_fp_track_add(r->card.track, view, true, err);
    if (!rc && r->prepare)
        rc = vx_picture_rgb(picture, &view, err);
    return !rc && r->prepare ? vx_preprocess_frame(r->spec, view, place, err) : rc;
}

/* Decodes the frames; decoder NULL: all on the CPU. */
static void run_clip(vx_decoder *decoder, vx_media *media, const int64_t *frames, int64_t n,
                     clip_run *r) {
    vx_err err = {0};
    vx_media_stats stats;
    r->n = 0;
    if (decoder && (r->hash || r->prepare))
        r->card.card = vx_decoder_get_card(decoder);
    const vx_media_decode_params params = {.frames = frames,
                                           .n = n,
                                           .threads = decoder ? 1 : 0,
                                           .decoder = decoder,
                                           .on_card = decoder != NULL,
                                           .on_picture = on_picture,
                                           .ctx = r};
    must(vx_media_decode(media, &params, &stats, &err), &err, "decode");
    must(flush(r, &err), &err, "flush");
}

static int64_t *frames_at(const vx_media *media, double fps, int64_t *ret_n) {
    int64_t *frames, kept = 0;
    vx_err err;
    must(vx_media_choose(media, 0, 1e9, fps, &frames, ret_n, &err), &err, "choose");
    for (int64_t i = 0; i < *ret_n; i++)
        if (kept == 0 || frames[i] != frames[kept - 1])
            frames[kept++] = frames[i];
    *ret_n = kept;
    return frames;
}

/* 8 spread evenly over all frames; with hashes, two a second besides. */
static int64_t *frames_spread(const vx_media *media, bool hash, int64_t *ret_n) {
    int64_t n_grid = 0, total = vx_media_get_info(media)->n_frames, n = 0;
    int64_t *grid = hash ? frames_at(media, 2, &n_grid) : NULL;
    int64_t *frames = calloc((size_t)n_grid + N_SPREAD, sizeof *frames);
    for (int64_t i = 0; i < total; i++) {
        bool wanted = false;
        for (int64_t k = 0; k < n_grid; k++)
            wanted |= grid[k] == i;
        for (int64_t k = 0; k < N_SPREAD; k++)
            wanted |= k * (total - 1) / (N_SPREAD - 1) == i;
        if (wanted)
            frames[n++] = i;
    }
    free(grid);
    *ret_n = n;
    return frames;
}

/* What both ways made of a file; input float32 [n, 3, SIDE, SIDE]. False, and a line, if they are too far
 * apart. */
static bool judge(const char *file, const vx_fp_video v[2], const float *const input[2], int64_t n,
                  int n_on_card, const float std[3]) {
    const size_t floats = (size_t)n * 3 * SIDE * SIDE;
    size_t n_other = 0;
    int most_bits = 0;
    double most = 0;
    for (size_t i = 0; i < v[0].n_frames && v[0].n_frames == v[1].n_frames; i++) {
        int bits = bits_apart(v[0].frames[i].hash, v[1].frames[i].hash);
        n_other += bits > 0;
        most_bits = bits > most_bits ? bits : most_bits;
    }
    for (size_t i = 0; i < floats; i++)
        most = fmax(most, fabs((double)(input[0][i] - input[1][i])) * 255 *
                              (double)std[i / (SIDE * SIDE) % 3]);
    const char *name = strrchr(file, '/');
    bool good = v[0].n_frames == v[1].n_frames && most < 1.001 && most_bits <= 2;
    printf("%-32s %s: %d of %" PRId64
           " pictures on the card; of %zu hashes %zu differ, by at most %d "
           "bits; input within %.3f levels\n",
           name ? name + 1 : file, good ? "ok" : "FAILED", n_on_card, n, v[0].n_frames, n_other,
           most_bits, most);
    fflush(stdout);
    return good;
}

static long compare_file(vx_decoder *decoder, const char *file) {
    vx_err err;
    VX_AUTO(vx_media) media = NULL;
    must(vx_media_open(file, NULL, &media, &err), &err, file);
    int64_t n = 0;
    VX_AUTO_FREE int64_t *frames = frames_at(media, 4, &n);
    const vx_preprocess_spec spec = spec_of(SIDE, VX_RESIZE_BICUBIC_ANTIALIAS, VX_FIT_CROP);
    const size_t n_bytes = (size_t)n * 3 * SIDE * SIDE * sizeof(float);
    vx_card_work *work;
    void *pinned;
    must(vx_card_begin(vx_decoder_get_card(decoder), &work, &err), &err, "begin");
    must(vx_card_results(work, n_bytes, &pinned, &err), &err, "memory");
    VX_AUTO_FREE float *expected = malloc(n_bytes);
    const float *const input[2] = {expected, pinned};
    clip_run r[2] = {{.places = expected}, {.places = pinned}};
    vx_fp_video v[2];
    for (int k = 0; k < 2; k++) {
        r[k].spec = &spec;
        r[k].hash = r[k].prepare = true;
        must(vx_fp_track_new(&r[k].card.track, &err), &err, "track");
        run_clip(k ? decoder : NULL, media, frames, n, &r[k]);
        must(vx_fp_track_finish(r[k].card.track, &v[k], &err), &err, "track");
        vx_fp_track_free(r[k].card.track);
        vx_extract_card_clear(&r[k].card);
    }
    bool good = judge(file, v, input, n, r[1].n_on_card, spec.std);
    vx_fp_video_clear(&v[0]);
    vx_fp_video_clear(&v[1]);
    vx_card_end(work);
    return !good;
}

/* ---- bench ---- */

typedef struct bench {
    vx_decoder *decoder;
    char **files;
    int n_files;
    bool hash, prepare;
    atomic_int turn;
    atomic_bool stop;
    atomic_llong n_clips, n_pictures, n_on_card, card_us, clip_us;
} bench;

typedef struct caller {
    bench *of;
    vx_media **media; /* [n_files], opened when first needed */
    int64_t **frames, *n;
    vx_card_work *work; /* of the places */
    clip_run run;
    vx_preprocess_spec spec;
} caller;

static void caller_open(caller *c, bench *b) {
    vx_err err;
    void *places;
    c->of = b;
    c->media = calloc((size_t)b->n_files, sizeof *c->media);
    c->frames = calloc((size_t)b->n_files, sizeof *c->frames);
    c->n = calloc((size_t)b->n_files, sizeof *c->n);
    c->spec = spec_of(SIDE, VX_RESIZE_BILINEAR_ANTIALIAS, VX_FIT_SQUASH);
    must(vx_card_begin(vx_decoder_get_card(b->decoder), &c->work, &err), &err, "begin");
    must(vx_card_results(c->work, (size_t)200 * 3 * SIDE * SIDE * 4, &places, &err), &err,
         "memory");
    c->run = (clip_run){.spec = &c->spec, .places = places, .hash = b->hash, .prepare = b->prepare};
}

static void one_clip(caller *c, int file) {
    bench *b = c->of;
    vx_err err;
    if (!c->media[file]) {
        must(vx_media_open(b->files[file], NULL, &c->media[file], &err), &err, b->files[file]);
        c->frames[file] = frames_spread(c->media[file], b->hash, &c->n[file]);
    }
    clip_run *r = &c->run;
    int64_t start_us = vx_clock_monotonic_us();
    r->n_on_card = 0;
    r->card_us = 0;
    if (b->hash)
        must(vx_fp_track_new(&r->card.track, &err), &err, "track");
    run_clip(b->decoder, c->media[file], c->frames[file], c->n[file], r);
    vx_fp_track_free(r->card.track);
    b->n_clips++;
    b->n_pictures += r->n;
    b->n_on_card += r->n_on_card;
    b->card_us += r->card_us;
    b->clip_us += vx_clock_monotonic_us() - start_us;
}

static void caller_close(caller *c) {
    for (int i = 0; i < c->of->n_files; i++) {
        vx_media_free(c->media[i]);
        free(c->frames[i]);
    }
    vx_extract_card_clear(&c->run.card);
    vx_card_end(c->work);
    free(c->media);
    free(c->frames);
    free(c->n);
}

static void *call(void *ctx) {
    caller c = {0};
    bench *b = ctx;
    caller_open(&c, b);
    while (!b->stop)
        one_clip(&c, b->turn++ % b->n_files);
    caller_close(&c);
    return NULL;
}

static double cpu_seconds(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           1e-6 * (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static void run_bench(bench *b, int callers, double seconds, const char *what) {
    pthread_t *threads = calloc((size_t)callers, sizeof *threads);
    for (int i = 0; i < callers; i++)
        pthread_create(&threads[i], NULL, call, b);
    usleep(2500000); /* until the decoders are there */
    long long clips = b->n_clips, came = b->n_pictures, on_card = b->n_on_card;
    long long card_us = b->card_us, clip_us = b->clip_us;
    double cpu = cpu_seconds();
    int64_t start_us = vx_clock_monotonic_us();
    usleep((useconds_t)(seconds * 1e6));
    double took = 1e-6 * (double)(vx_clock_monotonic_us() - start_us);
    clips = b->n_clips - clips;
    double n = (double)(clips > 0 ? clips : 1);
    printf(
        "%-8s callers %2d: %7.2f clips/s, %5.1f pictures a clip, %3.0f %% on the card, cpu %5.1f "
        "ms a clip; a clip takes %6.1f ms, of these %5.2f in %s\n",
        what, callers, (double)clips / took, (double)(b->n_pictures - came) / n,
        100.0 * (double)(b->n_on_card - on_card) /
            (double)(b->n_pictures > came ? b->n_pictures - came : 1),
        1e3 * (cpu_seconds() - cpu) / n, 1e-3 * (double)(b->clip_us - clip_us) / n,
        1e-3 * (double)(b->card_us - card_us) / n, "kernels and hashes");
    fflush(stdout);
    b->stop = true;
    for (int i = 0; i < callers; i++)
        pthread_join(threads[i], NULL);
    vx_card_memory m = vx_card_get_memory(vx_decoder_get_card(b->decoder));
    printf("         memory of the card for pictures: %.0f MiB, refused %" PRId64 "\n",
           (double)m.bytes / 0x1p20, m.n_refused);
    free(threads);
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run_alone(bench *b, const char *what) {
    enum { N = 30 };
    double ms[N];
    caller c = {0};
    caller_open(&c, b);
    for (int i = -5; i < N; i++) {
        int64_t start_us = vx_clock_monotonic_us();
        one_clip(&c, 0);
        if (i >= 0)
            ms[i] = 1e-3 * (double)(vx_clock_monotonic_us() - start_us);
        if (i == -1)
            b->card_us = 0;
    }
    caller_close(&c);
    qsort(ms, N, sizeof *ms, compare_doubles);
    printf(
        "%-8s alone: p50 %.1f ms, p95 %.1f, least %.1f; %.2f ms of these in kernels and hashes\n",
        what, ms[N / 2], ms[N * 95 / 100], ms[0], 1e-3 * (double)b->card_us / N);
    fflush(stdout);
}

static vx_decoder *open_decoder(bool hybrid) {
    vx_decoder *decoder = NULL;
    vx_err err;
    must(vx_decoder_open(&(vx_decoder_params){.hybrid = hybrid}, &decoder, &err), &err, "decoder");
    must(vx_preprocess_check_card(vx_decoder_get_card(decoder), &err), &err, "prepare.cu");
    must(vx_fp_check_card(vx_decoder_get_card(decoder), &err), &err, "reduce.cu");
    return decoder;
}

static int compare_files(char **files, int n) {
    vx_decoder *decoder = open_decoder(false);
    long bad = 0;
    for (int i = 0; i < n; i++)
        bad += compare_file(decoder, files[i]);
    vx_decoder_free(decoder);
    return bad != 0;
}

static bench bench_of(const char *what, char **files, int n) {
    return (bench){.decoder = open_decoder(false),
                   .files = files,
                   .n_files = n,
                   .hash = !strcmp(what, "full"),
                   .prepare = strcmp(what, "decode") != 0};
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    if (!strcmp(mode, "compare") && argc > 2)
        return compare_files(argv + 2, argc - 2);
    if (!strcmp(mode, "bench") && argc > 5) {
        bench b = bench_of(argv[4], argv + 5, argc - 5);
        run_bench(&b, atoi(argv[2]), atof(argv[3]), argv[4]);
        vx_decoder_free(b.decoder);
        return 0;
    }
    if (!strcmp(mode, "alone") && argc > 3) {
        bench b = bench_of(argv[2], argv + 3, 1);
        run_alone(&b, argv[2]);
        vx_decoder_free(b.decoder);
        return 0;
    }
    fprintf(stderr, "card_check: see the top of its source\n");
    return 64;
}
