/* place.c — see the header.
 *
 * A picture 20 pixels wide is correlated with every part of that size of the other, which is 20 to 64 pixels wide. At each
 * offset in time the places of some moments are summed up. The best one is then moved and stretched bit by bit.
 */
#include "place.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/simd.h"
#include "luma.h"

enum {
    ACROSS = 20,     /* pixels of a picture that is looked for in the other */
    LEVELS = 8,      /* widths of that other one: the first is as wide */
    BASE_PX = 96,    /* longer side of what all of these are made of */
    MOMENTS = 4,     /* pictures of the new video */
    STORED_MAX = 64, /* and of the stored one */
    LEAST_MOMENTS = 3,
    OFFSETS_MAX = 512,
    ROWS_MAX = 64,
};
static const double STEP = 1.18;         /* from one level's width to the next */
static const double LEAST_STEP_S = 0.25; /* from one offset to the next */
static const float FLAT_VARIANCE = 2;    /* a part with less is like nothing */
/* What is so alike in a box may be a picture filmed at an angle; what is more alike lies so. */
static const float ANGLE_FROM = 0.5f, ANGLE_BELOW = 0.97f;

typedef struct level {
    int w, h;
    float *pixels; /* [h, w] */
    /* For each place of the other's picture in it, 1 / (its deviation sqrt(n)); 0: flat. Part of pixels' memory. */
    float *inverse;
} level;

/* One picture in all widths. */
typedef struct picture {
    vx_luma base;
    level levels[LEVELS];
    int n_levels;
} picture;

typedef struct pictures {
    picture *items; /* [n] owned */
    double *time_s; /* [n] owned */
    int n;
} pictures;

static void pictures_clear(pictures *p) {
    for (int i = 0; i < p->n; i++) {
        vx_luma_clear(&p->items[i].base);
        for (int k = 0; k < p->items[i].n_levels; k++)
            free(p->items[i].levels[k].pixels);
    }
    free(p->items);
    free(p->time_s);
}

static void size_base(const vx_footage *f, int *ret_w, int *ret_h) {
    double factor = fmin(1, (double)BASE_PX / (f->w_px > f->h_px ? f->w_px : f->h_px));
    *ret_w = (int)fmax(1, nearbyint(f->w_px * factor));
    *ret_h = (int)fmax(1, nearbyint(f->h_px * factor));
}

/* How many rows a video's picture has if it is ACROSS pixels wide. */
static int rows_of(const vx_footage *f) {
    int w, h;
    size_base(f, &w, &h);
    return (int)fmax(1, nearbyint((double)ACROSS * h / w));
}

static int places_across(const level *l) {
    return l->w - ACROSS + 1;
}

/* Places of a picture with so many rows in a level; <= 0: it is too small. */
static int places_in(const level *l, int rows) {
    int down = l->h - rows + 1;
    return down > 0 ? places_across(l) * down : 0;
}

VX_SIMD_CLONES
static void measure_places(level *l, int rows) {
    const float n = (float)(ACROSS * rows);
    for (int at = 0; at < places_in(l, rows); at++) {
        const float *restrict p = l->pixels + at / places_across(l) * l->w + at % places_across(l);
        float sums[ACROSS] = {0}, squares[ACROSS] = {0}, sum = 0, square = 0;
        for (int y = 0; y < rows; y++, p += l->w)
#pragma omp simd
            for (int x = 0; x < ACROSS; x++) {
                sums[x] += p[x];
                squares[x] += p[x] * p[x];
            }
        for (int x = 0; x < ACROSS; x++) {
            sum += sums[x];
            square += squares[x];
        }
        float variance = square / n - sum / n * (sum / n);
        l->inverse[at] = variance < FLAT_VARIANCE ? 0 : 1 / sqrtf(variance * n);
    }
}

static int add_level(picture *p, int rows, vx_err *err) {
    level *l = &p->levels[p->n_levels];
    l->w = (int)nearbyint(ACROSS * pow(STEP, p->n_levels));
    l->h = (int)fmax(1, nearbyint((double)l->w * p->base.h_px / p->base.w_px));
    vx_luma small = {0};
    if (l->w > p->base.w_px || l->h > p->base.h_px)
        return 0;
    const vx_frame whole =
        vx_frame_view(VX_FRAME_GRAY, p->base.pixels, p->base.w_px, p->base.h_px, p->base.w_px);
    int rc = vx_luma_reduce(&whole, l->w, l->h, &small, err);
    if (rc)
        return rc;
    size_t n = (size_t)l->w * (size_t)l->h;
    l->pixels = vx_new_array(2 * n, sizeof(float));
    for (size_t i = 0; i < n && l->pixels; i++)
        l->pixels[i] = small.pixels[i];
    vx_luma_clear(&small);
    if (!l->pixels)
        return VX_FAIL(err, -ENOMEM, "no memory to look for a picture in another");
    l->inverse = l->pixels + n;
    measure_places(l, rows);
    p->n_levels++;
    return 0;
}

