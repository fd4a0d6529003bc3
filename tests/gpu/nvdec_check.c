/* nvdec_check — what NVDEC makes of files, for tests/gpu/nvdec.py and for timing. Needs a card, and no
 * compiler of CUDA.
 *
 *   nvdec_check dump        reads lines "FILE WANTED", writes a line of JSON for each: the MD5 of each
 *                           picture as FFmpeg's decoder would lay it out, and the largest difference to
 *                           that decoder's pictures. WANTED: all, a rate, or frame numbers "1,5,"
 *   nvdec_check cancel FILE      stops in the middle
 *   nvdec_check memory FILE      decodes while the card's memory is full
 *   nvdec_check bench CALLERS DECODERS SECONDS WANTED FILE…   clips a second; WANTED: spread (8 frames
 *                           evenly over the clip), grid (8 of two a second), all, key
 *   nvdec_check alone DECODERS FILE   one clip at a time, ms
 */
#include <errno.h>
#include <inttypes.h>
#include <libavutil/md5.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "media/nvdec.h"
#include "media/packet_table.h"

static vx_card_driver driver;

static void must_cuda(CUresult result, const char *call) {
    vx_err err = {0};
    if (result == CUDA_SUCCESS)
        return;
    vx_card_driver_fail(&driver, result, call, &err);
    fprintf(stderr, "nvdec_check: %s\n", err.msg);
    exit(2);
}

static void must(int rc, const vx_err *err) {
    if (rc == 0)
        return;
    fprintf(stderr, "nvdec_check: %s\n", err->msg);
    exit(1);
}

/* ---- pictures ---- */

/* A 4:2:0 picture as 16-bit samples: luma, then both chroma planes. */
typedef struct samples {
    int w, h, depth;
    uint16_t *values; /* [w*h + 2*cw*ch] */
    size_t n;
} samples;

static samples new_samples(int w, int h, int depth) {
    samples s = {w, h, depth, NULL, 0};
    s.n = (size_t)w * (size_t)h + 2 * (size_t)((w + 1) / 2) * (size_t)((h + 1) / 2);
    s.values = calloc(s.n, sizeof(*s.values));
    return s;
}

static void md5_of(const samples *s, char *ret_hex) {
    uint8_t digest[16], *bytes = malloc(2 * s->n);
    for (size_t i = 0; i < s->n; i++) {
        if (s->depth == 8)
            bytes[i] = (uint8_t)s->values[i];
        else
            memcpy(bytes + 2 * i, &s->values[i], 2);
    }
    av_md5_sum(digest, bytes, s->depth == 8 ? s->n : 2 * s->n);
    free(bytes);
    for (int i = 0; i < 16; i++)
        sprintf(ret_hex + 2 * i, "%02x", digest[i]);
}

/* NV12 or P016 rows to samples. */
static void unpack(const vx_frame *f, const uint8_t *bytes, size_t pitch, samples *s) {
    int cw = (s->w + 1) / 2, ch = (s->h + 1) / 2;
    uint16_t *out = s->values, *u = out + (size_t)s->w * (size_t)s->h,
             *v = u + (size_t)cw * (size_t)ch;
    for (int y = 0; y < s->h + ch; y++) {
        bool luma = y < s->h;
        for (int x = 0; x < (luma ? s->w : 2 * cw); x++) {
            const uint8_t *at = bytes + (size_t)y * pitch + (size_t)x * (size_t)f->sample_bytes;
            unsigned value = f->sample_bytes == 1 ? *at : (at[0] | at[1] << 8) >> f->low_bits;
            if (luma)
                *out++ = (uint16_t)value;
            else if (x % 2)
                *v++ = (uint16_t)value;
            else
                *u++ = (uint16_t)value;
        }
    }
}

