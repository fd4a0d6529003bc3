/* Every kernel against its twin on the CPU, and how fast they are. Exit 0 passed, 77 no card here, else
 * failed. */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "card_check.h"
#include "fingerprint/reduce.h"
#include "frame/tone.h"
#include "preprocess/prepare.h"

enum { SIDE = 224 };

typedef struct shape {
    int w, h, depth, matrix, full;
    vx_orientation orientation;
    int bar;      /* black rows above and below */
    int transfer; /* 0: SDR */
} shape;

static const shape SHAPES[] = {
    {1920, 1080, 8, 1, 0, {0}, 0},
    {1920, 1080, 10, 1, 0, {0}, 140},
    {320, 240, 8, 2, 1, {0}, 0},
    {720, 1281, 8, 9, 0, {true, true, false}, 0},
    {201, 131, 10, 6, 0, {true, false, true}, 20},
    {17, 33, 8, 5, 0, {false, true, true}, 0},
    {3840, 2160, 10, 9, 1, {0}, 0},
    {8192, 64, 8, 1, 0, {0}, 0},
    {640, 360, 12, 9, 0, {0}, 180}, /* all black */
    {1920, 1080, 10, 9, 0, {0}, 0, VX_TRANSFER_HLG},
    {640, 360, 10, 9, 0, {true, false, true}, 20, VX_TRANSFER_HLG},
    {1920, 1080, 10, 9, 0, {0}, 0, VX_TRANSFER_PQ},
};
enum { N_SHAPES = VX_LEN(SHAPES) };

typedef struct pictures {
    vx_frame host[N_SHAPES], card[N_SHAPES];
    uint8_t *memory[N_SHAPES];
} pictures;

static void fill(uint8_t *memory, const shape *s, size_t pitch) {
    unsigned seed = (unsigned)(s->w + s->h);
    for (int y = 0; y < s->h + (s->h + 1) / 2; y++) {
        bool black = y < s->bar || (y < s->h && y >= s->h - s->bar);
        for (int x = 0; x < 2 * ((s->w + 1) / 2); x++) {
            seed = seed * 1664525 + 1013904223;
            int value = 128 + (int)(90 * sin(x * 0.013) * cos(y * 0.017)) + (int)(seed >> 27) - 16;
            value = black ? 16 : value;
            if (s->depth == 8)
                memory[(size_t)y * pitch + (size_t)x] = (uint8_t)value;
            else
                ((uint16_t *)(void *)(memory + (size_t)y * pitch))[x] =
                    (uint16_t)(value << 8 | (int)(seed >> 24 & 0xc0));
        }
    }
}

static void make_pictures(pictures *p, vx_card_work *work) {
    vx_err err;
    for (int i = 0; i < N_SHAPES; i++) {
        const shape *s = &SHAPES[i];
        int bytes = s->depth == 8 ? 1 : 2, rows = s->h + (s->h + 1) / 2;
        size_t pitch = ((size_t)(s->w + 1) * (size_t)bytes + 255) / 256 * 256;
        const void *there;
        p->memory[i] = calloc((size_t)rows, pitch);
        fill(p->memory[i], s, pitch);
        must(vx_card_upload(work, p->memory[i], (size_t)rows * pitch, &there, &err), &err,
             "upload");
        p->host[i] = (vx_frame){.device = VX_FRAME_HOST,
                                .planes = {p->memory[i], p->memory[i] + pitch * (size_t)s->h},
                                .pitch_bytes = {(ptrdiff_t)pitch, (ptrdiff_t)pitch},
                                .width_px = s->w,
                                .height_px = s->h,
                                .layout = VX_FRAME_YUV_SEMIPLANAR,
                                .bit_depth = s->depth,
                                .sample_bytes = bytes,
                                .low_bits = s->depth == 8 ? 0 : 16 - s->depth,
                                .chroma_log2_w = 1,
                                .chroma_log2_h = 1,
                                .matrix = s->matrix,
                                .transfer = s->transfer ? s->transfer : VX_TRANSFER_UNSPECIFIED,
                                .full_range = s->full,
                                .orientation = s->orientation};
        p->card[i] = p->host[i];
        p->card[i].device = 0;
        p->card[i].planes[0] = there;
        p->card[i].planes[1] = p->card[i].planes[0] + pitch * (size_t)s->h;
    }
}