/* Up to `most` pictures, evenly spread; rows: of the other video's. */
static int make_pictures(const vx_footage *f, int most, bool mirrored, int rows, pictures *ret,
                         vx_err *err) {
    int n = f->n < most ? f->n : most, rc = 0, w, h;
    size_base(f, &w, &h);
    ret->items = vx_new_array((size_t)n + 1, sizeof *ret->items);
    ret->time_s = vx_new_array((size_t)n + 1, sizeof *ret->time_s);
    if (!ret->items || !ret->time_s)
        return VX_FAIL(err, -ENOMEM, "no memory to look for a picture in another");
    for (int i = 0; i < n && !rc; i++) {
        int at = (int)((2 * (int64_t)i + 1) * f->n / (2 * n));
        const vx_frame whole =
            vx_frame_view(VX_FRAME_GRAY, vx_footage_picture(f, at), f->w_px, f->h_px, f->w_px);
        picture *p = &ret->items[ret->n];
        rc = vx_luma_reduce(&whole, w, h, &p->base, err);
        ret->time_s[ret->n++] = f->time_s[at];
        if (mirrored && !rc)
            vx_luma_mirror(&p->base);
        for (int k = 0; k < LEVELS && !rc; k++)
            rc = add_level(p, rows, err);
    }
    return rc;
}

/* ---- every place ---- */

/* A picture ACROSS pixels wide without its mean, and of length 1; zeros if it is flat. */
static void normalise(const level *l, float *ret) {
    int n = l->w * l->h;
    float sum = 0, square = 0;
    for (int i = 0; i < n; i++)
        sum += l->pixels[i];
    for (int i = 0; i < n; i++) {
        ret[i] = l->pixels[i] - sum / (float)n;
        square += ret[i] * ret[i];
    }
    float inverse = square < FLAT_VARIANCE * (float)n ? 0 : 1 / sqrtf(square);
    for (int i = 0; i < n; i++)
        ret[i] *= inverse;
}

/* Adds to each place of all levels how alike it is: float [places]. */
VX_SIMD_CLONES
static void add_likeness(const float *restrict small, int rows, const picture *in,
                         float *restrict sum) {
    for (int k = 0; k < in->n_levels; k++) {
        const level *l = &in->levels[k];
        int n = places_in(l, rows);
        for (int at = 0; at < n; at++) {
            const float *restrict p =
                l->pixels + at / places_across(l) * l->w + at % places_across(l);
            float lanes[ACROSS] = {0}, total = 0;
            for (int y = 0; y < rows; y++)
#pragma omp simd
                for (int x = 0; x < ACROSS; x++)
                    lanes[x] += small[y * ACROSS + x] * p[y * l->w + x];
            for (int x = 0; x < ACROSS; x++)
                total += lanes[x];
            sum[at] += total * l->inverse[at];
        }
        sum += n > 0 ? n : 0;
    }
}

/* A place at an offset. */
typedef struct spot {
    double offset_s;
    vx_motion_pair pairs[MOMENTS]; /* [n_pairs] pictures that meet */
    int n_pairs;
    double
        corners[4]
               [2]; /* in shares of the large picture: above left and right, below left and right */
    float alike;
} spot;

/* One video's pictures in the other's. */
typedef struct hunt {
    const pictures *a, *b, *small, *large; /* small is one of both, large the other */
    bool a_in_b;
    int rows;      /* of a small picture */
    float *normal; /* [small->n, rows, ACROSS] the small pictures; owned */
    float *grey;   /* the same as they are; owned */
    float *sum;    /* [n_places] of a large picture; owned */
    size_t n_places;
    double step_s; /* from offset to offset */
    spot best;
} hunt;

/* A spot without a place. False: too few pictures meet. */
static bool spot_at(const hunt *h, double offset_s, spot *ret) {
    const pictures *a = h->a, *b = h->b;
    *ret = (spot){.offset_s = offset_s};
    for (int i = 0; i < a->n; i++) {
        double time_s = a->time_s[i] + offset_s;
        int best = 0;
        for (int k = 1; k < b->n; k++)
            if (fabs(b->time_s[k] - time_s) < fabs(b->time_s[best] - time_s))
                best = k;
        if (fabs(b->time_s[best] - time_s) <= 0.6 * h->step_s)
            ret->pairs[ret->n_pairs++] = (vx_motion_pair){i, best};
    }
    return ret->n_pairs >= (a->n < LEAST_MOMENTS ? a->n : LEAST_MOMENTS);
}