/* Copies a picture from the card. Odd sizes have one chroma sample more than half. */
static samples fetch_picture(const vx_frame *f) {
    samples s = new_samples(f->width_px, f->height_px, f->bit_depth);
    size_t row = (size_t)(s.w + 1) / 2 * 2 * (size_t)f->sample_bytes;
    size_t rows = (size_t)s.h + (size_t)(s.h + 1) / 2;
    uint8_t *bytes = malloc(row * rows);
    for (int plane = 0; plane < 2; plane++) {
        CUDA_MEMCPY2D copy = {
            .srcMemoryType = CU_MEMORYTYPE_DEVICE,
            .srcDevice = (CUdeviceptr)(uintptr_t)f->planes[plane],
            .srcPitch = (size_t)f->pitch_bytes[plane],
            .dstMemoryType = CU_MEMORYTYPE_HOST,
            .dstHost = bytes + (plane ? row * (size_t)s.h : 0),
            .dstPitch = row,
            .WidthInBytes = row,
            .Height = plane ? (size_t)(s.h + 1) / 2 : (size_t)s.h,
        };
        must_cuda(driver.cuda->cuMemcpy2DAsync(&copy, f->stream), "cuMemcpy2DAsync");
    }
    must_cuda(driver.cuda->cuStreamSynchronize(f->stream), "cuStreamSynchronize");
    unpack(f, bytes, row, &s);
    free(bytes);
    return s;
}

/* ---- dump ---- */

typedef struct picture {
    samples s;
    bool requested;
    int max_diff; /* to the CPU's; -1 = not compared */
} picture;

typedef struct dump_state {
    pthread_mutex_t lock;
    picture *pictures; /* [n_frames] */
    vx_frame last;
    int n_twice;
    bool other_colours; /* than the CPU's frames have */
} dump_state;

static int keep_picture(void *ctx, const vx_frame *frame, bool requested, vx_err *err) {
    dump_state *d = ctx;
    (void)err;
    samples s = fetch_picture(frame);
    pthread_mutex_lock(&d->lock);
    picture *p = &d->pictures[frame->number];
    d->n_twice += p->s.values != NULL;
    *p = (picture){.s = s, .requested = requested, .max_diff = -1};
    d->last = *frame;
    pthread_mutex_unlock(&d->lock);
    return 0;
}

static int compare_picture(void *ctx, int64_t number, double time_s, vx_picture *got, vx_err *err) {
    dump_state *d = ctx;
    picture *p = &d->pictures[number];
    const vx_frame *f = vx_picture_frame(got);
    (void)time_s, (void)err;
    d->other_colours |= f->matrix != d->last.matrix || f->transfer != d->last.transfer ||
                        f->full_range != d->last.full_range;
    if (!p->s.values || f->width_px != p->s.w || f->height_px != p->s.h ||
        f->bit_depth != p->s.depth || f->layout != VX_FRAME_YUV_PLANAR) {
        p->max_diff = 99999;
        return 0;
    }
    const uint16_t *at = p->s.values;
    p->max_diff = 0;
    for (int plane = 0; plane < 3; plane++) {
        int w = plane ? (p->s.w + 1) / 2 : p->s.w, h = plane ? (p->s.h + 1) / 2 : p->s.h;
        for (int y = 0; y < h; y++) {
            const uint8_t *row = f->planes[plane] + y * f->pitch_bytes[plane];
            for (int x = 0; x < w; x++) {
                int value = f->sample_bytes == 1 ? row[x] : row[2 * x] | row[2 * x + 1] << 8;
                int diff = abs(value - *at++);
                p->max_diff = diff > p->max_diff ? diff : p->max_diff;
            }
        }
    }
    return 0;
}

/* "all", "spread", "grid", "key", a rate, or frame numbers. */
static int64_t *wanted_frames(const vx_media *media, const char *text, int64_t *ret_n) {
    int64_t total = media->info.n_frames, n = 0,
            *frames = calloc((size_t)total + 8, sizeof(*frames));
    bool spread = strcmp(text, "spread") == 0, grid = strcmp(text, "grid") == 0;
    if (spread || grid) {
        int64_t step = grid ? (int64_t)(media->info.fps / 2 + 0.5) : 1;
        int64_t steps = (total + step - 1) / step;
        for (int64_t k = 0; k < 8; k++) {
            int64_t frame = k * (steps - 1) / 7 * step;
            if (n == 0 || frames[n - 1] != frame)
                frames[n++] = frame;
        }
    } else if (strcmp(text, "all") == 0 || strcmp(text, "key") == 0) {
        for (int64_t i = 0; i < total; i++)
            if (text[0] == 'a' || (media->packets[media->shown[i]].flags & VX_PACKET_POINT))
                frames[n++] = i;
    } else if (strchr(text, ',')) {
        for (char *end; *text && n < total; text = *end ? end + 1 : end)
            frames[n++] = strtoll(text, &end, 10);
    } else {
        vx_err err;
        int64_t *chosen;
        must(vx_media_choose(media, 0, 1e9, atof(text), &chosen, ret_n, &err), &err);
        for (int64_t i = 0; i < *ret_n; i++)
            if (n == 0 || frames[n - 1] != chosen[i])
                frames[n++] = chosen[i];
        free(chosen);
    }
    *ret_n = n;
    return frames;
}

