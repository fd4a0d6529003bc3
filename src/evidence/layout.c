#include "layout.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { SUBSAMPLES = 4, LEAST_SIDE = 4 };

/* A grid whose longer side is the most that is allowed. */
static void shape_grid(vx_layout *layout, double w, double h) {
    double factor = VX_MOTION_WIDTH_PX / fmax(w, h);
    layout->w = (int)fmax(LEAST_SIDE, nearbyint(w * factor));
    layout->h = (int)fmax(LEAST_SIDE, nearbyint(h * factor));
}

/* Where places of the grid lie in a picture of which it covers a box. */
static vx_perspective grid_of(const vx_layout *layout, const double box[4]) {
    return (vx_perspective){{{(box[2] - box[0]) / layout->w, 0, box[0]},
                             {0, (box[3] - box[1]) / layout->h, box[1]},
                             {0, 0, 1}}};
}

vx_layout vx_layout_boxes(const double box_a[4], const double box_b[4], bool mirrored,
                          int quarter_turns) {
    vx_layout layout;
    memcpy(layout.box_a, box_a, sizeof layout.box_a);
    memcpy(layout.box_b, box_b, sizeof layout.box_b);
    double w = box_a[2] - box_a[0], h = box_a[3] - box_a[1];
    double across = box_b[2] - box_b[0], down = box_b[3] - box_b[1];
    shape_grid(&layout, w, h);
    layout.in_a = grid_of(&layout, box_a);
    vx_perspective in_box = grid_of(&layout, box_b);
    if (quarter_turns > 0)
        in_box = (vx_perspective){
            {{0, -across / layout.h, box_b[2]}, {down / layout.w, 0, box_b[1]}, {0, 0, 1}}};
    else if (quarter_turns < 0)
        in_box = (vx_perspective){
            {{0, across / layout.h, box_b[0]}, {-down / layout.w, 0, box_b[3]}, {0, 0, 1}}};
    const vx_perspective flip = {{{-1, 0, layout.w}, {0, 1, 0}, {0, 0, 1}}};
    layout.in_b = mirrored ? vx_perspective_chain(&flip, &in_box) : in_box;
    return layout;
}

/* ---- bars ---- */

enum { SAME_BARS_PX = 2, FEWEST_WITH_BARS = 4 };
static const int BAR_RANGE =
    16; /* grey levels from the darkest to the brightest pixel of a bar's line */

typedef struct bars {
    int left, top, right, bottom; /* the box between them */
} bars;

/* Whether n pixels, each so many behind the one before, are of one grey, that of `like`. */
static bool is_bar(const uint8_t *p, int n, int stride, int like) {
    int least = like, most = like;
    for (int i = 0; i < n && most - least <= BAR_RANGE; i++) {
        int value = p[i * stride];
        least = value < least ? value : least;
        most = value > most ? value : most;
    }
    return most - least <= BAR_RANGE;
}

static bars find_bars(const uint8_t *p, int w, int h) {
    bars b = {0, 0, w, h};
    const int first = p[0], last = p[w * h - 1];
    while (b.top < h && is_bar(p + b.top * w, w, 1, first))
        b.top++;
    while (b.bottom > b.top && is_bar(p + (b.bottom - 1) * w, w, 1, last))
        b.bottom--;
    int rows = b.bottom - b.top;
    const uint8_t *inner = p + b.top * w;
    while (rows && b.left < w && is_bar(inner + b.left, rows, w, inner[0]))
        b.left++;
    while (rows && b.right > b.left && is_bar(inner + b.right - 1, rows, w, inner[w - 1]))
        b.right--;
    return b;
}

static bool has_bars(const bars *b, int w, int h) {
    int lost = b->left + b->top + (w - b->right) + (h - b->bottom);
    return lost > 2 * SAME_BARS_PX && (b->right - b->left) * (b->bottom - b->top) * 8 >= w * h;
}

static bool same_bars(const bars *a, const bars *b) {
    return abs(a->left - b->left) <= SAME_BARS_PX && abs(a->top - b->top) <= SAME_BARS_PX &&
           abs(a->right - b->right) <= SAME_BARS_PX && abs(a->bottom - b->bottom) <= SAME_BARS_PX;
}

void vx_layout_find_content(const vx_footage *f, double ret_box[4]) {
    bars found[VX_MOTION_MAX];
    int n = 0, best = -1, most = FEWEST_WITH_BARS - 1;
    for (int i = 0; i < f->n; i++) {
        found[n] = find_bars(vx_footage_picture(f, i), f->w_px, f->h_px);
        n += has_bars(&found[n], f->w_px, f->h_px);
    }
    for (int i = 0; i < n; i++) {
        int same = 0;
        for (int k = 0; k < n; k++)
            same += same_bars(&found[i], &found[k]);
        best = same > most ? i : best;
        most = same > most ? same : most;
    }
    const bars b = best < 0 ? (bars){0, 0, f->w_px, f->h_px} : found[best];
    const double box[4] = {b.left, b.top, b.right, b.bottom};
    memcpy(ret_box, box, sizeof box);
}

/* ---- a perspective ---- */

/* Extends a box to hold a point, kept inside w x h. */
static void extend(double box[4], double x, double y, int w, int h) {
    x = fmin(fmax(x, 0), w);
    y = fmin(fmax(y, 0), h);
    box[0] = fmin(box[0], x);
    box[1] = fmin(box[1], y);
    box[2] = fmax(box[2], x);
    box[3] = fmax(box[3], y);
}

static bool is_large(const double box[4], int w, int h) {
    return (box[2] - box[0]) * (box[3] - box[1]) * 64 >= (double)w * h;
}