static int hunt_init(hunt *h, vx_err *err) {
    size_t each = (size_t)(ACROSS * h->rows);
    for (int k = 0; k < h->large->items[0].n_levels; k++)
        h->n_places += (size_t)places_in(&h->large->items[0].levels[k], h->rows);
    h->sum = vx_new_array(h->n_places + 1, sizeof *h->sum);
    h->normal = vx_new_array((size_t)h->small->n * each, sizeof *h->normal);
    h->grey = vx_new_array((size_t)h->small->n * each, sizeof *h->grey);
    if (!h->sum || !h->normal || !h->grey)
        return VX_FAIL(err, -ENOMEM, "no memory to look for a picture in another");
    for (int i = 0; i < h->small->n; i++) {
        const level *l = &h->small->items[i].levels[0];
        normalise(l, h->normal + (size_t)i * each);
        memcpy(h->grey + (size_t)i * each, l->pixels, each * sizeof *h->grey);
    }
    return 0;
}

/* Fills the spot's box and likeness with the best place for its pairs. Fewer moments count a little less: what drifts looks the same
 * later, further on. */
static void find_best(hunt *h, spot *at) {
    const float doubt = 0.2f;
    const float *sum = h->sum;
    memset(h->sum, 0, h->n_places * sizeof *h->sum);
    for (int i = 0; i < at->n_pairs; i++) {
        int small = h->a_in_b ? at->pairs[i].a : at->pairs[i].b;
        int large = h->a_in_b ? at->pairs[i].b : at->pairs[i].a;
        add_likeness(h->normal + small * ACROSS * h->rows, h->rows, &h->large->items[large],
                     h->sum);
    }
    for (int k = 0; k < h->large->items[0].n_levels; k++) {
        const level *l = &h->large->items[0].levels[k];
        int n = places_in(l, h->rows);
        for (int i = 0; i < n; i++) {
            float alike = sum[i] / ((float)at->n_pairs + doubt);
            if (alike <= at->alike)
                continue;
            double x = i % places_across(l), y = i / places_across(l);
            double right = (x + ACROSS) / l->w, low = (y + h->rows) / l->h;
            const double corners[4][2] = {
                {x / l->w, y / l->h}, {right, y / l->h}, {x / l->w, low}, {right, low}};
            memcpy(at->corners, corners, sizeof corners);
            at->alike = alike;
        }
        sum += n > 0 ? n : 0;
    }
}

/* Finds the offset and the place that are most alike, roughly. */
static void hunt_all(hunt *h) {
    const pictures *a = h->a, *b = h->b;
    double from_s = b->time_s[0] - a->time_s[a->n - 1], to_s = b->time_s[b->n - 1] - a->time_s[0];
    double step_s = b->n > 1 ? (b->time_s[b->n - 1] - b->time_s[0]) / (b->n - 1) : LEAST_STEP_S;
    h->step_s = fmax(fmax(step_s, LEAST_STEP_S), (to_s - from_s) / OFFSETS_MAX);
    /* On whole steps, so that zero is among them. */
    for (double o = ceil(from_s / h->step_s); o <= to_s / h->step_s; o++) {
        spot at;
        if (spot_at(h, o * h->step_s, &at))
            find_best(h, &at);
        if (at.alike > h->best.alike)
            h->best = at;
    }
}

/* ---- made exact ---- */

/* fminf and fmaxf would be calls. */
static float clamped(float x, int most) {
    return x < 0 ? 0 : x > (float)most ? (float)most : x;
}

static float sample(const vx_luma *in, float x, float y) {
    x = clamped(x - 0.5f, in->w_px - 1);
    y = clamped(y - 0.5f, in->h_px - 1);
    int left = (int)x, top = (int)y;
    int right = left + 1 < in->w_px ? left + 1 : left, below = top + 1 < in->h_px ? top + 1 : top;
    float fx = x - (float)left, fy = y - (float)top;
    const uint8_t *p = in->pixels + top * in->w_px, *q = in->pixels + below * in->w_px;
    return (p[left] * (1 - fx) + p[right] * fx) * (1 - fy) +
           (q[left] * (1 - fx) + q[right] * fx) * fy;
}

