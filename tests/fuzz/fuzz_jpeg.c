/* Any bytes as one of the pictures that POST /v1/embeddings takes: JPEG to upright RGB. */
#include <stdint.h>
#include <stdlib.h>

#include "media/media.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

enum { MAX_SIDE_PX = 256 };

static int use_picture(void *ctx, int64_t frame, double time_s, vx_picture *picture, vx_err *err) {
    const vx_frame *rgb;
    unsigned *sum = ctx;
    (void)frame, (void)time_s;
    int rc = vx_picture_rgb(picture, &rgb, err);
    if (rc)
        return rc;
    int w = rgb->width_px, h = rgb->height_px;
    if (w < 1 || h < 1 || w > MAX_SIDE_PX || h > MAX_SIDE_PX || rgb->pitch_bytes[0] < 3 * w)
        abort();
    for (int y = 0; y < h; y++)
        for (int x = 0; x < 3 * w; x++)
            *sum += rgb->planes[0][y * rgb->pitch_bytes[0] + x];
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    unsigned sum = 0;
    vx_media_jpeg(data, n_bytes, MAX_SIDE_PX, use_picture, &sum, NULL);
    return 0;
}
