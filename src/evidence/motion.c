/* motion.c — see the header.
 *
 * Hundreds of lines are tried on pictures a quarter as wide and high; the best few are measured on the whole ones.
 *
 * A pixel that changes far more in one video than in the other is no part of what they have in common: subtitles,
 * a clock, a channel's mark. Such pixels are left out, first those of a, then those of b, and the better result
 * counts; at least half of the pixels must be left.
 */
#include "motion.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/simd.h"

enum { REDUCTION = 4, BEST_LINES = 8 };
static const float STILL_MIN = 0.3f; /* pairs of pictures that differ more do not count */
static const double STEP_S = 0.25;   /* between two offsets at most */
static const double OVERLAY_FACTOR = 6, OVERLAY_CHANGE = 60;
/* A stretch of a line goes on while its pictures are more alike than this, and so much is lost for one without a
 * partner. */
static const float PASSAGE_FROM = 0.55f, PASSAGE_GAP = 0.3f;
static const float FLAT_VARIANCE = 4; /* a picture with less has nothing to correlate */

void vx_footage_clear(vx_footage *footage) {
    free(footage->luma);
    free(footage->time_s);
    *footage = (vx_footage){0};
}

int vx_footage_new(int n, int w_px, int h_px, vx_footage *ret_footage, vx_err *err) {
    size_t bytes = (size_t)w_px * (size_t)h_px;
    *ret_footage = (vx_footage){.luma = vx_new_array((size_t)n + 1, bytes),
                                .time_s = vx_new_array((size_t)n + 1, sizeof(double)),
                                .w_px = w_px,
                                .h_px = h_px};
    if (ret_footage->luma && ret_footage->time_s)
        return 0;
    vx_footage_clear(ret_footage);
    return VX_FAIL(err, -ENOMEM, "no memory for %d pictures of %d x %d", n, w_px, h_px);
}

/* ---- one line ---- */

/* Sums over the pairs of a line, for each pixel. */
typedef struct sums {
    uint32_t *a, *b, *aa, *bb, *ab; /* [n_px] each, in one block */
} sums;

static bool sums_new(size_t n_px, sums *ret_sums) {
    uint32_t *block = vx_new_array(n_px, 5 * sizeof *block);
    *ret_sums = (sums){block, block + n_px, block + 2 * n_px, block + 3 * n_px, block + 4 * n_px};
    return block != NULL;
}

/* 256 pairs of squares of bytes fit 32 bits. */
VX_SIMD_CLONES
static void add_pair(const sums *to, const uint8_t *restrict p, const uint8_t *restrict q,
                     size_t n_px) {
    uint32_t *restrict a = to->a, *restrict b = to->b, *restrict ab = to->ab;
    uint32_t *restrict aa = to->aa, *restrict bb = to->bb;
#pragma omp simd
    for (size_t i = 0; i < n_px; i++) {
        uint32_t x = p[i], y = q[i];
        a[i] += x;
        b[i] += y;
        aa[i] += x * x;
        bb[i] += y * y;
        ab[i] += x * y;
    }
}

/* The correlation over the pixels that neither the mask nor an overlay of one side (0: a, 1: b) hides. NaN: too few. */
static float correlate(const sums *s, size_t n_px, int n_pairs, const uint8_t *mask, int side,
                       float *ret_change_a, float *ret_change_b) {
    double var_a = 0, var_b = 0, cov = 0;
    size_t n_kept = 0, n_masked = 0;
    const double n = n_pairs;
    for (size_t i = 0; i < n_px; i++) {
        if (mask && !mask[i]) {
            n_masked++;
            continue;
        }
        double a = (double)s->aa[i] / n - (double)s->a[i] / n * ((double)s->a[i] / n);
        double b = (double)s->bb[i] / n - (double)s->b[i] / n * ((double)s->b[i] / n);
        double own = side ? b : a, other = side ? a : b;
        if (own > OVERLAY_FACTOR * other + OVERLAY_CHANGE)
            continue;
        var_a += a;
        var_b += b;
        cov += (double)s->ab[i] / n - (double)s->a[i] / n * ((double)s->b[i] / n);
        n_kept++;
    }
    if (2 * n_kept < n_px - n_masked || !n_kept)
        return NAN;
    double kept = (double)n_kept, least = (double)VX_MOTION_LEAST_CHANGE;
    *ret_change_a = (float)(var_a / kept);
    *ret_change_b = (float)(var_b / kept);
    return (float)(cov / kept / sqrt(fmax(var_a / kept, least) * fmax(var_b / kept, least)));
}

