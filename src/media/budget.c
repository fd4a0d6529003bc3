/* budget.c — limits of memory and work for one decode.
 *
 * Pixels per byte, measured and reckoned:
 *
 *   ordinary video                                  20 … 500
 *   8 hours of 1080p at 100 kbit/s                  4,000
 *   a still screen in 4K, H.264 or HEVC             100,000 … 250,000
 *   the same in AV1, whose idle frames take 10 bytes  700,000
 *   pictures of 8192 x 8192 that say "as before"    3,000,000
 *
 * so that a million is beyond what is sent in good faith. What a small file may cost in any case is 20
 * billion pixels: 2400 pictures of 4K, a minute or two of one core.
 *
 * GIF draws rectangles into a canvas that is handed out whole, so there what changes counts as well:
 * bytes are cheap to add, and a cursor of 20 x 20 pixels on a canvas of 4K is 20,000 to one.
 */
#include "budget.h"

#include <libavutil/cpu.h>
#include <libavutil/imgutils.h>

#define MAX_PICTURES_BYTES ((int64_t)1 << 30)
static const double FREE_PIXELS = 2e10, PIXELS_PER_BYTE = 1e6, CANVAS_PER_CHANGED_PIXEL = 1e5;

int vx_budget_threads(const AVCodecParameters *par, int wanted) {
    enum { REFERENCES = 6 }; /* that a decoder keeps beside the picture of each thread */
    int n = wanted > 0 ? wanted : av_cpu_count();
    enum AVPixelFormat format = par->format == AV_PIX_FMT_NONE ? AV_PIX_FMT_YUV420P10 : par->format;
    int64_t bytes = av_image_get_buffer_size(format, par->width, par->height, 1);
    if (bytes <= 0)
        bytes = 3 * (int64_t)par->width * par->height;
    int64_t fit = MAX_PICTURES_BYTES / (bytes + bytes / 2 + 1) - REFERENCES;
    return fit < 1 ? 1 : fit < n ? (int)fit : n;
}

vx_picture_memory *vx_picture_memory_new(void) {
    vx_picture_memory *memory = vx_new(vx_picture_memory);
    if (memory)
        atomic_store(&memory->n_refs, 1);
    return memory;
}

vx_picture_memory *vx_picture_memory_unref(vx_picture_memory *memory) {
    if (memory && atomic_fetch_sub(&memory->n_refs, 1) == 1)
        free(memory);
    return NULL;
}

/* A buffer of the decoder's own pool, and where it is counted. */
typedef struct counted {
    AVBufferRef *buffer;
    vx_picture_memory *memory;
    int64_t bytes;
} counted;

static void release(void *opaque, uint8_t *data) {
    (void)data;
    counted *c = opaque;
    atomic_fetch_sub(&c->memory->bytes, c->bytes);
    vx_picture_memory_unref(c->memory);
    av_buffer_unref(&c->buffer);
    av_free(c);
}

static int get_buffer(AVCodecContext *codec, AVFrame *frame, int flags) {
    vx_picture_memory *memory = codec->opaque;
    int rc = avcodec_default_get_buffer2(codec, frame, flags);
    if (rc < 0 || !frame->buf[0])
        return rc;
    int64_t bytes = 0;
    for (int i = 0; i < AV_NUM_DATA_POINTERS && frame->buf[i]; i++)
        bytes += (int64_t)frame->buf[i]->size;
    if (atomic_fetch_add(&memory->bytes, bytes) + bytes > MAX_PICTURES_BYTES)
        atomic_store(&memory->exceeded, true);
    counted *c = atomic_load(&memory->exceeded) ? NULL : av_malloc(sizeof *c);
    AVBufferRef *wrapped = NULL;
    if (c) {
        *c = (counted){frame->buf[0], memory, bytes};
        wrapped = av_buffer_create(frame->buf[0]->data, frame->buf[0]->size, release, c, 0);
    }
    if (!wrapped) {
        atomic_fetch_sub(&memory->bytes, bytes);
        av_free(c);
        av_frame_unref(frame);
        return AVERROR(ENOMEM);
    }
    atomic_fetch_add(&memory->n_refs, 1);
    frame->buf[0] = wrapped;
    return 0;
}

void vx_budget_count_pictures(AVCodecContext *codec, vx_picture_memory *memory) {
    codec->opaque = memory;
    codec->get_buffer2 = get_buffer;
}

int vx_budget_check_memory(const vx_picture_memory *memory, vx_err *err) {
    if (!atomic_load(&memory->exceeded))
        return 0;
    return VX_FAIL(err, VX_MEDIA_TOO_LARGE,
                   "decoding the video needs more than %lld MiB of memory for its pictures",
                   (long long)(MAX_PICTURES_BYTES >> 20));
}

int vx_budget_check_work(const vx_media *media, int64_t n_pictures, vx_err *err) {
    double area = (double)media->par->width * media->par->height;
    double pixels = area * (double)n_pictures, n_bytes = 0;
    for (int64_t i = 0; i < media->n_packets; i++)
        n_bytes += media->packets[i].n_bytes;
    bool too_much = pixels > FREE_PIXELS + PIXELS_PER_BYTE * n_bytes;
    if (media->changed_px >= 0)
        too_much |= pixels > FREE_PIXELS + CANVAS_PER_CHANGED_PIXEL * (double)media->changed_px;
    if (!too_much)
        return 0;
    return VX_FAIL(err, VX_MEDIA_TOO_LARGE,
                   "the video has %lld pictures of %dx%d pixels in %.0f bytes: too many to decode "
                   "for what they show; use a smaller picture or fewer frames",
                   (long long)n_pictures, media->par->width, media->par->height, n_bytes);
}