/* From shares of the small picture to those of the large one. */
static vx_perspective between_corners(const double (*c)[2]) {
    double m[3][3] = {{0}}, far_x = c[1][0] - c[3][0], far_y = c[1][1] - c[3][1];
    double low_x = c[2][0] - c[3][0], low_y = c[2][1] - c[3][1];
    double odd_x = c[0][0] - c[1][0] - c[2][0] + c[3][0];
    double odd_y = c[0][1] - c[1][1] - c[2][1] + c[3][1];
    double area = far_x * low_y - low_x * far_y;
    m[2][0] = (odd_x * low_y - low_x * odd_y) / area;
    m[2][1] = (far_x * odd_y - odd_x * far_y) / area;
    m[2][2] = 1;
    for (int k = 0; k < 2; k++) {
        m[k][0] = c[1][k] - c[0][k] + m[2][0] * c[1][k];
        m[k][1] = c[2][k] - c[0][k] + m[2][1] * c[2][k];
        m[k][2] = c[0][k];
    }
    vx_perspective out;
    memcpy(out.m, m, sizeof m);
    return out;
}

/* The large picture where the small one would lie in it: float [rows, ACROSS]. */
static void sample_large(const vx_luma *in, const vx_perspective *at, int rows, float *ret) {
    float m[3][3];
    for (int i = 0; i < 9; i++)
        m[i / 3][i % 3] = (float)(at->m[i / 3][i % 3] * (i < 3 ? in->w_px : i < 6 ? in->h_px : 1));
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < ACROSS; x++) {
            float u = ((float)x + 0.5f) / ACROSS, v = ((float)y + 0.5f) / (float)rows;
            float scale = 1 / (m[2][0] * u + m[2][1] * v + m[2][2]);
            *ret++ = sample(in, (m[0][0] * u + m[0][1] * v + m[0][2]) * scale,
                            (m[1][0] * u + m[1][1] * v + m[1][2]) * scale);
        }
}

static float correlation(const float *restrict p, const float *restrict q, int n) {
    float a = 0, b = 0, aa = 0, bb = 0, ab = 0;
    for (int i = 0; i < n; i++) {
        a += p[i];
        b += q[i];
        aa += p[i] * p[i];
        bb += q[i] * q[i];
        ab += p[i] * q[i];
    }
    float count = (float)n, var_a = aa / count - a / count * (a / count);
    float var_b = bb / count - b / count * (b / count);
    return (ab / count - a / count * (b / count)) /
           sqrtf(fmaxf(var_a, FLAT_VARIANCE) * fmaxf(var_b, FLAT_VARIANCE));
}

/* The mean correlation of the pairs with the small picture between four corners of the large one. */
static float likeness_in(const hunt *h, const spot *at, const double (*corners)[2]) {
    const vx_perspective where = between_corners(corners);
    float total = 0, large[ACROSS * ROWS_MAX];
    for (int i = 0; i < at->n_pairs; i++) {
        int small = h->a_in_b ? at->pairs[i].a : at->pairs[i].b;
        int in = h->a_in_b ? at->pairs[i].b : at->pairs[i].a;
        sample_large(&h->large->items[in].base, &where, h->rows, large);
        total += correlation(h->grey + small * ACROSS * h->rows, large, ACROSS * h->rows);
    }
    return total / (float)at->n_pairs;
}

/* Whether a picture could be seen so: convex, not too small, hardly outside, opposite sides not too different. */
static bool is_seen(const double (*c)[2], double out) {
    static const int ROUND[] = {0, 1, 3, 2, 0, 1};
    const double least = 0.1, most_ratio = 2;
    double side[4];
    for (int i = 0; i < 4; i++) {
        const double *p = c[ROUND[i]], *q = c[ROUND[i + 1]], *r = c[ROUND[i + 2]];
        side[i] = hypot(q[0] - p[0], q[1] - p[1]);
        double turn = (q[0] - p[0]) * (r[1] - q[1]) - (q[1] - p[1]) * (r[0] - q[0]);
        if (turn <= 0 || side[i] < least || p[0] < -out || p[1] < -out || p[0] > 1 + out ||
            p[1] > 1 + out)
            return false;
    }
    return fmax(side[0], side[2]) <= most_ratio * fmin(side[0], side[2]) &&
           fmax(side[1], side[3]) <= most_ratio * fmin(side[1], side[3]);
}

/* Which corners move right, and which down: all, an edge, and one alone. */
static const uint8_t MOVES[][2] = {{15, 0}, {0, 15}, {5, 0}, {0, 3}, {10, 0}, {0, 12}, {1, 0},
                                   {0, 1},  {2, 0},  {0, 2}, {4, 0}, {0, 4},  {8, 0},  {0, 8}};
enum { BOX_MOVES = 6 };