static void print_pictures(const dump_state *d, int64_t n_frames) {
    bool any = false;
    printf("\"pictures\": [");
    for (int64_t i = 0; i < n_frames; i++) {
        const picture *p = &d->pictures[i];
        char hex[33];
        if (!p->s.values)
            continue;
        md5_of(&p->s, hex);
        printf("%s[%" PRId64 ", \"%s\", %s, %d]", any ? ", " : "", i, hex,
               p->requested ? "true" : "false", p->max_diff);
        any = true;
    }
    printf("]");
}

static void dump_file(vx_nvdec *nvdec, const char *path, const char *text) {
    vx_err err = {0};
    VX_AUTO(vx_media) media = NULL;
    int rc = vx_media_open(path, NULL, &media, &err);
    if (rc != 0) {
        printf("{\"file\": \"%s\", \"rc\": %d, \"reason\": \"open\"}\n", path, rc);
        return;
    }
    int64_t n = 0;
    VX_AUTO_FREE int64_t *frames = wanted_frames(media, text, &n);
    dump_state d = {.pictures = calloc((size_t)media->info.n_frames, sizeof(picture))};
    pthread_mutex_init(&d.lock, NULL);
    vx_nvdec_decode_stats stats = {0};
    const vx_nvdec_decode_params params = {
        .frames = frames, .n = n, .extras = true, .on_frame = keep_picture, .ctx = &d};
    rc = vx_nvdec_decode(nvdec, media, &params, &stats, &err);
    char *sentence = rc ? strdup(err.msg) : strdup("");
    for (char *c = sentence; *c; c++)
        if (*c == '"' || *c == '\\')
            *c = '\'';
    if (rc == 0 && strcmp(text, "all") == 0) {
        const vx_media_decode_params cpu = {
            .frames = frames, .n = n, .threads = 1, .on_picture = compare_picture, .ctx = &d};
        vx_media_decode(media, &cpu, NULL, &err);
    }
    printf(
        "{\"file\": \"%s\", \"wanted\": \"%s\", \"rc\": %d, \"reason\": \"%s\", \"error\": \"%s\", "
        "\"n_wanted\": %" PRId64 ", \"n_fed\": %" PRId64
        ", \"n_parts\": %d, \"n_packets\": %" PRId64
        ", \"twice\": %d, \"depth\": %d, \"matrix\": %d, \"transfer\": %d, \"full\": %d, "
        "\"other_colours\": %d, ",
        path, text, rc, vx_nvdec_reason_name(stats.reason), sentence, n, stats.n_fed, stats.n_parts,
        media->n_packets, d.n_twice, d.last.bit_depth, d.last.matrix, d.last.transfer,
        d.last.full_range, d.other_colours);
    free(sentence);
    print_pictures(&d, media->info.n_frames);
    printf("}\n");
    for (int64_t i = 0; i < media->info.n_frames; i++)
        free(d.pictures[i].s.values);
    free(d.pictures);
    fflush(stdout);
}

static void dump_lines(vx_nvdec *nvdec) {
    char path[1000], wanted[4000];
    while (scanf("%999s %3999s", path, wanted) == 2)
        dump_file(nvdec, path, wanted);
}

/* ---- bench ---- */

typedef struct bench {
    vx_nvdec *nvdec;
    vx_media **media;
    int64_t **frames, *n;
    int n_files;
    atomic_int turn;
    atomic_bool stop;
    atomic_llong n_clips, n_fed, n_pictures, n_refused;
} bench;

