/* media_dump FILE [FPS|all|N,N,…] [THREADS] [md5|luma|rgb|none] — what src/media makes of a file,
 * as JSON for the tests and for timing.
 *
 * With md5, for each wanted frame it prints the MD5 of the decoded planes as they left the decoder
 * (visible rows only), so that another decoder's pictures can be compared bit for bit; and for each
 * extra one that came out on the way, marked as such.
 */
#include <errno.h>
#include <inttypes.h>
#include <libavutil/md5.h>
#include <libavutil/pixdesc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "media/av_frame.h"
#include "media/choose.h"
#include "media/packet_table.h"

static void hash_frame(const AVFrame *f, char *ret_hex) {
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(f->format);
    struct AVMD5 *md5 = av_md5_alloc();
    uint8_t digest[16];
    av_md5_init(md5);
    for (int plane = 0; plane < av_pix_fmt_count_planes(f->format); plane++) {
        bool chroma = (plane == 1 || plane == 2) && !(desc->flags & AV_PIX_FMT_FLAG_RGB);
        int rows = chroma ? AV_CEIL_RSHIFT(f->height, desc->log2_chroma_h) : f->height;
        int columns = chroma ? AV_CEIL_RSHIFT(f->width, desc->log2_chroma_w) : f->width;
        size_t n_bytes = (size_t)columns * (size_t)desc->comp[plane].step;
        for (int y = 0; y < rows; y++)
            av_md5_update(md5, f->data[plane] + (ptrdiff_t)y * f->linesize[plane], n_bytes);
    }
    av_md5_final(md5, digest);
    av_free(md5);
    for (int i = 0; i < 16; i++)
        sprintf(ret_hex + 2 * i, "%02x", digest[i]);
}

typedef struct dump_options {
    char what; /* first letter of md5, luma, rgb, none */
    FILE *raw;
    int n_printed;
} dump_options;

static int print_one(dump_options *options, int64_t frame, double time_s, bool wanted,
                     vx_picture *picture, vx_err *err) {
    char hex[33] = "";
    const vx_frame *view = NULL;
    int rc = 0;
    if (options->what == 'm')
        hash_frame(vx_av_frame_of(vx_picture_frame(picture)), hex);
    if (options->what == 'l')
        rc = vx_picture_luma(picture, &view, err);
    if (options->what == 'r')
        rc = vx_picture_rgb(picture, &view, err);
    for (int y = 0; options->raw && rc == 0 && view && y < view->height_px; y++)
        fwrite(view->planes[0] + y * view->pitch_bytes[0], options->what == 'r' ? 3 : 1,
               (size_t)view->width_px, options->raw);
    printf("%s\n    [%" PRId64 ", %.6f, \"%s\", %s]", options->n_printed++ ? "," : "", frame,
           time_s, hex, wanted ? "true" : "false");
    return rc;
}

static int print_picture(void *ctx, int64_t frame, double time_s, vx_picture *picture,
                         vx_err *err) {
    return print_one(ctx, frame, time_s, true, picture, err);
}

static int print_extra(void *ctx, int64_t frame, double time_s, vx_picture *picture, vx_err *err) {
    return print_one(ctx, frame, time_s, false, picture, err);
}

/* "all", a rate, or a list of frame numbers. */
static int parse_wanted(const vx_media *media, const char *text, int64_t **ret_frames,
                        int64_t *ret_n, vx_err *err) {
    int64_t total = vx_media_get_info(media)->n_frames, n = 0;
    if (strchr(text, ',') == NULL && strcmp(text, "all") != 0)
        return vx_media_choose(media, 0, 1e9, atof(text), ret_frames, ret_n, err);
    int64_t *frames = calloc((size_t)total, sizeof(*frames));
    if (strcmp(text, "all") == 0) {
        for (n = 0; n < total; n++)
            frames[n] = n;
    } else {
        for (char *end; *text && n < total; text = *end ? end + 1 : end)
            frames[n++] = strtoll(text, &end, 10);
    }
    *ret_frames = frames;
    *ret_n = n;
    return 0;
}