static void measure(const vx_footage *a, const vx_footage *b, const vx_motion_pair *pairs, int n,
                    const uint8_t *mask, const sums *s, vx_motion *ret) {
    size_t n_px = (size_t)a->w_px * (size_t)a->h_px;
    memset(s->a, 0, 5 * n_px * sizeof *s->a);
    for (int i = 0; i < n; i++)
        add_pair(s, vx_footage_picture(a, pairs[i].a), vx_footage_picture(b, pairs[i].b), n_px);
    ret->n_pairs = 0;
    for (int side = 0; side < 2; side++) {
        float change_a = 0, change_b = 0;
        float correlation = correlate(s, n_px, n, mask, side, &change_a, &change_b);
        if (isnan(correlation) || (ret->n_pairs && correlation <= ret->correlation))
            continue;
        ret->n_pairs = n;
        ret->correlation = correlation;
        ret->change_a = change_a;
        ret->change_b = change_b;
    }
}

int vx_motion_along(const vx_footage *a, const vx_footage *b, const vx_motion_pair *pairs, int n,
                    const uint8_t *mask, vx_motion *ret_motion, vx_err *err) {
    sums s;
    *ret_motion = (vx_motion){0};
    if (!sums_new((size_t)a->w_px * (size_t)a->h_px, &s))
        return VX_FAIL(err, -ENOMEM, "no memory to compare movements");
    measure(a, b, pairs, n, mask, &s, ret_motion);
    free(s.a);
    return 0;
}

float vx_motion_agreement(const vx_motion *motion) {
    float above = motion->correlation - 0.4f;
    return !motion->n_pairs ? -INFINITY : above > 0 ? above * (float)motion->n_pairs : above;
}

/* ---- all lines ---- */

/* Means of blocks of 4 x 4 pixels; a block counts if all of it does. */
static int reduce(const vx_footage *in, vx_footage *ret, vx_err *err) {
    int w = in->w_px / REDUCTION, h = in->h_px / REDUCTION;
    int rc = vx_footage_new(in->n, w, h, ret, err);
    for (int i = 0; i < in->n && !rc; i++) {
        const uint8_t *from = vx_footage_picture(in, i);
        uint8_t *to = vx_footage_picture(ret, i);
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                int sum = 0;
                for (int dy = 0; dy < REDUCTION; dy++)
                    for (int dx = 0; dx < REDUCTION; dx++)
                        sum += from[(y * REDUCTION + dy) * in->w_px + x * REDUCTION + dx];
                to[y * ret->w_px + x] =
                    (uint8_t)((sum + REDUCTION * REDUCTION / 2) / (REDUCTION * REDUCTION));
            }
        ret->time_s[ret->n++] = in->time_s[i];
    }
    return rc;
}

static void reduce_mask(const uint8_t *mask, const vx_footage *in, uint8_t *ret,
                        const vx_footage *small) {
    for (int y = 0; y < small->h_px; y++)
        for (int x = 0; x < small->w_px; x++) {
            bool all = true;
            for (int dy = 0; dy < REDUCTION && mask; dy++)
                for (int dx = 0; dx < REDUCTION; dx++)
                    all &= mask[(y * REDUCTION + dy) * in->w_px + x * REDUCTION + dx] != 0;
            ret[y * small->w_px + x] = all;
        }
}

/* Brings a picture's darkest and brightest tenth to the level of the next: a white logo in the night would be all that
 * two pictures are compared by. */
static void clip_extremes(uint8_t *p, const uint8_t *mask, size_t n_px) {
    size_t count[256] = {0}, n = 0;
    for (size_t i = 0; i < n_px; i++) {
        count[p[i]] += mask[i];
        n += mask[i];
    }
    int least = 0, most = 255;
    for (size_t below = count[0]; below * 10 < n; below += count[least])
        least++;
    for (size_t above = count[255]; above * 10 < n; above += count[most])
        most--;
    for (size_t i = 0; i < n_px; i++)
        p[i] = (uint8_t)(p[i] < least ? least : p[i] > most ? most : p[i]);
}

/* Mean and deviation of a picture's pixels that count. */
static void moments(const uint8_t *p, const uint8_t *mask, size_t n_px, float *ret_mean,
                    float *ret_variance) {
    int64_t sum = 0, square = 0, n = 0;
    for (size_t i = 0; i < n_px; i++) {
        if (!mask[i])
            continue;
        sum += p[i];
        square += p[i] * p[i];
        n++;
    }
    float mean = n ? (float)sum / (float)n : 0;
    *ret_mean = mean;
    *ret_variance = n ? (float)square / (float)n - mean * mean : 0;
}

VX_SIMD_CLONES
static uint32_t dot(const uint8_t *restrict p, const uint8_t *restrict q,
                    const uint8_t *restrict mask, size_t n_px) {
    uint32_t sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n_px; i++)
        sum += mask[i] ? (uint32_t)(p[i] * q[i]) : 0;
    return sum;
}