/* How many bytes of the model input differ from the twin's. */
static long compare_prepare(const pictures *p, vx_card_work *work, const vx_preprocess_spec *spec,
                            bool bf16) {
    size_t n_bytes = (size_t)3 * (size_t)spec->width_px * (size_t)spec->height_px * (bf16 ? 2 : 4);
    vx_preprocess_job here[N_SHAPES], there[N_SHAPES];
    vx_prepare_plan *twin, *plan;
    vx_err err;
    long differ = 0;
    for (int i = 0; i < N_SHAPES; i++) {
        here[i] = (vx_preprocess_job){&p->host[i], malloc(n_bytes)};
        there[i] = (vx_preprocess_job){.frame = &p->card[i]};
        must(vx_card_results(work, n_bytes, &there[i].place, &err), &err, "memory");
        memset(there[i].place, 0x55, n_bytes);
    }
    must(vx_prepare_plan_new(spec, here, N_SHAPES, bf16, &twin, &err), &err, "plan");
    must(vx_prepare_twin(twin, &err), &err, "twin");
    must(vx_prepare_plan_new(spec, there, N_SHAPES, bf16, &plan, &err), &err, "plan");
    must(vx_prepare_launch(plan, work, &err), &err, "launch");
    must(vx_card_wait(work, &err), &err, "kernel");
    for (int i = 0; i < N_SHAPES; i++) {
        for (size_t k = 0; k < n_bytes; k++)
            differ += ((uint8_t *)here[i].place)[k] != ((uint8_t *)there[i].place)[k];
        free(here[i].place);
    }
    vx_prepare_plan_free(twin);
    vx_prepare_plan_free(plan);
    return differ;
}

/* The caller unrefs the tables of HDR. */
static vx_fp_luma luma_of(const vx_frame *f) {
    int unit = 1 << (f->bit_depth - 8);
    vx_fp_luma luma = {.black = f->full_range ? 0 : 16 * unit,
                       .range = f->full_range ? (1 << f->bit_depth) - 1 : 219 * unit};
    vx_err err;
    vx_frame_samples(f, &luma.s);
    if (vx_frame_is_hdr(f))
        must(vx_tone_get(f, &luma.s.tone, &err), &err, "tables");
    return luma;
}

/* first, n_used and taps of the axis for that many pixels, as luma_math.h wants them. */
static int32_t *table_of(int px, int *ret_n_taps) {
    vx_pdq_axis axis;
    vx_err err;
    must(vx_pdq_axis_init(&axis, px, &err), &err, "axis");
    int32_t *table = malloc((128 + 64 * (size_t)axis.n_taps) * sizeof *table);
    memcpy(table, axis.first, sizeof axis.first);
    memcpy(table + 64, axis.n_used, sizeof axis.n_used);
    memcpy(table + 128, axis.taps, 64 * (size_t)axis.n_taps * sizeof(float));
    *ret_n_taps = axis.n_taps;
    free(axis.taps);
    return table;
}

/* The picture reduced on the CPU. */
static void reduce_here(const vx_frame *f, float grid[64][64], vx_fp_box *ret_box) {
    vx_reduce_part part = {
        .luma = luma_of(f), .box = vx_reduce_whole(f), .grid = grid[0], .trimmed = ret_box};
    int32_t *x = table_of(part.box.w_px, &part.x_taps), *y = table_of(part.box.h_px, &part.y_taps);
    size_t n_x = 128 + 64 * (size_t)part.x_taps, n_y = 128 + 64 * (size_t)part.y_taps;
    int32_t *tables = malloc((n_x + n_y) * sizeof *tables);
    memcpy(tables, x, n_x * sizeof *x);
    memcpy(tables + n_x, y, n_y * sizeof *y);
    part.y_axis = (int)n_x;
    vx_reduce_twin(&part, 1, tables);
    vx_reduce_twin_trim(&part, 1);
    vx_tone_unref(part.luma.s.tone);
    free(tables);
    free(x);
    free(y);
}