static double seconds(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static int dump(const char *path, const char *wanted, int threads, dump_options *options,
                vx_err *err) {
    VX_AUTO(vx_media) media = NULL;
    VX_AUTO_FREE int64_t *frames = NULL;
    int64_t n = 0;
    double start_s = seconds();
    int rc = vx_media_open(path, NULL, &media, err);
    if (rc != 0)
        return rc;
    double opened_s = seconds();
    rc = parse_wanted(media, wanted, &frames, &n, err);
    if (rc != 0)
        return rc;
    const vx_media_info *info = vx_media_get_info(media);
    printf("{\"container\": \"%s\", \"codec\": \"%s\", \"width\": %d, \"height\": %d, "
           "\"rotation\": %d, \"sample_aspect_ratio\": %.6f, \"fps\": %.6f, "
           "\"duration\": %.6f, \"n_frames\": %" PRId64 ",\n",
           info->container, info->codec, info->width_px, info->height_px, info->rotation_deg,
           info->sample_aspect_ratio, info->fps, info->duration_s, info->n_frames);
    printf(" \"may_skip\": %s, \"by_order\": %s, \"chosen\": [", media->may_skip ? "true" : "false",
           media->by_order ? "true" : "false");
    int64_t n_unique = 0;
    for (int64_t i = 0; i < n; i++) {
        printf("%s%" PRId64, i ? ", " : "", frames[i]);
        if (n_unique == 0 || frames[n_unique - 1] != frames[i])
            frames[n_unique++] = frames[i];
    }
    printf("],\n \"pictures\": [");
    vx_media_stats stats = {0};
    const vx_media_decode_params params = {.frames = frames,
                                           .n = n_unique,
                                           .threads = threads,
                                           .on_picture = print_picture,
                                           .on_extra = options->what == 'm' ? print_extra : NULL,
                                           .ctx = options};
    rc = vx_media_decode(media, &params, &stats, err);
    printf("],\n \"hdr\": %d", (int)info->hdr);
    printf(",\n \"open_s\": %.6f, \"decode_s\": %.6f, \"frames_decoded\": %" PRId64
           ", \"frames_total\": %" PRId64 ", \"passes\": %d, \"rc\": %d}\n",
           opened_s - start_s, seconds() - opened_s, stats.frames_decoded, stats.frames_total,
           stats.n_passes, rc);
    return rc;
}

static int choose(double target_fps, vx_err *err) {
    VX_AUTO_FREE float *times = NULL;
    VX_AUTO_FREE int64_t *frames = NULL;
    int64_t n = 0, n_frames = 0;
    for (float t; scanf("%f", &t) == 1;) {
        times = realloc(times, (size_t)(n + 1) * sizeof(*times));
        times[n++] = t;
    }
    int rc = vx_choose_nearest(times, n, target_fps, &frames, &n_frames, err);
    for (int64_t i = 0; rc == 0 && i < n_frames; i++)
        printf("%" PRId64 "\n", frames[i]);
    return rc;
}

static int thumbnail(const vx_media_thumbnail_params *params, vx_err *err) {
    VX_AUTO_FREE uint8_t *jpeg = NULL;
    size_t n_bytes = 0;
    int rc = vx_media_thumbnail(params, &jpeg, &n_bytes, err);
    if (rc == 0)
        fwrite(jpeg, 1, n_bytes, stdout);
    return rc;
}

int main(int argc, char **argv) {
    vx_err err = {0};
    int rc = 64;
    dump_options options = {.what = argc > 4 ? argv[4][0] : 'm'};
    if (argc == 3 && strcmp(argv[1], "--choose") == 0) {
        rc = choose(atof(argv[2]), &err);
    } else if (argc >= 5 && strcmp(argv[1], "--thumbnail") == 0) {
        const vx_media_thumbnail_params params = {.path = argv[2],
                                                  .time_s = atof(argv[3]),
                                                  .max_side_px = atoi(argv[4]),
                                                  .table_path = argc > 5 ? argv[5] : NULL};
        rc = thumbnail(&params, &err);
    } else if (argc >= 2) {
        options.raw = argc > 5 ? fopen(argv[5], "wb") : NULL;
        rc = dump(argv[1], argc > 2 ? argv[2] : "2", argc > 3 ? atoi(argv[3]) : 0, &options, &err);
        if (options.raw)
            fclose(options.raw);
    }
    if (rc != 0)
        fprintf(stderr, "%d: %s\n", rc, err.msg);
    return rc < 0 ? 100 : rc ? rc - VX_MEDIA_UNSUPPORTED + 1 : 0; /* exit statuses are small */
}
