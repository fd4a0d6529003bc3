/* orb.c — see the header. Why not OpenCV's, of which Debian has libopencv-features2d: with what it needs it adds
 * 30 MB to the bundle for hosts without a network, it allocates as it likes and throws C++ exceptions, its thread
 * pool is the process's, and its scores differ between its SIMD paths. What is needed of it is this file.
 *
 * Corners, Harris' measure and directions are those of OpenCV to the bit (tests/evidence/test_orb.py). Sizes of the
 * picture are exact means of areas and not of two pixels a side.
 */
#include "orb.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/simd.h"

enum {
    PATCH = 15,       /* radius of the patch that gives a feature its direction and its bits */
    EDGE = PATCH + 1, /* no corners nearer to an edge */
    DEFAULT_FAST = 8,
};

typedef struct corner {
    int x, y;
    float response;
} corner;

void vx_orb_clear(vx_orb *orb) {
    free(orb->features);
    *orb = (vx_orb){0};
}

/* ---- corners ---- */

/* The circle of 16 pixels at radius 3, clockwise from above. */
static const int8_t CIRCLE[16][2] = {{0, -3}, {1, -3},  {2, -2},  {3, -1}, {3, 0},  {3, 1},
                                     {2, 2},  {1, 3},   {0, 3},   {-1, 3}, {-2, 2}, {-3, 1},
                                     {-3, 0}, {-3, -1}, {-2, -2}, {-1, -3}};

/* Whether nine neighbours on the circle are set. */
static bool has_nine(uint32_t circle) {
    uint32_t run = circle | circle << 16, all = run;
    run &= run >> 1; /* two */
    run &= run >> 2; /* four */
    run &= run >> 4; /* eight */
    return (run & all >> 8 & 0xffff) != 0;
}

/* FAST's measure: the largest threshold for which nine neighbours on the circle are all brighter or all darker than
 * the centre by more than it; 0 if that is less than `least`. */
static int fast_score(const uint8_t *centre, const int offsets[16], int least) {
    int difference[24], best = least - 1, centre_value = centre[0];
    /* Nine in a row hold one of each two opposite pixels. */
    for (int i = 0; i < 8; i += 2)
        if (abs(centre[offsets[i]] - centre_value) <= best &&
            abs(centre[offsets[i + 8]] - centre_value) <= best)
            return 0;
    uint32_t brighter = 0, darker = 0;
    for (int i = 0; i < 16; i++) {
        difference[i] = centre[offsets[i]] - centre_value;
        brighter |= (uint32_t)(difference[i] > best) << i;
        darker |= (uint32_t)(difference[i] < -best) << i;
    }
    if (!has_nine(brighter) && !has_nine(darker))
        return 0;
    memcpy(difference + 16, difference, 8 * sizeof *difference);
    for (int first = 0; first < 16; first++) {
        int darkest = 255, brightest = -255;
        for (int i = first; i < first + 9; i++) {
            darkest = difference[i] < darkest ? difference[i] : darkest;
            brightest = difference[i] > brightest ? difference[i] : brightest;
        }
        best = darkest - 1 > best ? darkest - 1 : best;
        best = -brightest - 1 > best ? -brightest - 1 : best;
    }
    return best >= least ? best : 0;
}

/* Harris' measure over 7 x 7 pixels, with Sobel's derivatives. */
static float harris(const uint8_t *centre, int stride) {
    const float k = 0.04f, unit = 1.0f / (4 * 7 * 255.0f);
    int xx = 0, yy = 0, xy = 0;
    for (int y = -3; y <= 3; y++)
        for (int x = -3; x <= 3; x++) {
            const uint8_t *p = centre + y * stride + x, *above = p - stride, *below = p + stride;
            int dx = 2 * (p[1] - p[-1]) + (above[1] - above[-1]) + (below[1] - below[-1]);
            int dy = 2 * (below[0] - above[0]) + (below[-1] - above[-1]) + (below[1] - above[1]);
            xx += dx * dx;
            yy += dy * dy;
            xy += dx * dy;
        }
    float trace = (float)xx + (float)yy;
    return ((float)xx * (float)yy - (float)xy * (float)xy - k * trace * trace) * unit * unit *
           unit * unit;
}

static bool is_peak(const uint8_t *score, int stride) {
    for (int y = -1; y <= 1; y++)
        for (int x = -1; x <= 1; x++)
            if ((x || y) && score[y * stride + x] >= score[0])
                return false;
    return true;
}