/* Reads the whole picture, as a kernel would: copies it within the card. */
static int read_picture(void *ctx, const vx_frame *f, bool requested, vx_err *err) {
    static _Thread_local CUdeviceptr scratch;
    (void)requested, (void)err;
    bench *b = ctx;
    if (!scratch)
        must_cuda(driver.cuda->cuMemAlloc(&scratch, 64 << 20), "cuMemAlloc");
    CUDA_MEMCPY2D copy = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                          .srcDevice = (CUdeviceptr)(uintptr_t)f->planes[0],
                          .srcPitch = (size_t)f->pitch_bytes[0],
                          .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                          .dstDevice = scratch,
                          .dstPitch = (size_t)f->width_px * (size_t)f->sample_bytes,
                          .WidthInBytes = (size_t)f->width_px * (size_t)f->sample_bytes,
                          .Height = (size_t)f->height_px * 3 / 2};
    must_cuda(driver.cuda->cuMemcpy2DAsync(&copy, f->stream), "cuMemcpy2DAsync");
    b->n_pictures++;
    return 0;
}

static void decode_one(bench *b, int file) {
    const vx_nvdec_decode_params params = {
        .frames = b->frames[file], .n = b->n[file], .on_frame = read_picture, .ctx = b};
    vx_nvdec_decode_stats stats;
    vx_err err;
    int rc = vx_nvdec_decode(b->nvdec, b->media[file], &params, &stats, &err);
    if (rc != 0 && b->n_refused++ == 0)
        fprintf(stderr, "refused: %s\n", err.msg);
    b->n_fed += stats.n_fed;
    b->n_clips++;
}

static void *call_decode(void *ctx) {
    bench *b = ctx;
    while (!b->stop)
        decode_one(b, b->turn++ % b->n_files);
    return NULL;
}

