/* tone.c — see the header. Every curve is a table, made once for a kind of picture. */
#include "tone.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/thread.h"

enum { N_KEPT = 8 };
static const double SDR_WHITE_NITS = 203, DEFAULT_PEAK_NITS = 1000, HLG_PEAK_NITS = 1000;

/* A table and who uses it; `tone` is the first member. */
typedef struct shared {
    vx_tone tone;
    int n_users VX_GUARDED; /* the list below is one */
} shared;

static vx_mutex lock = {PTHREAD_MUTEX_INITIALIZER};
static shared *kept[N_KEPT] VX_GUARDED;
static int next_kept VX_GUARDED; /* the oldest */

/* ---- the curves ---- */

/* ST 2084: code 0..1 to nits, and back. */
static double pq_to_nits(double code) {
    const double m1 = 2610.0 / 16384, m2 = 2523.0 / 4096 * 128;
    const double c1 = 3424.0 / 4096, c2 = 2413.0 / 4096 * 32, c3 = 2392.0 / 4096 * 32;
    double p = pow(code, 1 / m2);
    return 10000 * pow(fmax(p - c1, 0) / (c2 - c3 * p), 1 / m1);
}

static double nits_to_pq(double nits) {
    const double m1 = 2610.0 / 16384, m2 = 2523.0 / 4096 * 128;
    const double c1 = 3424.0 / 4096, c2 = 2413.0 / 4096 * 32, c3 = 2392.0 / 4096 * 32;
    double y = pow(fmax(nits, 0) / 10000, m1);
    return pow((c1 + c2 * y) / (1 + c3 * y), m2);
}

/* BT.2100 HLG: the inverse OETF, code 0..1 to scene light 0..1. */
static double hlg_to_scene(double code) {
    const double a = 0.17883277, b = 1 - 4 * a, c = 0.5 - a * log(4 * a);
    return code <= 0.5 ? code * code / 3 : (exp((code - c) / a) + b) / 12;
}

/* BT.2390's EETF: light of a display with this peak on one whose peak is SDR white. Below the knee
 * nothing changes; above it a Hermite spline ends at the peak with the slope 0. Black stays. */
static double compress(double nits, double peak_nits) {
    if (peak_nits <= SDR_WHITE_NITS)
        return nits;
    double peak = nits_to_pq(peak_nits), e = fmin(nits_to_pq(nits) / peak, 1);
    double most = nits_to_pq(SDR_WHITE_NITS) / peak, knee = 1.5 * most - 0.5;
    if (e <= knee)
        return nits;
    double t = (e - knee) / (1 - knee), t2 = t * t, t3 = t2 * t;
    double spline =
        (2 * t3 - 3 * t2 + 1) * knee + (t3 - 2 * t2 + t) * (1 - knee) + (-2 * t3 + 3 * t2) * most;
    return pq_to_nits(spline * peak);
}

/* ---- tables ---- */

static double peak_of(const vx_frame *frame) {
    if (frame->transfer != VX_TRANSFER_PQ)
        return HLG_PEAK_NITS;
    return frame->peak_nits > 0 ? frame->peak_nits : DEFAULT_PEAK_NITS;
}

bool vx_tone_fits(const vx_tone *tone, const vx_frame *frame) {
    return tone->is_hlg == (frame->transfer == VX_TRANSFER_HLG) &&
           tone->peak_nits == peak_of(frame);
}

static void fill_pq(vx_tone *tone) {
    for (int i = 0; i < VX_TONE_CODES; i++) {
        double nits = pq_to_nits((double)i / (VX_TONE_CODES - 1));
        tone->light[i] = (float)(nits / SDR_WHITE_NITS);
        tone->scale[i] = nits > 0 ? (float)(compress(nits, tone->peak_nits) / nits) : 1;
    }
}

static void fill_hlg(vx_tone *tone) {
    tone->full = (float)(HLG_PEAK_NITS / SDR_WHITE_NITS);
    for (int i = 0; i < VX_TONE_CODES; i++)
        tone->light[i] = (float)hlg_to_scene((double)i / (VX_TONE_CODES - 1));
    for (int i = 0; i < VX_TONE_SYSTEM; i++) {
        double x = (double)i / (VX_TONE_SYSTEM - 1), value = x * x, nits = value * HLG_PEAK_NITS;
        tone->system_gamma[i] = (float)(HLG_PEAK_NITS / SDR_WHITE_NITS * pow(value, 0.2));
        tone->compressed[i] = nits > 0 ? (float)(compress(nits, HLG_PEAK_NITS) / nits) : 1;
    }
}

static shared *make(const vx_frame *frame) {
    shared *s = vx_new(shared);
    if (!s)
        return NULL;
    s->tone.is_hlg = frame->transfer == VX_TRANSFER_HLG;
    s->tone.peak_nits = peak_of(frame);
    if (s->tone.is_hlg)
        fill_hlg(&s->tone);
    else
        fill_pq(&s->tone);
    for (int i = 0; i < VX_TONE_GAMMA; i++)
        s->tone.gamma[i] = (uint8_t)lrint(255 * pow((double)i / (VX_TONE_GAMMA - 1), 2 / 2.4));
    return s;
}

static void unref_locked(shared *s) VX_REQUIRES(lock) {
    if (s && --s->n_users == 0)
        free(s);
}

/* A table takes 20 ms, in which others wait: they mostly want the same. */
int vx_tone_get(const vx_frame *frame, const vx_tone **ret_tone, vx_err *err) {
    shared *found = NULL;
    vx_mutex_lock(&lock);
    for (int i = 0; i < N_KEPT && !found; i++)
        found = kept[i] && vx_tone_fits(&kept[i]->tone, frame) ? kept[i] : NULL;
    if (!found && (found = make(frame))) {
        found->n_users = 1;
        unref_locked(kept[next_kept]);
        kept[next_kept] = found;
        next_kept = (next_kept + 1) % N_KEPT;
    }
    if (found)
        found->n_users++;
    vx_mutex_unlock(&lock);
    if (!found)
        return VX_FAIL(err, -ENOMEM, "no memory for the tables of HDR");
    *ret_tone = &found->tone;
    return 0;
}

const vx_tone *vx_tone_unref(const vx_tone *tone) {
    vx_mutex_lock(&lock);
    unref_locked((shared *)(uintptr_t)tone);
    vx_mutex_unlock(&lock);
    return NULL;
}

void vx_tone_row(const vx_tone *tone, const uint16_t *in, int n, uint8_t *out) {
    for (int x = 0; x < n; x++) {
        int rgb[3];
        vx_tone_pixel(tone, in[3 * x], in[3 * x + 1], in[3 * x + 2], rgb);
        for (int c = 0; c < 3; c++)
            out[3 * x + c] = (uint8_t)rgb[c];
    }
}
