/* testlib.c's part about src/evidence; tests/tools/evidence.py is its caller. */
#include <string.h>

#include "evidence/evidence.h"
#include "evidence/geometry.h"
#include "evidence/motion.h"
#include "evidence/orb.h"
#include "evidence/place.h"
#include "verdict/verdict_internal.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT int vxt_reduce(const uint8_t *gray, int w, int h, int stride, int out_w, int out_h,
                      uint8_t *ret_gray);
EXPORT int vxt_enlarge(const uint8_t *gray, int w, int h, int out_w, int out_h, uint8_t *ret_gray);
EXPORT int vxt_smooth(const uint8_t *gray, int w, int h, uint8_t *ret_gray);
/* Returns how many features, written to ret_features, or -errno. */
EXPORT int vxt_orb(const uint8_t *gray, int w, int h, const vx_orb_params *params,
                   vx_orb_feature *ret_features);
EXPORT int vxt_match(const vx_orb_feature *a, size_t n_a, const vx_orb_feature *b, size_t n_b,
                     vx_orb_match *ret_matches);
EXPORT void vxt_similarity(const vx_orb_feature *a, size_t n_a, const vx_orb_feature *b, size_t n_b,
                           vx_similarity *ret_similarity);
EXPORT int vxt_motion(const vx_footage *a, const vx_footage *b, const vx_motion_params *params,
                      vx_motion *ret_motion);
EXPORT int vxt_motion_along(const vx_footage *a, const vx_footage *b, const vx_motion_pair *pairs,
                            int n, const uint8_t *mask, vx_motion *ret_motion);
/* Returns how many places there are, or -errno. */
EXPORT int vxt_place(const vx_footage *a, const vx_footage *b, bool mirrored,
                     vx_place ret_places[2]);
/* What a copy that fills both videos' windows is by the second look (second.c): the static name of its verdict. */
EXPORT const char *vxt_relation(const vx_evidence *evidence, double new_s, double stored_s);

EXPORT int vxt_evidence_open(const char *path, const vx_evidence_window *window,
                             vx_evidence_video **ret_video);
EXPORT void vxt_evidence_free(vx_evidence_video *video);
EXPORT int vxt_evidence_pictures(const vx_evidence_video *video);
EXPORT void vxt_evidence_windows(double new_length_s, double stored_length_s, double offset_s,
                                 vx_evidence_window *ret_windows);
EXPORT void vxt_evidence_set_rates(vx_evidence_window *of_new, vx_evidence_window *of_stored);
EXPORT int vxt_evidence_compare(vx_evidence_video *fresh, vx_evidence_video *stored,
                                const vx_evidence_params *params, vx_evidence *ret_evidence);

static int give(vx_luma *luma, int rc, uint8_t *ret_gray) {
    if (!rc)
        memcpy(ret_gray, luma->pixels, (size_t)luma->w_px * (size_t)luma->h_px);
    vx_luma_clear(luma);
    return rc;
}

int vxt_reduce(const uint8_t *gray, int w, int h, int stride, int out_w, int out_h,
               uint8_t *ret_gray) {
    const vx_frame picture = vx_frame_view(VX_FRAME_GRAY, gray, w, h, stride);
    vx_luma luma = {0};
    return give(&luma, vx_luma_reduce(&picture, out_w, out_h, &luma, NULL), ret_gray);
}

int vxt_enlarge(const uint8_t *gray, int w, int h, int out_w, int out_h, uint8_t *ret_gray) {
    const vx_frame picture = vx_frame_view(VX_FRAME_GRAY, gray, w, h, w);
    vx_luma luma = {0};
    return give(&luma, vx_luma_enlarge(&picture, out_w, out_h, &luma, NULL), ret_gray);
}

int vxt_smooth(const uint8_t *gray, int w, int h, uint8_t *ret_gray) {
    const vx_luma in = {(uint8_t *)gray, w, h};
    vx_luma luma = {0};
    return give(&luma, vx_luma_smooth(&in, &luma, NULL), ret_gray);
}

int vxt_orb(const uint8_t *gray, int w, int h, const vx_orb_params *params,
            vx_orb_feature *ret_features) {
    const vx_luma luma = {(uint8_t *)gray, w, h};
    vx_orb orb = {0};
    int rc = vx_orb_find(&luma, params, &orb, NULL);
    if (!rc)
        memcpy(ret_features, orb.features, orb.n * sizeof *orb.features);
    int n = (int)orb.n;
    vx_orb_clear(&orb);
    return rc ? rc : n;
}

int vxt_match(const vx_orb_feature *a, size_t n_a, const vx_orb_feature *b, size_t n_b,
              vx_orb_match *ret_matches) {
    const vx_orb x = {(vx_orb_feature *)a, n_a, 0, 0}, y = {(vx_orb_feature *)b, n_b, 0, 0};
    return (int)vx_orb_match_pairs(&x, &y, ret_matches);
}

void vxt_similarity(const vx_orb_feature *a, size_t n_a, const vx_orb_feature *b, size_t n_b,
                    vx_similarity *ret_similarity) {
    const vx_orb x = {(vx_orb_feature *)a, n_a, 0, 0}, y = {(vx_orb_feature *)b, n_b, 0, 0};
    vx_geometry_find(&x, &y, false, ret_similarity);
}

int vxt_motion(const vx_footage *a, const vx_footage *b, const vx_motion_params *params,
               vx_motion *ret_motion) {
    return vx_motion_compare(a, b, params, ret_motion, NULL);
}

int vxt_motion_along(const vx_footage *a, const vx_footage *b, const vx_motion_pair *pairs, int n,
                     const uint8_t *mask, vx_motion *ret_motion) {
    return vx_motion_along(a, b, pairs, n, mask, ret_motion, NULL);
}

int vxt_evidence_open(const char *path, const vx_evidence_window *window,
                      vx_evidence_video **ret_video) {
    const vx_evidence_source source = {.path = path, .decode_threads = 1};
    return vx_evidence_open(&source, window, ret_video, NULL);
}

void vxt_evidence_free(vx_evidence_video *video) {
    vx_evidence_video_free(video);
}

int vxt_evidence_pictures(const vx_evidence_video *video) {
    return vx_evidence_n_pictures(video);
}

void vxt_evidence_windows(double new_length_s, double stored_length_s, double offset_s,
                          vx_evidence_window *ret_windows) {
    vx_evidence_windows(new_length_s, stored_length_s, offset_s, &ret_windows[0], &ret_windows[1]);
}

int vxt_evidence_compare(vx_evidence_video *fresh, vx_evidence_video *stored,
                         const vx_evidence_params *params, vx_evidence *ret_evidence) {
    return vx_evidence_compare(fresh, stored, params, ret_evidence, NULL);
}

int vxt_place(const vx_footage *a, const vx_footage *b, bool mirrored, vx_place ret_places[2]) {
    int n, rc = vx_place_find(a, b, mirrored, ret_places, &n, NULL);
    return rc ? rc : n;
}

void vxt_evidence_set_rates(vx_evidence_window *of_new, vx_evidence_window *of_stored) {
    vx_evidence_set_rates(of_new, of_stored);
}

const char *vxt_relation(const vx_evidence *evidence, double new_s, double stored_s) {
    vx_verdict_found found = {.kind = VX_VERDICT_NEW};
    if (evidence->kind == VX_EVIDENCE_COPY && vx_verdict_is_sure(evidence)) {
        const vx_span span = vx_verdict_span(evidence, new_s, stored_s);
        vx_windows_relate(evidence, &span, new_s, stored_s, &found);
    }
    return vx_verdict_name(found.kind);
}