static double cpu_seconds(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           1e-6 * (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static void bench_open(bench *b, vx_nvdec *nvdec, const char *wanted, char **files, int n_files) {
    vx_err err;
    *b = (bench){.nvdec = nvdec, .n_files = n_files};
    b->media = calloc((size_t)n_files, sizeof(*b->media));
    b->frames = calloc((size_t)n_files, sizeof(*b->frames));
    b->n = calloc((size_t)n_files, sizeof(*b->n));
    for (int i = 0; i < n_files; i++) {
        must(vx_media_open(files[i], NULL, &b->media[i], &err), &err);
        b->frames[i] = wanted_frames(b->media[i], wanted, &b->n[i]);
    }
}

static void bench_clips(vx_nvdec *nvdec, int callers, double seconds, const char *wanted,
                        char **files, int n_files) {
    bench b;
    bench_open(&b, nvdec, wanted, files, n_files);
    pthread_t *threads = calloc((size_t)callers, sizeof(*threads));
    for (int i = 0; i < callers; i++)
        pthread_create(&threads[i], NULL, call_decode, &b);
    usleep(2500000); /* until the decoders are there */
    long long clips = b.n_clips, fed = b.n_fed;
    double cpu = cpu_seconds();
    int64_t start_us = vx_clock_monotonic_us();
    usleep((useconds_t)(seconds * 1e6));
    double took = 1e-6 * (double)(vx_clock_monotonic_us() - start_us);
    clips = b.n_clips - clips;
    fed = b.n_fed - fed;
    cpu = cpu_seconds() - cpu;
    b.stop = true;
    for (int i = 0; i < callers; i++)
        pthread_join(threads[i], NULL);
    vx_nvdec_stats stats;
    vx_nvdec_get_stats(nvdec, &stats);
    const char *name = strrchr(files[0], '/');
    printf("%-16s %-6s callers %2d decoders %2d of %2d: %7.2f clips/s %7.0f pictures/s, fed %5.1f "
           "a clip, "
           "cpu %5.1f ms a clip, refused %lld, created %lld\n",
           name ? name + 1 : files[0], wanted, callers, stats.pool.n_decoders,
           stats.pool.max_decoders, (double)clips / took, (double)fed / took,
           (double)fed / (double)(clips > 0 ? clips : 1),
           1e3 * cpu / (double)(clips > 0 ? clips : 1), (long long)b.n_refused,
           (long long)stats.pool.n_created);
    fflush(stdout);
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void time_alone(vx_nvdec *nvdec, char *file) {
    enum { N = 30 };
    bench b;
    double ms[N];
    bench_open(&b, nvdec, "spread", &file, 1);
    for (int i = -5; i < N; i++) {
        int64_t start_us = vx_clock_monotonic_us();
        decode_one(&b, 0);
        if (i >= 0)
            ms[i] = 1e-3 * (double)(vx_clock_monotonic_us() - start_us);
    }
    qsort(ms, N, sizeof(*ms), compare_doubles);
    printf("%s alone: p50 %.1f ms, p95 %.1f, least %.1f; refused %lld\n", file, ms[N / 2],
           ms[N * 95 / 100], ms[0], (long long)b.n_refused);
    fflush(stdout);
}

/* ---- what goes wrong ---- */

typedef struct cancel_state {
    atomic_int asked, got;
} cancel_state;

static bool go_on(void *ctx) {
    cancel_state *c = ctx;
    return ++c->asked < 100;
}

static int count_picture(void *ctx, const vx_frame *frame, bool requested, vx_err *err) {
    cancel_state *c = ctx;
    (void)frame, (void)requested, (void)err;
    c->got++;
    return 0;
}

static void decode_watched(vx_nvdec *nvdec, const char *file, bool cancels) {
    vx_err err = {0};
    VX_AUTO(vx_media) media = NULL;
    must(vx_media_open(file, NULL, &media, &err), &err);
    int64_t n;
    VX_AUTO_FREE int64_t *frames = wanted_frames(media, "all", &n);
    cancel_state c = {0};
    const vx_nvdec_decode_params params = {.frames = frames,
                                           .n = n,
                                           .keep_going = cancels ? go_on : NULL,
                                           .on_frame = count_picture,
                                           .ctx = &c};
    vx_nvdec_decode_stats stats = {0};
    int rc = vx_nvdec_decode(nvdec, media, &params, &stats, &err);
    printf("%s: rc %d (%s), reason %s, %d of %lld pictures, pictures decoded %lld\n",
           cancels ? "cancel" : "memory", rc, rc ? err.msg : "", vx_nvdec_reason_name(stats.reason),
           c.got, (long long)n, (long long)stats.n_fed);
    fflush(stdout);
}

/* Takes all memory of the card but a little. */
static void fill_card(void) {
    CUdevice card;
    CUcontext context;
    CUdeviceptr address;
    driver.cuda->cuDeviceGet(&card, 0);
    driver.cuda->cuDevicePrimaryCtxRetain(&context, card);
    driver.cuda->cuCtxPushCurrent(context);
    for (size_t step = (size_t)8 << 30; step >= 16 << 20; step /= 2)
        while (driver.cuda->cuMemAlloc(&address, step) == CUDA_SUCCESS)
            ;
}

int main(int argc, char **argv) {
    vx_err err = {0};
    const char *mode = argc > 1 ? argv[1] : "";
    bool benches = strcmp(mode, "bench") == 0 && argc > 6;
    bool alone = strcmp(mode, "alone") == 0 && argc > 3;
    vx_nvdec_params params = {.max_decoders = benches ? atoi(argv[3]) : alone ? atoi(argv[2]) : 0};
    if (vx_card_driver_load(&driver, &err) != 0) {
        fprintf(stderr, "nvdec_check: skipped: %s\n", err.msg);
        return 77;
    }
    VX_AUTO(vx_nvdec) nvdec = NULL;
    must(vx_nvdec_open(&params, &nvdec, &err), &err);
    if (strcmp(mode, "dump") == 0) {
        dump_lines(nvdec);
    } else if (strcmp(mode, "cancel") == 0 && argc > 2) {
        decode_watched(nvdec, argv[2], true);
        decode_watched(nvdec, argv[2], false);
    } else if (strcmp(mode, "memory") == 0 && argc > 2) {
        fill_card();
        decode_watched(nvdec, argv[2], false);
    } else if (benches) {
        bench_clips(nvdec, atoi(argv[2]), atof(argv[4]), argv[5], argv + 6, argc - 6);
    } else if (alone) {
        time_alone(nvdec, argv[3]);
    } else {
        fprintf(stderr, "nvdec_check: see the top of its source\n");
        return 64;
    }
    return 0;
}
