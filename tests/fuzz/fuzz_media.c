/* Any bytes as a video file: opened, scanned, chosen from, decoded, turned to luma, RGB and JPEG.
 * Built for libFuzzer with -Dfuzz=true (clang); else with replay.c, which runs the kept seeds. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "media/media.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static int use_picture(void *ctx, int64_t frame, double time_s, vx_picture *picture, vx_err *err) {
    const vx_frame *view;
    int *n_seen = ctx;
    (void)frame, (void)time_s;
    int rc = vx_picture_luma(picture, &view, err);
    if (rc == 0)
        rc = vx_picture_rgb(picture, &view, err);
    if (rc == 0 &&
        (view->width_px < 1 || view->height_px < 1 || view->pitch_bytes[0] < 3 * view->width_px))
        abort();
    return ++*n_seen == 8 ? -ECANCELED : rc;
}

static void use_file(const char *path) {
    const vx_media_limits limits = {.max_side_px = 512, .max_duration_s = 600, .max_frames = 2000};
    const vx_media_open_params open = {.limits = &limits};
    VX_AUTO(vx_media) media = NULL;
    VX_AUTO_FREE int64_t *frames = NULL;
    int64_t n = 0, n_unique = 0;
    int n_seen = 0;
    vx_err err;
    if (vx_media_open(path, &open, &media, &err) != 0 ||
        vx_media_choose(media, 0, 1e9, 2, &frames, &n, &err) != 0)
        return;
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || frames[i] != frames[n_unique - 1])
            frames[n_unique++] = frames[i];
    const vx_media_decode_params params = {.frames = frames,
                                           .n = n_unique,
                                           .threads = 1,
                                           .on_picture = use_picture,
                                           .on_extra = use_picture,
                                           .ctx = &n_seen};
    vx_media_decode(media, &params, NULL, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    VX_AUTO_FD int fd = memfd_create("video", 0);
    VX_AUTO_FREE uint8_t *jpeg = NULL;
    size_t n_jpeg;
    char path[64];
    if (fd < 0 || write(fd, data, n_bytes) != (ssize_t)n_bytes)
        return 0;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    use_file(path);
    const vx_media_thumbnail_params thumbnail = {.path = path, .time_s = 0.3, .max_side_px = 64};
    vx_media_thumbnail(&thumbnail, &jpeg, &n_jpeg, NULL);
    return 0;
}
