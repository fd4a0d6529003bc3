/* A shared library for Python's ctypes: the C functions that tests compare with other programs,
 * and that the recall study calls in bulk. Thin on purpose; tests/tools/vxlib.py is its caller. */
#include <stdint.h>

#include "extract/extract.h"
#include "fingerprint/fingerprint.h"
#include "preprocess/preprocess.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT int vxt_resize(int filter, int fit, int out_w, int out_h, const uint8_t *rgb, int w, int h,
                      int stride, uint8_t *ret_rgb);
EXPORT int vxt_prepare(const vx_preprocess_spec *spec, const uint8_t *rgb, int w, int h, int stride,
                       float *ret_tensor);
EXPORT int vxt_hash(const uint8_t *luma, int w, int h, int stride, vx_fp_frame *ret_frame,
                    vx_fp_frame *ret_mirrored);
EXPORT int vxt_compare(const vx_fp_frame *a, size_t n_a, const vx_fp_frame *b, size_t n_b,
                       vx_fp_match *ret_match);
EXPORT int vxt_is_copy(const vx_fp_match *match);
EXPORT int vxt_cover(const vx_fp_frame *a, size_t n_a, double a_length_s, const vx_fp_frame *b,
                     size_t n_b, double b_length_s, const vx_fp_match *match,
                     vx_fp_coverage *ret_coverage);

/* The file's fingerprint, as an upload of it gets it. */
EXPORT int vxt_fingerprint(const char *path, vx_fp_video *ret_video, vx_err *err);
EXPORT void vxt_fingerprint_clear(vx_fp_video *video);

int vxt_resize(int filter, int fit, int out_w, int out_h, const uint8_t *rgb, int w, int h,
               int stride, uint8_t *ret_rgb) {
    const vx_preprocess_spec spec = {
        .width_px = out_w, .height_px = out_h, .filter = filter, .fit = fit};
    const vx_frame picture = vx_frame_view(VX_FRAME_RGB, rgb, w, h, stride);
    return vx_preprocess_resize(&spec, &picture, ret_rgb, NULL);
}

int vxt_prepare(const vx_preprocess_spec *spec, const uint8_t *rgb, int w, int h, int stride,
                float *ret_tensor) {
    const vx_frame picture = vx_frame_view(VX_FRAME_RGB, rgb, w, h, stride);
    return vx_preprocess_frame(spec, &picture, ret_tensor, NULL);
}

int vxt_hash(const uint8_t *luma, int w, int h, int stride, vx_fp_frame *ret_frame,
             vx_fp_frame *ret_mirrored) {
    const vx_frame picture = vx_frame_view(VX_FRAME_GRAY, luma, w, h, stride);
    return vx_fp_hash(&picture, ret_frame, ret_mirrored, NULL);
}

int vxt_compare(const vx_fp_frame *a, size_t n_a, const vx_fp_frame *b, size_t n_b,
                vx_fp_match *ret_match) {
    return vx_fp_compare(a, n_a, b, n_b, ret_match, NULL);
}

int vxt_is_copy(const vx_fp_match *match) {
    return vx_fp_is_copy(match);
}

int vxt_cover(const vx_fp_frame *a, size_t n_a, double a_length_s, const vx_fp_frame *b, size_t n_b,
              double b_length_s, const vx_fp_match *match, vx_fp_coverage *ret_coverage) {
    return vx_fp_cover(a, n_a, a_length_s, b, n_b, b_length_s, match, ret_coverage, NULL);
}

int vxt_fingerprint(const char *path, vx_fp_video *ret_video, vx_err *err) {
    const vx_clip_spec whole = {.mode = VX_CLIP_WHOLE};
    vx_models none = {0};
    const vx_extractor extractor = {.models = &none, .fingerprints = VX_FINGERPRINTS_FULL};
    const vx_extract_params params = {
        .path = path, .clip = &whole, .fingerprints = true, .decode_threads = 1};
    vx_extract extract = {0};
    vx_outcome outcome = vx_extract_run(&extractor, &params, &extract, err);
    if (!outcome) {
        *ret_video = extract.fingerprint;
        extract.fingerprint = (vx_fp_video){0};
    }
    vx_extract_clear(&extract);
    return (int)outcome;
}

void vxt_fingerprint_clear(vx_fp_video *video) {
    vx_fp_video_clear(video);
}
