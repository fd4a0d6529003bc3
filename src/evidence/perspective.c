/* perspective.c — see the header. RANSAC over four pairs would need thousands of rounds, for few pairs are right; a
 * similarity already agrees with those in the middle, and from there the fit grows outwards. */
#include "perspective.h"

#include <math.h>
#include <string.h>

enum { UNKNOWNS = 8, LEAST_PAIRS = 10 };
/* Pairs nearer than this are fitted, round after round; the first rounds without vanishing points, for a few pairs in the
 * middle say nothing of these. */
static const double NEAR_PX[] = {12, 9, 7, 5, VX_GEOMETRY_ERROR_PX, VX_GEOMETRY_ERROR_PX};
enum { AFFINE_ROUNDS = 2 };
static const double MORE = 1.15; /* as much must it agree as the similarity, at least */

typedef struct point {
    double x, y;
} point;

/* ---- three by three ---- */

vx_perspective vx_perspective_chain(const vx_perspective *first, const vx_perspective *then) {
    vx_perspective out = {0};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            for (int j = 0; j < 3; j++)
                out.m[i][k] += then->m[i][j] * first->m[j][k];
    return out;
}

/* With x counted from the right edge first if it is mirrored. */
static vx_perspective unflipped(const vx_perspective *p, bool mirrored, int w_a_px) {
    const vx_perspective flip = {{{-1, 0, w_a_px}, {0, 1, 0}, {0, 0, 1}}};
    return mirrored ? vx_perspective_chain(&flip, p) : *p;
}

static vx_perspective of_flipped(const vx_similarity *m) {
    return (vx_perspective){{{m->c, -m->s, m->dx}, {m->s, m->c, m->dy}, {0, 0, 1}}};
}

vx_perspective vx_perspective_of(const vx_similarity *similarity, int w_a_px) {
    const vx_perspective flipped = of_flipped(similarity);
    return unflipped(&flipped, similarity->mirrored, w_a_px);
}

bool vx_perspective_invert(const vx_perspective *perspective, vx_perspective *ret) {
    const double(*m)[3] = perspective->m;
    vx_perspective out;
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) {
            int r = (k + 1) % 3, s = (k + 2) % 3, c = (i + 1) % 3, d = (i + 2) % 3;
            out.m[i][k] = m[r][c] * m[s][d] - m[r][d] * m[s][c];
        }
    double determinant = m[0][0] * out.m[0][0] + m[0][1] * out.m[1][0] + m[0][2] * out.m[2][0];
    if (fabs(determinant) < 1e-9)
        return false;
    for (int i = 0; i < 9; i++)
        out.m[i / 3][i % 3] /= determinant;
    *ret = out;
    return true;
}

bool vx_perspective_apply(const vx_perspective *perspective, double x, double y, double *ret_x,
                          double *ret_y) {
    const double(*m)[3] = perspective->m;
    double w = m[2][0] * x + m[2][1] * y + m[2][2];
    if (w < 1e-6)
        return false;
    *ret_x = (m[0][0] * x + m[0][1] * y + m[0][2]) / w;
    *ret_y = (m[1][0] * x + m[1][1] * y + m[1][2]) / w;
    return true;
}

/* ---- the fit ---- */

static double error_of(const vx_perspective *p, const point *a, const point *b) { /* squared */
    double x, y;
    if (!vx_perspective_apply(p, a->x, a->y, &x, &y))
        return INFINITY;
    return (x - b->x) * (x - b->x) + (y - b->y) * (y - b->y);
}

/* As for similarities: how many agree, and how well. */
static double agreement(const vx_perspective *p, const point *a, const point *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += fmax(0, VX_GEOMETRY_ERROR_PX * VX_GEOMETRY_ERROR_PX - error_of(p, &a[i], &b[i]));
    return sum;
}

