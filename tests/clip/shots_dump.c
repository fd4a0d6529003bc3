/* shots_dump MODELS FILE RULE [DEVICE] — what src/clip makes of a file, as JSON for the tests: how
 * likely each frame is the last of its shot, each frame's time, the spans, and the most memory that
 * the process held until it had the probabilities. With a DEVICE cuda:N that card also decodes.
 * shots_dump --pictures FILE — every frame as the network sees it, raw RGB 48x27.
 * shots_dump --card-pictures FILE — the same as a card makes it, by the twins of its kernels. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clip/clip.h"
#include "clip/small.h"

static int write_picture(void *ctx, int64_t frame, double time_s, vx_picture *picture,
                         vx_err *err) {
    (void)ctx, (void)frame, (void)time_s;
    const vx_frame *rgb;
    int rc = vx_picture_rgb_small(picture, 48, 27, &rgb, err);
    for (int y = 0; rc == 0 && y < 27; y++)
        fwrite(rgb->planes[0] + y * rgb->pitch_bytes[0], 3, 48, stdout);
    return rc;
}

/* 8-bit 4:2:0 as a card's decoder lays it: Cb and Cr interleaved. */
static vx_frame semiplanar(const vx_frame *f, uint8_t *memory) {
    int w = (f->width_px + 1) / 2, h = (f->height_px + 1) / 2;
    ptrdiff_t pitch = 2 * w;
    uint8_t *chroma = memory + pitch * f->height_px;
    for (int y = 0; y < f->height_px; y++)
        memcpy(memory + y * pitch, f->planes[0] + y * f->pitch_bytes[0], (size_t)f->width_px);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < 2 * w; x++)
            chroma[y * pitch + x] = f->planes[1 + x % 2][y * f->pitch_bytes[1 + x % 2] + x / 2];
    vx_frame nv12 = *f;
    nv12.layout = VX_FRAME_YUV_SEMIPLANAR;
    nv12.planes[0] = memory;
    nv12.planes[1] = chroma;
    nv12.pitch_bytes[0] = nv12.pitch_bytes[1] = pitch;
    return nv12;
}

static int write_card_picture(void *ctx, int64_t frame, double time_s, vx_picture *picture,
                              vx_err *err) {
    (void)ctx, (void)frame, (void)time_s;
    const vx_frame *f = vx_picture_frame(picture);
    VX_AUTO_FREE uint8_t *memory =
        malloc((size_t)(f->width_px + 1) * (size_t)(f->height_px + 1) * 2);
    uint8_t rgb[VX_SMALL_BYTES];
    vx_frame nv12 = semiplanar(f, memory);
    VX_AUTO(vx_small_plan) plan = NULL;
    int rc = vx_small_plan_new(f->width_px, f->height_px, &plan, err);
    if (!rc)
        rc = vx_small_twin(plan, &nv12, rgb, err);
    if (!rc)
        fwrite(rgb, 1, sizeof rgb, stdout);
    return rc;
}

static int pictures(const char *path, vx_media_on_picture write, vx_err *err) {
    VX_AUTO(vx_media) media = NULL;
    int rc = vx_media_open(path, NULL, &media, err);
    if (rc)
        return rc;
    int64_t n = vx_media_get_info(media)->n_frames;
    VX_AUTO_FREE int64_t *frames = vx_new_array((size_t)n, sizeof *frames);
    for (int64_t i = 0; i < n; i++)
        frames[i] = i;
    const vx_media_decode_params wish = {
        .frames = frames, .n = n, .threads = 1, .on_picture = write};
    return vx_media_decode(media, &wish, NULL, err);
}

static double seconds(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

/* Not getrusage: its ru_maxrss begins with what the parent held before exec. */
static long peak_kb(void) {
    char line[128];
    long kb = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %ld", &kb) == 1)
            break;
    if (file)
        fclose(file);
    return kb;
}

static int dump(char **argv, vx_err *err) {
    VX_AUTO(vx_shots) shots = NULL;
    VX_AUTO(vx_decoder) decoder = NULL;
    VX_AUTO(vx_media) media = NULL;
    VX_AUTO_FREE float *probability = NULL;
    VX_AUTO_FREE vx_span *spans = NULL;
    vx_clip_spec rule;
    size_t n_spans = 0;
    int rc = vx_clip_parse(argv[3], &rule, err);
    if (!rc)
        rc = vx_shots_open(argv[1], argv[4], &shots, err);
    if (!rc && argv[4] && !strncmp(argv[4], "cuda:", 5))
        rc = vx_decoder_open(&(vx_decoder_params){.device = atoi(argv[4] + 5)}, &decoder, err);
    double start_s = seconds();
    if (!rc)
        rc = vx_media_open(argv[2], NULL, &media, err);
    if (!rc)
        rc = vx_shots_predict(shots,
                              &(vx_shots_film){.media = media,
                                               .curator = rule.mode == VX_CLIP_CURATOR,
                                               .decoder = decoder},
                              &probability, err);
    double end_s = seconds();
    long peak = peak_kb();
    if (!rc)
        rc = vx_clip_cut_shots(&rule, media, probability, &spans, &n_spans, err);
    if (rc)
        return rc;
    int64_t n = vx_media_get_info(media)->n_frames;
    printf("{\"seconds\": %.3f, \"dtype\": \"%s\", \"duration\": %.9f, \"peak_kb\": "
           "%ld,\n\"frames\": [",
           end_s - start_s, vx_shots_get_info(shots)->dtype, vx_media_get_info(media)->duration_s,
           peak);
    for (int64_t i = 0; i < n; i++)
        printf("%s[%.9f, %.9g]", i ? ", " : "", vx_media_frame_time(media, i),
               (double)probability[i]);
    printf("],\n\"spans\": [");
    for (size_t i = 0; i < n_spans; i++)
        printf("%s[%.9f, %.9f]", i ? ", " : "", spans[i].start_s, spans[i].end_s);
    printf("]}\n");
    return 0;
}

int main(int argc, char **argv) {
    vx_err err = {0};
    int rc = 64;
    if (argc == 3 && !strcmp(argv[1], "--pictures"))
        rc = pictures(argv[2], write_picture, &err);
    else if (argc == 3 && !strcmp(argv[1], "--card-pictures"))
        rc = pictures(argv[2], write_card_picture, &err);
    else if (argc == 4 || argc == 5)
        rc = dump(argv, &err);
    if (rc)
        fprintf(stderr, "%d: %s\n", rc, err.msg);
    return rc < 0 ? 100 : rc ? rc - VX_SHOTS_NO_PACKAGE + 100 : 0; /* exit statuses are small */
}