/* Grids within 1/1000 of a grey level, boxes equal. Returns how many pictures are not. */
static int compare_reduce(const pictures *p, vx_card_work *work) {
    vx_reduce_job jobs[N_SHAPES];
    float(*grids)[64][64];
    vx_fp_box *trimmed;
    vx_err err;
    int bad = 0;
    for (int i = 0; i < N_SHAPES; i++)
        jobs[i] = (vx_reduce_job){&p->card[i], vx_reduce_whole(&p->card[i]), true};
    must(vx_reduce_on_card(jobs, N_SHAPES, work, &grids, &trimmed, &err), &err, "reduce");
    must(vx_card_wait(work, &err), &err, "kernel");
    for (int i = 0; i < N_SHAPES; i++) {
        const vx_frame *f = &p->host[i];
        float grid[64][64], most = 0;
        vx_fp_box box;
        vx_fp_frame here, there;
        reduce_here(f, grid, &box);
        for (int k = 0; k < 64 * 64; k++) {
            float apart = fabsf(grid[k / 64][k % 64] - grids[i][k / 64][k % 64]);
            most = apart <= most ? most : apart; /* NaN stays */
        }
        bool boxes = memcmp(&box, &trimmed[i], sizeof box) == 0;
        vx_pdq_hash(grid, &here, NULL);
        vx_pdq_hash(grids[i], &there, NULL);
        printf("reduce %dx%d, %d bits: grid within %g, box %s, hash %d bits apart\n", f->width_px,
               f->height_px, f->bit_depth, (double)most, boxes ? "equal" : "DIFFERS",
               bits_apart(here.hash, there.hash));
        bad += !(most <= 1e-3f) || !boxes;
    }
    return bad;
}

/* Pictures of 1080p a second, 32 in a submission, the time of the tables included. */
static void measure(const pictures *p, vx_card *card, bool hash, bool prepare) {
    enum { N = 32, REPEATS = 30 };
    const vx_preprocess_spec spec = spec_of(SIDE, VX_RESIZE_BILINEAR_ANTIALIAS, VX_FIT_SQUASH);
    vx_preprocess_job jobs[N];
    vx_reduce_job reduce[N];
    vx_card_work *places_of, *work;
    vx_err err;
    must(vx_card_begin(card, &places_of, &err), &err, "begin");
    for (int i = 0; i < N; i++) {
        jobs[i].frame = &p->card[0];
        must(vx_card_results(places_of, 3 * SIDE * SIDE * 4, &jobs[i].place, &err), &err, "memory");
        reduce[i] = (vx_reduce_job){&p->card[0], vx_reduce_whole(&p->card[0]), i < 2};
    }
    int64_t start_us = 0;
    for (int i = -3; i < REPEATS; i++) {
        if (i == 0)
            start_us = vx_clock_monotonic_us();
        float(*grids)[64][64];
        vx_fp_box *boxes;
        must(vx_card_begin(card, &work, &err), &err, "begin");
        if (prepare)
            must(vx_preprocess_on_card(&spec, jobs, N, work, &err), &err, "prepare");
        if (hash)
            must(vx_reduce_on_card(reduce, N, work, &grids, &boxes, &err), &err, "reduce");
        must(vx_card_wait(work, &err), &err, "wait");
        vx_card_end(work);
    }
    double s = 1e-6 * (double)(vx_clock_monotonic_us() - start_us);
    printf("1080p NV12,%s%s: %.0f pictures/s, %.1f us each\n", prepare ? " to 224 px" : "",
           hash ? " to 64 x 64" : "", N * REPEATS / s, 1e6 * s / (N * REPEATS));
    vx_card_end(places_of);
}

int main(void) {
    static const char *const filters[] = {"bilinear", "bicubic", "two taps"};
    static pictures p;
    vx_card *card = NULL;
    vx_card_work *work = NULL;
    vx_err err;
    long differ = 0;
    must(vx_card_open(&(vx_card_params){0}, &card, &err), &err, "card");
    must(vx_preprocess_check_card(card, &err), &err, "prepare.cu");
    must(vx_fp_check_card(card, &err), &err, "reduce.cu");
    must(vx_card_begin(card, &work, &err), &err, "begin");
    make_pictures(&p, work);
    for (int way = 0; way < 12; way++) {
        int filter = way % 3, crop = way / 3 % 2, bf16 = way / 6;
        const vx_preprocess_spec spec = spec_of(bf16 ? 448 : SIDE, (vx_resize_filter)filter,
                                                crop ? VX_FIT_CROP : VX_FIT_SQUASH);
        long now = compare_prepare(&p, work, &spec, bf16);
        printf("prepare %s %s %s: %ld bytes differ\n", bf16 ? "448 bf16" : "224 float32",
               filters[filter], crop ? "crop" : "squash", now);
        differ += now;
    }
    differ += compare_reduce(&p, work);
    measure(&p, card, false, true);
    measure(&p, card, true, false);
    measure(&p, card, true, true);
    for (int i = 0; i < N_SHAPES; i++)
        free(p.memory[i]);
    vx_card_end(work);
    vx_card_free(card);
    return differ != 0;
}