typedef struct line {
    double speed, offset_s;
    float agreement;
} line;

typedef struct search {
    const vx_footage *a, *b;
    vx_footage small_a, small_b;
    uint8_t *small_mask;
    float *still; /* [a->n, b->n] correlation of two pictures; owned */
    sums s;       /* for the small pictures */
    int min_pairs;
    bool passage;
    line best[BEST_LINES]; /* best first */
    int n_best;
} search;

static void search_clear(search *s) {
    vx_footage_clear(&s->small_a);
    vx_footage_clear(&s->small_b);
    free(s->small_mask);
    free(s->still);
    free(s->s.a);
}

/* Gives uint8 [n, n_px] with each picture's extremes clipped, and mean and variance of each. NULL: no memory. */
static uint8_t *clip_pictures(const vx_footage *f, const uint8_t *mask, size_t n_px,
                              float *ret_mean, float *ret_variance) {
    uint8_t *clipped = vx_new_array((size_t)f->n + 1, n_px);
    for (int i = 0; i < f->n && clipped; i++) {
        uint8_t *p = clipped + (size_t)i * n_px;
        memcpy(p, vx_footage_picture(f, i), n_px);
        clip_extremes(p, mask, n_px);
        moments(p, mask, n_px, &ret_mean[i], &ret_variance[i]);
    }
    return clipped;
}

static bool compare_stills(search *s) {
    size_t n_px = (size_t)s->small_a.w_px * (size_t)s->small_a.h_px, n = 0;
    float mean_a[VX_MOTION_MAX], mean_b[VX_MOTION_MAX], var_a[VX_MOTION_MAX], var_b[VX_MOTION_MAX];
    VX_AUTO_FREE uint8_t *a = clip_pictures(&s->small_a, s->small_mask, n_px, mean_a, var_a);
    VX_AUTO_FREE uint8_t *b = clip_pictures(&s->small_b, s->small_mask, n_px, mean_b, var_b);
    for (size_t i = 0; i < n_px; i++)
        n += s->small_mask[i];
    for (int i = 0; i < s->a->n && a && b; i++)
        for (int k = 0; k < s->b->n; k++) {
            float product =
                n ? (float)dot(a + (size_t)i * n_px, b + (size_t)k * n_px, s->small_mask, n_px) /
                        (float)n
                  : 0;
            s->still[i * s->b->n + k] =
                (product - mean_a[i] * mean_b[k]) /
                sqrtf(fmaxf(var_a[i], FLAT_VARIANCE) * fmaxf(var_b[k], FLAT_VARIANCE));
        }
    return a && b;
}

static int search_init(search *s, const vx_footage *a, const vx_footage *b,
                       const vx_motion_params *params, vx_err *err) {
    *s = (search){.a = a, .b = b};
    s->min_pairs = params->min_pairs ? params->min_pairs : VX_MOTION_MIN_PAIRS;
    s->passage = params->passage;
    int rc = reduce(a, &s->small_a, err);
    if (!rc)
        rc = reduce(b, &s->small_b, err);
    if (rc)
        return rc;
    size_t n_px = (size_t)s->small_a.w_px * (size_t)s->small_a.h_px;
    s->small_mask = vx_new_array(n_px, 1);
    s->still = vx_new_array((size_t)a->n * (size_t)b->n + 1, sizeof *s->still);
    if (!s->small_mask || !s->still || !sums_new(n_px, &s->s))
        return VX_FAIL(err, -ENOMEM, "no memory to compare movements");
    reduce_mask(params->mask, a, s->small_mask, &s->small_a);
    return compare_stills(s) ? 0 : VX_FAIL(err, -ENOMEM, "no memory to compare movements");
}

/* The usual distance of two pictures. */
static double step_of(const vx_footage *f) {
    return f->n > 1 ? (f->time_s[f->n - 1] - f->time_s[0]) / (f->n - 1) : STEP_S;
}

/* The pairs of pictures that meet on a line and look alike: for each of a the nearest of b. Returns how many. */
static int pairs_along(const search *s, double speed, double offset_s, vx_motion_pair *ret_pairs,
                       float *ret_still) {
    const vx_footage *a = s->a, *b = s->b;
    const double near_s = 0.6 * step_of(b);
    int n = 0, k = speed < 0 ? b->n - 1 : 0, onwards = speed < 0 ? -1 : 1;
    float still = 0;
    for (int i = 0; i < a->n; i++) {
        double time_s = speed * a->time_s[i] + offset_s;
        while (k + onwards >= 0 && k + onwards < b->n &&
               fabs(b->time_s[k + onwards] - time_s) < fabs(b->time_s[k] - time_s))
            k += onwards;
        float alike = s->still[i * b->n + k];
        if (fabs(b->time_s[k] - time_s) > near_s || alike < STILL_MIN)
            continue;
        ret_pairs[n++] = (vx_motion_pair){i, k};
        still += alike;
    }
    *ret_still = n ? still / (float)n : 0;
    return n;
}