/* Moves the corners while that makes it more alike: those of a box, or each by itself. */
static void make_exact(const hunt *h, spot *at, bool seen_at_angle) {
    const int tries = 2 * (seen_at_angle ? (int)VX_LEN(MOVES) : BOX_MOVES);
    const double out = seen_at_angle ? 0.1 : 0.01;
    at->alike = likeness_in(h, at, at->corners);
    for (double step = 0.03; step > 0.002; step /= 2)
        for (int i = 0, since = 0; since < tries; i = (i + 1) % tries, since++) {
            double corners[4][2];
            for (int k = 0; k < 8; k++)
                corners[k / 2][k % 2] =
                    at->corners[k / 2][k % 2] +
                    (MOVES[i / 2][k % 2] >> k / 2 & 1 ? (i & 1 ? step : -step) : 0);
            float alike = is_seen(corners, out) ? likeness_in(h, at, corners) : -1;
            if (alike <= at->alike)
                continue;
            at->alike = alike;
            memcpy(at->corners, corners, sizeof corners);
            since = -1;
        }
}

/* In pixels of both pictures. */
static vx_place place_of(const hunt *h, const vx_footage *a, const vx_footage *b, bool mirrored) {
    const vx_footage *small = h->a_in_b ? a : b, *large = h->a_in_b ? b : a;
    const vx_perspective shares = {
        {{1.0 / small->w_px, 0, 0}, {0, 1.0 / small->h_px, 0}, {0, 0, 1}}};
    const vx_perspective pixels = {{{large->w_px, 0, 0}, {0, large->h_px, 0}, {0, 0, 1}}};
    const vx_perspective flip = {{{-1, 0, a->w_px}, {0, 1, 0}, {0, 0, 1}}};
    vx_perspective p = between_corners(h->best.corners);
    p = vx_perspective_chain(&shares, &p);
    p = vx_perspective_chain(&p, &pixels);
    vx_place place = {.alike = h->best.alike};
    if (!h->a_in_b && !vx_perspective_invert(&p, &p))
        place.alike = 0;
    place.a_in_b = mirrored ? vx_perspective_chain(&flip, &p) : p;
    return place;
}

/* Makes the best spot exact, and takes those a step before and after it while they are better: while a camera pans, a
 * place beside the right one is alike a moment later. */
static void refine(hunt *h, bool seen_at_angle) {
    make_exact(h, &h->best, seen_at_angle);
    for (int way = -1; way <= 1; way += 2)
        for (;;) {
            spot next;
            if (!spot_at(h, h->best.offset_s + way * h->step_s, &next))
                break;
            memcpy(next.corners, h->best.corners, sizeof next.corners);
            make_exact(h, &next, seen_at_angle);
            if (next.alike <= h->best.alike)
                break;
            h->best = next;
        }
}

/* The best place of the small in the large pictures. */
static int find_one(hunt *h, vx_err *err) {
    if (h->rows > ROWS_MAX || !h->small->items[0].n_levels || !h->large->items[0].n_levels)
        return 0;
    int rc = hunt_init(h, err);
    if (!rc)
        hunt_all(h);
    if (!rc && h->best.alike > 0)
        refine(h, false);
    if (!rc && h->best.alike >= ANGLE_FROM && h->best.alike < ANGLE_BELOW)
        refine(h, true);
    free(h->grey);
    free(h->normal);
    free(h->sum);
    return rc;
}

int vx_place_find(const vx_footage *a, const vx_footage *b, bool mirrored, vx_place ret_places[2],
                  int *ret_n, vx_err *err) {
    pictures of_a = {0}, of_b = {0};
    *ret_n = 0;
    if (!a->n || !b->n)
        return 0;
    int rows_a = rows_of(a), rows_b = rows_of(b);
    int rc = make_pictures(a, MOMENTS, mirrored, rows_b, &of_a, err);
    if (!rc)
        rc = make_pictures(b, STORED_MAX, false, rows_a, &of_b, err);
    for (int a_in_b = 0; a_in_b < 2 && !rc; a_in_b++) {
        hunt h = {.a = &of_a,
                  .b = &of_b,
                  .small = a_in_b ? &of_a : &of_b,
                  .large = a_in_b ? &of_b : &of_a,
                  .a_in_b = a_in_b,
                  .rows = a_in_b ? rows_a : rows_b};
        rc = find_one(&h, err);
        if (!rc && h.best.alike > 0)
            ret_places[(*ret_n)++] = place_of(&h, a, b, mirrored);
    }
    pictures_clear(&of_a);
    pictures_clear(&of_b);
    return rc;
}