/* scores: uint8 [h, w], zeros */
static void score_all(const vx_luma *luma, int threshold, uint8_t *scores) {
    int w = luma->w_px, offsets[16];
    for (int i = 0; i < 16; i++)
        offsets[i] = CIRCLE[i][1] * w + CIRCLE[i][0];
    for (int y = EDGE - 1; y <= luma->h_px - EDGE; y++)
        for (int x = EDGE - 1; x <= w - EDGE; x++) {
            size_t at = (size_t)y * (size_t)w + (size_t)x;
            scores[at] = (uint8_t)fast_score(luma->pixels + at, offsets, threshold);
        }
}

static int by_response(const void *a, const void *b) {
    const corner *x = a, *y = b;
    if (x->response != y->response)
        return x->response > y->response ? -1 : 1;
    return x->y != y->y ? x->y - y->y : x->x - y->x;
}

/* The corners of a picture, best first. Gives *ret_corners (free()). */
static int find_corners(const vx_luma *luma, int threshold, corner **ret_corners, size_t *ret_n,
                        vx_err *err) {
    size_t n = 0, capacity = 0, w = (size_t)luma->w_px;
    VX_AUTO_FREE corner *corners = NULL;
    VX_AUTO_FREE uint8_t *scores = vx_new_array(w * (size_t)luma->h_px, 1);
    if (!scores)
        return VX_FAIL(err, -ENOMEM, "no memory for the corners of a picture");
    score_all(luma, threshold, scores);
    for (int y = EDGE; y < luma->h_px - EDGE; y++)
        for (int x = EDGE; x < luma->w_px - EDGE; x++) {
            size_t at = (size_t)y * w + (size_t)x;
            if (!scores[at] || !is_peak(scores + at, luma->w_px))
                continue;
            if (!vx_make_room(corners, n, capacity))
                return VX_FAIL(err, -ENOMEM, "no memory for the corners of a picture");
            corners[n++] = (corner){x, y, harris(luma->pixels + at, luma->w_px)};
        }
    if (n)
        qsort(corners, n, sizeof *corners, by_response);
    *ret_corners = vx_take(corners);
    *ret_n = n;
    return 0;
}

/* ---- descriptions ---- */

/* Direction from a corner to the centre of mass of the disc around it, radius PATCH. */
static float angle_of(const uint8_t *centre, int stride) {
    /* half the length of a disc's row, by its distance from the middle */
    static const int8_t HALF[PATCH + 1] = {15, 15, 15, 15, 14, 14, 14, 13,
                                           13, 12, 11, 10, 9,  8,  6,  3};
    int mass_x = 0, mass_y = 0;
    for (int y = -PATCH; y <= PATCH; y++) {
        const uint8_t *row = centre + y * stride;
        int sum = 0;
        for (int x = -HALF[abs(y)]; x <= HALF[abs(y)]; x++) {
            sum += row[x];
            mass_x += x * row[x];
        }
        mass_y += y * sum;
    }
    return atan2f((float)mass_y, (float)mass_x);
}

static void describe(const vx_luma *smooth, const corner *at, float angle_rad,
                     uint64_t ret_bits[4]) {
    const float c = cosf(angle_rad), s = sinf(angle_rad);
    const uint8_t *centre = smooth->pixels + (size_t)at->y * (size_t)smooth->w_px + (size_t)at->x;
    for (int i = 0; i < 256; i++) {
        int value[2];
        for (int k = 0; k < 2; k++) {
            float x = vx_orb_pattern[i][2 * k], y = vx_orb_pattern[i][2 * k + 1];
            long turned_x = lrintf(x * c - y * s), turned_y = lrintf(x * s + y * c);
            value[k] = centre[turned_y * smooth->w_px + turned_x];
        }
        if (i % 64 == 0)
            ret_bits[i / 64] = 0;
        ret_bits[i / 64] |= (uint64_t)(value[0] < value[1]) << (i % 64);
    }
}

/* Adds the `most` best features of one size of the picture; factor: from its pixels to the whole picture's. */
static int add_level(vx_orb *orb, const vx_luma *luma, int level, size_t most, int threshold,
                     vx_err *err) {
    VX_AUTO_FREE corner *corners = NULL;
    size_t n = 0;
    vx_luma smooth = {0};
    int rc = find_corners(luma, threshold, &corners, &n, err);
    if (!rc && n)
        rc = vx_luma_smooth(luma, &smooth, err);
    float scale_x = (float)orb->w_px / (float)luma->w_px;
    float scale_y = (float)orb->h_px / (float)luma->h_px;
    for (size_t i = 0; i < n && i < most && !rc; i++) {
        const corner *at = &corners[i];
        size_t pixel = (size_t)at->y * (size_t)luma->w_px + (size_t)at->x;
        vx_orb_feature *f = &orb->features[orb->n++];
        *f = (vx_orb_feature){.x_px = ((float)at->x + 0.5f) * scale_x - 0.5f,
                              .y_px = ((float)at->y + 0.5f) * scale_y - 0.5f,
                              .angle_rad = angle_of(luma->pixels + pixel, luma->w_px),
                              .response = at->response,
                              .level = level};
        describe(&smooth, at, f->angle_rad, f->bits);
    }
    vx_luma_clear(&smooth);
    return rc;
}

