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
    double box[4]; /* in shares of the large picture */
    float alike;
} spot;

/* One video's pictures in the other's. */
typedef struct hunt {
    const pictures *a, *b, *small, *large; /* small is one of both, large the other */
    bool a_in_b;
    int rows;      /* of a small picture */
    float *normal; /* [small->n, rows, ACROSS] the small pictures; owned */
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
    if (!h->sum || !h->normal)
        return VX_FAIL(err, -ENOMEM, "no memory to look for a picture in another");
    for (int i = 0; i < h->small->n; i++)
        normalise(&h->small->items[i].levels[0], h->normal + (size_t)i * each);
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
            const double box[4] = {x / l->w, y / l->h, (x + ACROSS) / l->w, (y + h->rows) / l->h};
            memcpy(at->box, box, sizeof box);
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

static float sample(const vx_luma *in, double x, double y) {
    x = fmin(fmax(x - 0.5, 0), in->w_px - 1);
    y = fmin(fmax(y - 0.5, 0), in->h_px - 1);
    int left = (int)x, top = (int)y;
    int right = left + 1 < in->w_px ? left + 1 : left, below = top + 1 < in->h_px ? top + 1 : top;
    float fx = (float)(x - left), fy = (float)(y - top);
    const uint8_t *p = in->pixels + top * in->w_px, *q = in->pixels + below * in->w_px;
    return (p[left] * (1 - fx) + p[right] * fx) * (1 - fy) +
           (q[left] * (1 - fx) + q[right] * fx) * fy;
}

/* The mean correlation of the pairs with the small picture in a box of the large one. */
static float likeness_in(const hunt *h, const spot *at, const double box[4]) {
    int rows = h->rows;
    float total = 0, n = (float)(ACROSS * rows);
    for (int i = 0; i < at->n_pairs; i++) {
        const vx_luma *s = &h->small->items[h->a_in_b ? at->pairs[i].a : at->pairs[i].b].base;
        const vx_luma *l = &h->large->items[h->a_in_b ? at->pairs[i].b : at->pairs[i].a].base;
        float a = 0, b = 0, aa = 0, bb = 0, ab = 0;
        for (int y = 0; y < rows; y++)
            for (int x = 0; x < ACROSS; x++) {
                double u = (x + 0.5) / ACROSS, v = (y + 0.5) / rows;
                float p = sample(s, u * s->w_px, v * s->h_px);
                float q = sample(l, (box[0] + u * (box[2] - box[0])) * l->w_px,
                                 (box[1] + v * (box[3] - box[1])) * l->h_px);
                a += p, b += q, aa += p * p, bb += q * q, ab += p * q;
            }
        float var_a = aa / n - a / n * (a / n), var_b = bb / n - b / n * (b / n);
        total += (ab / n - a / n * (b / n)) /
                 sqrtf(fmaxf(var_a, FLAT_VARIANCE) * fmaxf(var_b, FLAT_VARIANCE));
    }
    return total / (float)at->n_pairs;
}

static bool is_box(const double box[4]) {
    const double out = 0.01, least = 0.1;
    return box[0] >= -out && box[1] >= -out && box[2] <= 1 + out && box[3] <= 1 + out &&
           box[2] - box[0] >= least && box[3] - box[1] >= least;
}

/* Moves the box, and its edges, while that makes it more alike. */
static void make_exact(const hunt *h, spot *at) {
    static const int MOVES[][4] = {{1, 0, 1, 0}, {0, 1, 0, 1}, {1, 0, 0, 0},
                                   {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}};
    enum { TRIES = 2 * VX_LEN(MOVES) };
    at->alike = likeness_in(h, at, at->box);
    for (double step = 0.03; step > 0.002; step /= 2)
        for (int i = 0, since = 0; since < TRIES; i = (i + 1) % TRIES, since++) {
            double box[4];
            for (int k = 0; k < 4; k++)
                box[k] = at->box[k] + (i & 1 ? step : -step) * MOVES[i / 2][k];
            float alike = is_box(box) ? likeness_in(h, at, box) : -1;
            if (alike <= at->alike)
                continue;
            at->alike = alike;
            memcpy(at->box, box, sizeof box);
            since = -1;
        }
}

/* In pixels of both pictures. */
static vx_place place_of(const hunt *h, const vx_footage *a, const vx_footage *b, bool mirrored) {
    const vx_footage *f = h->a_in_b ? b : a;
    vx_place place = {.box_a = {0, 0, a->w_px, a->h_px},
                      .box_b = {0, 0, b->w_px, b->h_px},
                      .alike = h->best.alike};
    double *box = h->a_in_b ? place.box_b : place.box_a;
    for (int k = 0; k < 4; k++)
        box[k] = fmin(fmax(h->best.box[k], 0), 1) * (k & 1 ? f->h_px : f->w_px);
    if (mirrored && !h->a_in_b) {
        double left = box[0];
        box[0] = f->w_px - box[2];
        box[2] = f->w_px - left;
    }
    return place;
}

/* Makes the best spot exact, and takes those a step before and after it while they are better: while a camera pans, a
 * place beside the right one is alike a moment later. */
static void refine(hunt *h) {
    make_exact(h, &h->best);
    for (int way = -1; way <= 1; way += 2)
        for (;;) {
            spot next;
            if (!spot_at(h, h->best.offset_s + way * h->step_s, &next))
                break;
            memcpy(next.box, h->best.box, sizeof next.box);
            make_exact(h, &next);
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
        refine(h);
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