/* Solves s[n][n] x = s[..][n] in place, by elimination. False: it has no one solution. */
static bool solve(double s[UNKNOWNS][UNKNOWNS + 1], int n, double ret[UNKNOWNS]) {
    for (int i = 0; i < n; i++) {
        int most = i;
        for (int k = i + 1; k < n; k++)
            most = fabs(s[k][i]) > fabs(s[most][i]) ? k : most;
        if (fabs(s[most][i]) < 1e-9)
            return false;
        for (int c = 0; c <= UNKNOWNS; c++) {
            double kept = s[i][c];
            s[i][c] = s[most][c];
            s[most][c] = kept;
        }
        for (int k = 0; k < n; k++) {
            double factor = k == i ? 0 : s[k][i] / s[i][i];
            for (int c = i; c <= UNKNOWNS; c++)
                s[k][c] -= factor * s[i][c];
        }
    }
    for (int i = 0; i < n; i++)
        ret[i] = s[i][UNKNOWNS] / s[i][i];
    return true;
}

/* Adds the equation row x = value to the normal equations. */
static void add_equation(double s[UNKNOWNS][UNKNOWNS + 1], const double row[UNKNOWNS],
                         double value) {
    for (int i = 0; i < UNKNOWNS; i++) {
        for (int k = 0; k < UNKNOWNS; k++)
            s[i][k] += row[i] * row[k];
        s[i][UNKNOWNS] += row[i] * value;
    }
}

/* Least squares over the pairs that *p takes near each other; false, with *p as it was: they are too few. */
static bool refit(vx_perspective *p, const point *a, const point *b, size_t n, double near_px,
                  int n_unknowns) {
    const double unit = 160; /* so that all numbers are near one */
    double s[UNKNOWNS][UNKNOWNS + 1] = {0}, h[UNKNOWNS] = {0};
    int used = 0;
    for (size_t i = 0; i < n; i++) {
        if (error_of(p, &a[i], &b[i]) > near_px * near_px)
            continue;
        double x = a[i].x / unit - 1, y = a[i].y / unit - 1;
        double u = b[i].x / unit - 1, v = b[i].y / unit - 1;
        add_equation(s, (const double[]){x, y, 1, 0, 0, 0, -u * x, -u * y}, u);
        add_equation(s, (const double[]){0, 0, 0, x, y, 1, -v * x, -v * y}, v);
        used++;
    }
    if (used < LEAST_PAIRS || !solve(s, n_unknowns, h))
        return false;
    const vx_perspective to_units = {{{1 / unit, 0, -1}, {0, 1 / unit, -1}, {0, 0, 1}}};
    const vx_perspective to_px = {{{unit, 0, unit}, {0, unit, unit}, {0, 0, 1}}};
    const vx_perspective fitted = {{{h[0], h[1], h[2]}, {h[3], h[4], h[5]}, {h[6], h[7], 1}}};
    *p = vx_perspective_chain(&to_units, &fitted);
    *p = vx_perspective_chain(p, &to_px);
    return true;
}

bool vx_perspective_find(const vx_orb *a, const vx_orb *b, const vx_similarity *similarity,
                         vx_perspective *ret_perspective) {
    vx_orb_match matches[VX_ORB_MAX];
    point of_a[VX_ORB_MAX], of_b[VX_ORB_MAX];
    size_t n = vx_orb_match_pairs(a, b, matches);
    for (size_t i = 0; i < n; i++) {
        const vx_orb_feature *p = &a->features[matches[i].a], *q = &b->features[matches[i].b];
        of_a[i] = (point){(double)p->x_px + 0.5, (double)p->y_px + 0.5};
        of_b[i] = (point){(double)q->x_px + 0.5, (double)q->y_px + 0.5};
    }
    const vx_perspective start = of_flipped(similarity);
    vx_perspective found = start;
    for (size_t i = 0; i < VX_LEN(NEAR_PX); i++)
        if (!refit(&found, of_a, of_b, n, NEAR_PX[i], i < AFFINE_ROUNDS ? 6 : UNKNOWNS))
            return false;
    *ret_perspective = unflipped(&found, similarity->mirrored, a->w_px);
    return agreement(&found, of_a, of_b, n) > MORE * agreement(&start, of_a, of_b, n);
}