int vx_orb_find(const vx_luma *luma, const vx_orb_params *params, vx_orb *ret_orb, vx_err *err) {
    const double step = 1.2;
    int n_levels = params->n_levels ? params->n_levels : VX_ORB_LEVELS;
    int threshold = params->fast_threshold ? params->fast_threshold : DEFAULT_FAST;
    *ret_orb = (vx_orb){.w_px = luma->w_px, .h_px = luma->h_px};
    ret_orb->features = vx_new_array((size_t)params->max_features, sizeof *ret_orb->features);
    if (!ret_orb->features)
        return VX_FAIL(err, -ENOMEM, "no memory for the features of a picture");
    const vx_frame whole =
        vx_frame_view(VX_FRAME_GRAY, luma->pixels, luma->w_px, luma->h_px, luma->w_px);
    double share = params->max_features * (1 - 1 / step) / (1 - pow(1 / step, n_levels));
    int rc = 0;
    for (int level = 0; level < n_levels && !rc; level++, share /= step) {
        size_t left = (size_t)params->max_features - ret_orb->n;
        size_t most = level == n_levels - 1 ? left : (size_t)lrint(share);
        most = most < left ? most : left;
        double factor = pow(step, level);
        int w = (int)lrint(luma->w_px / factor), h = (int)lrint(luma->h_px / factor);
        vx_luma small = {0};
        if (w <= 2 * EDGE || h <= 2 * EDGE)
            break;
        if (level)
            rc = vx_luma_reduce(&whole, w, h, &small, err);
        if (!rc)
            rc = add_level(ret_orb, level ? &small : luma, level, most, threshold, err);
        vx_luma_clear(&small);
    }
    return rc;
}

/* ---- pairs ---- */

#if defined(__x86_64__) && defined(__linux__) && !defined(VX_SIMD_SANITIZED)
#define COUNTS_BITS __attribute__((target_clones("popcnt", "default")))
#else
#define COUNTS_BITS
#endif

/* The distance of each pair to the nearest of the other side so far: nearest_a [a->n], nearest_b [b->n], each the
 * distance << 16 | the other's number, so that the smaller is the nearer, then the earlier. */
COUNTS_BITS
static void find_nearest(const vx_orb *a, const vx_orb *b, uint32_t *nearest_a,
                         uint32_t *nearest_b) {
    for (size_t i = 0; i < a->n; i++) {
        const uint64_t *p = a->features[i].bits;
        uint32_t best = UINT32_MAX;
        for (size_t k = 0; k < b->n; k++) {
            const uint64_t *q = b->features[k].bits;
            uint32_t distance =
                (uint32_t)(__builtin_popcountll(p[0] ^ q[0]) + __builtin_popcountll(p[1] ^ q[1]) +
                           __builtin_popcountll(p[2] ^ q[2]) + __builtin_popcountll(p[3] ^ q[3]));
            uint32_t here = distance << 16 | (uint32_t)k, there = distance << 16 | (uint32_t)i;
            best = here < best ? here : best;
            nearest_b[k] = there < nearest_b[k] ? there : nearest_b[k];
        }
        nearest_a[i] = best;
    }
}

size_t vx_orb_match_pairs(const vx_orb *a, const vx_orb *b, vx_orb_match *ret_matches) {
    uint32_t nearest_a[VX_ORB_MAX], nearest_b[VX_ORB_MAX];
    size_t n = 0;
    memset(nearest_b, 0xff, sizeof nearest_b);
    find_nearest(a, b, nearest_a, nearest_b);
    for (size_t i = 0; i < a->n && b->n; i++) {
        uint32_t k = nearest_a[i] & 0xffff;
        if (nearest_a[i] >> 16 <= VX_ORB_MATCH_DISTANCE && (nearest_b[k] & 0xffff) == i)
            ret_matches[n++] = (vx_orb_match){(int)i, (int)k};
    }
    return n;
}