/* Leaves the stretch of the pairs that is most alike. Returns how many. */
static int keep_passage(const search *s, vx_motion_pair *pairs, int n, float *ret_still) {
    float sum = 0, best = 0;
    int from = 0, first = 0, end = 0;
    for (int i = 0; i < n; i++) {
        if (i)
            sum -= PASSAGE_GAP * (float)(pairs[i].a - pairs[i - 1].a - 1);
        if (sum <= 0) {
            sum = 0;
            from = i;
        }
        sum += s->still[pairs[i].a * s->b->n + pairs[i].b] - PASSAGE_FROM;
        if (sum > best) {
            best = sum;
            first = from;
            end = i + 1;
        }
    }
    float still = 0;
    for (int i = first; i < end; i++) {
        still += s->still[pairs[i].a * s->b->n + pairs[i].b];
        pairs[i - first] = pairs[i];
    }
    *ret_still = end > first ? still / (float)(end - first) : 0;
    return end - first;
}

/* The pairs of a line that count. */
static int choose_pairs(const search *s, double speed, double offset_s, vx_motion_pair *ret_pairs,
                        float *ret_still) {
    int n = pairs_along(s, speed, offset_s, ret_pairs, ret_still);
    return s->passage ? keep_passage(s, ret_pairs, n, ret_still) : n;
}

static void keep_if_good(search *s, line found) {
    int at = s->n_best < BEST_LINES ? s->n_best++ : BEST_LINES;
    while (at > 0 && s->best[at - 1].agreement < found.agreement) {
        if (at < BEST_LINES)
            s->best[at] = s->best[at - 1];
        at--;
    }
    if (at < BEST_LINES)
        s->best[at] = found;
}

static void try_lines(search *s, double speed) {
    vx_motion_pair pairs[VX_MOTION_MAX];
    const vx_footage *a = s->a, *b = s->b;
    double step_s = fmin(STEP_S, step_of(b) / 2),
           ends[2] = {speed * a->time_s[0], speed * a->time_s[a->n - 1]};
    double from_s = b->time_s[0] - fmax(ends[0], ends[1]),
           to_s = b->time_s[b->n - 1] - fmin(ends[0], ends[1]);
    step_s = fmax(step_s, (to_s - from_s) / 2048);
    /* On whole steps, so that zero is among them. */
    for (double o = ceil(from_s / step_s); o <= floor(to_s / step_s) && step_s > 0; o++) {
        vx_motion m = {0};
        float still;
        int n = choose_pairs(s, speed, o * step_s, pairs, &still);
        if (n < s->min_pairs)
            continue;
        measure(&s->small_a, &s->small_b, pairs, n, s->small_mask, &s->s, &m);
        if (m.n_pairs)
            keep_if_good(s, (line){speed, o * step_s, vx_motion_agreement(&m)});
    }
}

int vx_motion_compare(const vx_footage *a, const vx_footage *b, const vx_motion_params *params,
                      vx_motion *ret_motion, vx_err *err) {
    static const double as_it_is[] = {1};
    const double *speeds = params->speeds ? params->speeds : as_it_is;
    vx_motion_pair pairs[VX_MOTION_MAX];
    search s;
    *ret_motion = (vx_motion){0};
    if (!a->n || !b->n || a->w_px < REDUCTION || a->h_px < REDUCTION)
        return 0;
    int rc = search_init(&s, a, b, params, err);
    for (int i = 0; i < (params->speeds ? params->n_speeds : 1) && !rc; i++)
        try_lines(&s, speeds[i]);
    for (int i = 0; i < s.n_best && !rc; i++) {
        vx_motion m;
        float still;
        int n = choose_pairs(&s, s.best[i].speed, s.best[i].offset_s, pairs, &still);
        rc = vx_motion_along(a, b, pairs, n, params->mask, &m, err);
        if (rc || vx_motion_agreement(&m) <= vx_motion_agreement(ret_motion))
            continue;
        *ret_motion = m;
        ret_motion->still = still;
        ret_motion->speed = s.best[i].speed;
        ret_motion->offset_s = s.best[i].offset_s;
        ret_motion->first_s = a->time_s[pairs[0].a];
        ret_motion->last_s = a->time_s[pairs[n - 1].a];
    }
    search_clear(&s);
    return rc;
}