bool vx_layout_of(const vx_footage *a, const vx_footage *b, const vx_perspective *perspective,
                  vx_layout *ret_layout) {
    vx_layout layout = {.box_a = {a->w_px, a->h_px, 0, 0}, .box_b = {b->w_px, b->h_px, 0, 0}};
    vx_perspective back;
    double x, y;
    if (!vx_perspective_invert(perspective, &back))
        return false;
    for (int corner = 0; corner < 4; corner++) {
        int right = corner & 1, low = corner >> 1;
        if (!vx_perspective_apply(&back, right * b->w_px, low * b->h_px, &x, &y))
            return false;
        extend(layout.box_a, x, y, a->w_px, a->h_px);
        if (!vx_perspective_apply(perspective, right * a->w_px, low * a->h_px, &x, &y))
            return false;
        extend(layout.box_b, x, y, b->w_px, b->h_px);
    }
    if (!is_large(layout.box_a, a->w_px, a->h_px) || !is_large(layout.box_b, b->w_px, b->h_px))
        return false;
    shape_grid(&layout, layout.box_a[2] - layout.box_a[0], layout.box_a[3] - layout.box_a[1]);
    layout.in_a = grid_of(&layout, layout.box_a);
    layout.in_b = vx_perspective_chain(&layout.in_a, perspective);
    *ret_layout = layout;
    return true;
}

/* Four pixels and their weights, which sum to 256. */
typedef struct tap {
    int at[4];
    uint16_t weight[4];
} tap;

/* fmin and fmax would be calls. */
static double clamped(double x, int most) {
    return x < 0 ? 0 : x > most ? most : x;
}

static void place_tap(double x, double y, const vx_footage *in, tap *ret) {
    x = clamped(x - 0.5, in->w_px - 1);
    y = clamped(y - 0.5, in->h_px - 1);
    int left = (int)x, top = (int)y, right = left + 1 < in->w_px ? left + 1 : left;
    int below = top + 1 < in->h_px ? top + 1 : top;
    int fx = (int)((x - left) * 16), fy = (int)((y - top) * 16);
    *ret = (tap){{top * in->w_px + left, top * in->w_px + right, below * in->w_px + left,
                  below * in->w_px + right},
                 {(uint16_t)((16 - fx) * (16 - fy)), (uint16_t)(fx * (16 - fy)),
                  (uint16_t)((16 - fx) * fy), (uint16_t)(fx * fy)}};
}

/* Four places in each cell of the grid; cells that leave the picture are taken out of the mask. */
static void place_taps(const vx_perspective *m, const vx_footage *in, int w, int h, tap *taps,
                       uint8_t *mask) {
    for (int v = 0; v < h; v++)
        for (int u = 0; u < w; u++)
            for (int k = 0; k < SUBSAMPLES; k++) {
                double cu = u + (k & 1 ? 0.75 : 0.25), cv = v + (k >> 1 ? 0.75 : 0.25);
                double x = -1, y = -1;
                int cell = v * w + u;
                if (!vx_perspective_apply(m, cu, cv, &x, &y) || x < 0 || y < 0 || x > in->w_px ||
                    y > in->h_px)
                    mask[cell] = 0;
                place_tap(x, y, in, &taps[cell * SUBSAMPLES + k]);
            }
}

static int resample(const vx_perspective *m, const vx_footage *in, int w, int h, uint8_t *mask,
                    vx_footage *ret, vx_err *err) {
    size_t n_cells = (size_t)w * (size_t)h;
    VX_AUTO_FREE tap *taps = vx_new_array(n_cells, SUBSAMPLES * sizeof *taps);
    int rc = taps ? vx_footage_new(in->n, w, h, ret, err)
                  : VX_FAIL(err, -ENOMEM, "no memory to put two videos on each other");
    if (rc)
        return rc;
    place_taps(m, in, w, h, taps, mask);
    for (int i = 0; i < in->n; i++) {
        const uint8_t *from = vx_footage_picture(in, i);
        uint8_t *to = vx_footage_picture(ret, i);
        for (size_t cell = 0; cell < n_cells; cell++) {
            uint32_t sum = 0;
            const tap *t = &taps[cell * SUBSAMPLES];
            for (int k = 0; k < SUBSAMPLES; k++)
                sum += (uint32_t)(from[t[k].at[0]] * t[k].weight[0] +
                                  from[t[k].at[1]] * t[k].weight[1] +
                                  from[t[k].at[2]] * t[k].weight[2] +
                                  from[t[k].at[3]] * t[k].weight[3]);
            to[cell] = (uint8_t)((sum + 512) / 1024);
        }
        ret->time_s[ret->n++] = in->time_s[i];
    }
    return 0;
}

int vx_layout_apply(const vx_layout *layout, const vx_footage *a, const vx_footage *b,
                    vx_footage *ret_a, vx_footage *ret_b, uint8_t **ret_mask, vx_err *err) {
    size_t n_cells = (size_t)layout->w * (size_t)layout->h;
    VX_AUTO_FREE uint8_t *mask = vx_new_array(n_cells, 1);
    if (!mask)
        return VX_FAIL(err, -ENOMEM, "no memory to put two videos on each other");
    for (size_t i = 0; i < n_cells; i++)
        mask[i] = 1;
    int rc = resample(&layout->in_a, a, layout->w, layout->h, mask, ret_a, err);
    if (!rc)
        rc = resample(&layout->in_b, b, layout->w, layout->h, mask, ret_b, err);
    if (!rc)
        *ret_mask = vx_take(mask);
    return rc;
}
