#include "geometry.h"

#include <math.h>
#include <string.h>

enum { ROUNDS = 300, REFITS = 5, CELL_PX = 16, PER_CELL = 2, LEAST_APART_PX = 12, MAX_CELLS = 64 };

typedef struct pair {
    double ax, ay, bx, by; /* pixel centres at halves */
} pair;

/* splitmix64 */
static uint32_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)(z ^ (z >> 31));
}

double vx_similarity_scale(const vx_similarity *similarity) {
    return hypot(similarity->c, similarity->s);
}

double vx_similarity_turn_deg(const vx_similarity *similarity) {
    return atan2(similarity->s, similarity->c) * 180 / M_PI;
}

static double error_of(const vx_similarity *m, const pair *p) { /* squared */
    double x = m->c * p->ax - m->s * p->ay + m->dx - p->bx;
    double y = m->s * p->ax + m->c * p->ay + m->dy - p->by;
    return x * x + y * y;
}

static bool agrees(const vx_similarity *m, const pair *p) {
    return error_of(m, p) <= VX_GEOMETRY_ERROR_PX * VX_GEOMETRY_ERROR_PX;
}

/* How many agree, and how well: a pair counts the more the smaller its error is (MSAC). */
static double agreement(const vx_similarity *m, const pair *pairs, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += fmax(0, VX_GEOMETRY_ERROR_PX * VX_GEOMETRY_ERROR_PX - error_of(m, &pairs[i]));
    return sum;
}

static bool has_scale(const vx_similarity *m) {
    double scale = hypot(m->c, m->s);
    return scale >= VX_GEOMETRY_MIN_SCALE && scale <= VX_GEOMETRY_MAX_SCALE;
}

/* The similarity that takes two points of a to those of b; false: they are too near, or it enlarges too much. */
static bool through_two(const pair *p, const pair *q, vx_similarity *ret) {
    double ax = q->ax - p->ax, ay = q->ay - p->ay, bx = q->bx - p->bx, by = q->by - p->by;
    double square = ax * ax + ay * ay;
    if (square < LEAST_APART_PX * LEAST_APART_PX)
        return false;
    ret->c = (bx * ax + by * ay) / square;
    ret->s = (by * ax - bx * ay) / square;
    ret->dx = p->bx - ret->c * p->ax + ret->s * p->ay;
    ret->dy = p->by - ret->s * p->ax - ret->c * p->ay;
    return has_scale(ret);
}

/* Least squares over the pairs that agree with m. */
static void refit(vx_similarity *m, const pair *pairs, size_t n) {
    double ax = 0, ay = 0, bx = 0, by = 0, cos_sum = 0, sin_sum = 0, square = 0;
    int used = 0;
    for (size_t i = 0; i < n; i++) {
        if (!agrees(m, &pairs[i]))
            continue;
        ax += pairs[i].ax, ay += pairs[i].ay, bx += pairs[i].bx, by += pairs[i].by;
        used++;
    }
    if (used < 2)
        return;
    ax /= used, ay /= used, bx /= used, by /= used;
    for (size_t i = 0; i < n; i++) {
        if (!agrees(m, &pairs[i]))
            continue;
        double x = pairs[i].ax - ax, y = pairs[i].ay - ay;
        double u = pairs[i].bx - bx, v = pairs[i].by - by;
        cos_sum += x * u + y * v;
        sin_sum += x * v - y * u;
        square += x * x + y * y;
    }
    if (square < 1)
        return;
    vx_similarity fitted = *m;
    fitted.c = cos_sum / square;
    fitted.s = sin_sum / square;
    fitted.dx = bx - fitted.c * ax + fitted.s * ay;
    fitted.dy = by - fitted.s * ax - fitted.c * ay;
    if (has_scale(&fitted) && agreement(&fitted, pairs, n) > agreement(m, pairs, n))
        *m = fitted;
}

static int cell_of(double x, double y) {
    int column = (int)(x / CELL_PX), row = (int)(y / CELL_PX);
    column = column < 0 ? 0 : column >= MAX_CELLS ? MAX_CELLS - 1 : column;
    row = row < 0 ? 0 : row >= MAX_CELLS ? MAX_CELLS - 1 : row;
    return row * MAX_CELLS + column;
}

/* So that a logo or one edge, where many features agree by themselves, is no proof. */
static int count_spread(const vx_similarity *m, const pair *pairs, size_t n) {
    uint8_t in_a[MAX_CELLS * MAX_CELLS] = {0}, in_b[MAX_CELLS * MAX_CELLS] = {0};
    int n_counted = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t *a = &in_a[cell_of(pairs[i].ax, pairs[i].ay)];
        uint8_t *b = &in_b[cell_of(pairs[i].bx, pairs[i].by)];
        if (!agrees(m, &pairs[i]) || *a == PER_CELL || *b == PER_CELL)
            continue;
        ++*a, ++*b;
        n_counted++;
    }
    return n_counted;
}

void vx_geometry_find(const vx_orb *a, const vx_orb *b, bool mirrored,
                      vx_similarity *ret_similarity) {
    vx_orb_match matches[VX_ORB_MAX];
    pair pairs[VX_ORB_MAX];
    size_t n = vx_orb_match_pairs(a, b, matches);
    for (size_t i = 0; i < n; i++) {
        const vx_orb_feature *p = &a->features[matches[i].a], *q = &b->features[matches[i].b];
        pairs[i] = (pair){(double)p->x_px + 0.5, (double)p->y_px + 0.5, (double)q->x_px + 0.5,
                          (double)q->y_px + 0.5};
    }
    vx_similarity best = {0};
    double most = 0;
    uint64_t random = 1;
    for (int round = 0; round < ROUNDS && n >= 2; round++) {
        vx_similarity tried = {0};
        size_t i = next_random(&random) % n, k = next_random(&random) % n;
        double agreeing =
            through_two(&pairs[i], &pairs[k], &tried) ? agreement(&tried, pairs, n) : 0;
        if (agreeing <= most)
            continue;
        most = agreeing;
        best = tried;
    }
    for (int i = 0; i < REFITS && most > 0; i++)
        refit(&best, pairs, n);
    best.mirrored = mirrored;
    best.n_inliers = most > 0 ? count_spread(&best, pairs, n) : 0;
    *ret_similarity = best;
}
