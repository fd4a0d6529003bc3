/* tone.c — see the header. Every curve is a table, made once for a stream. */
#include "tone.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum {
    N_CODES = 1 << 16,
    N_GAMMA = 4096,  /* of the output's table, over the square root of light */
    N_SYSTEM = 4096, /* of HLG's system gamma, over the square root of scene luminance */
};
static const double SDR_WHITE_NITS = 203, DEFAULT_PEAK_NITS = 1000, HLG_PEAK_NITS = 1000;

struct vx_tone {
    int transfer;
    double peak_nits;
    float light[N_CODES];         /* code → light, 1 = SDR white; HLG: scene light 0..1 */
    float scale[N_CODES];         /* code of the largest component → factor (PQ) */
    float system_gamma[N_SYSTEM]; /* HLG: scene luminance → nits per scene light, 1 = SDR white */
    float compressed[N_SYSTEM];   /* HLG: largest light / peak, square root → factor */
    uint8_t gamma[N_GAMMA];       /* light 0..1 → byte */
};

vx_media_hdr vx_tone_hdr_of(int transfer) {
    return transfer == VX_TRANSFER_PQ    ? VX_MEDIA_PQ
           : transfer == VX_TRANSFER_HLG ? VX_MEDIA_HLG
                                         : VX_MEDIA_SDR;
}

const char *vx_media_hdr_name(vx_media_hdr hdr) {
    return hdr == VX_MEDIA_PQ ? "pq" : hdr == VX_MEDIA_HLG ? "hlg" : "sdr";
}

vx_tone *vx_tone_free(vx_tone *tone) {
    free(tone);
    return NULL;
}

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

static void fill_pq(vx_tone *tone) {
    for (int i = 0; i < N_CODES; i++) {
        double nits = pq_to_nits((double)i / (N_CODES - 1));
        tone->light[i] = (float)(nits / SDR_WHITE_NITS);
        tone->scale[i] = nits > 0 ? (float)(compress(nits, tone->peak_nits) / nits) : 1;
    }
}

static void fill_hlg(vx_tone *tone) {
    for (int i = 0; i < N_CODES; i++)
        tone->light[i] = (float)hlg_to_scene((double)i / (N_CODES - 1));
    for (int i = 0; i < N_SYSTEM; i++) {
        double x = (double)i / (N_SYSTEM - 1), value = x * x, nits = value * HLG_PEAK_NITS;
        tone->system_gamma[i] = (float)(HLG_PEAK_NITS / SDR_WHITE_NITS * pow(value, 0.2));
        tone->compressed[i] = nits > 0 ? (float)(compress(nits, HLG_PEAK_NITS) / nits) : 1;
    }
}

int vx_tone_prepare(vx_tone **slot, const vx_frame *frame, vx_err *err) {
    double peak_nits = peak_of(frame);
    if (*slot && (*slot)->transfer == frame->transfer && (*slot)->peak_nits == peak_nits)
        return 0;
    if (!*slot && !(*slot = vx_new(vx_tone)))
        return VX_FAIL(err, -ENOMEM, "no memory for the tables of HDR");
    vx_tone *tone = *slot;
    tone->transfer = frame->transfer;
    tone->peak_nits = peak_nits;
    if (tone->transfer == VX_TRANSFER_PQ)
        fill_pq(tone);
    else
        fill_hlg(tone);
    for (int i = 0; i < N_GAMMA; i++)
        tone->gamma[i] = (uint8_t)lrint(255 * pow((double)i / (N_GAMMA - 1), 2 / 2.4));
    return 0;
}

/* ---- pixels ---- */

static int root_index(float value, int n) {
    float root = sqrtf(value < 0 ? 0 : value > 1 ? 1 : value);
    return (int)(root * (float)(n - 1) + 0.5f);
}

/* Light of BT.2020 primaries, 1 = SDR white, to a byte of each BT.709 primary (BT.2087). */
static void encode(const vx_tone *tone, const float light[3], uint8_t out[3]) {
    static const float M[3][3] = {{1.6605f, -0.5876f, -0.0728f},
                                  {-0.1246f, 1.1329f, -0.0083f},
                                  {-0.0182f, -0.1006f, 1.1187f}};
    for (int c = 0; c < 3; c++) {
        float value = M[c][0] * light[0] + M[c][1] * light[1] + M[c][2] * light[2];
        out[c] = tone->gamma[root_index(value, N_GAMMA)];
    }
}

static void pq_pixel(const vx_tone *tone, const uint16_t in[3], uint8_t out[3]) {
    uint16_t most = in[0] > in[1] ? in[0] : in[1];
    float scale = tone->scale[most > in[2] ? most : in[2]];
    const float light[3] = {tone->light[in[0]] * scale, tone->light[in[1]] * scale,
                            tone->light[in[2]] * scale};
    encode(tone, light, out);
}

static void hlg_pixel(const vx_tone *tone, const uint16_t in[3], uint8_t out[3]) {
    const float full = (float)(HLG_PEAK_NITS / SDR_WHITE_NITS);
    float light[3] = {tone->light[in[0]], tone->light[in[1]], tone->light[in[2]]};
    float luminance = 0.2627f * light[0] + 0.6780f * light[1] + 0.0593f * light[2];
    float gain = tone->system_gamma[root_index(luminance, N_SYSTEM)], most = 0;
    for (int c = 0; c < 3; c++) {
        light[c] *= gain;
        most = light[c] > most ? light[c] : most;
    }
    float scale = tone->compressed[root_index(most / full, N_SYSTEM)];
    for (int c = 0; c < 3; c++)
        light[c] *= scale;
    encode(tone, light, out);
}

void vx_tone_row(const vx_tone *tone, const uint16_t *in, int n, uint8_t *out) {
    for (int x = 0; x < n; x++)
        if (tone->transfer == VX_TRANSFER_PQ)
            pq_pixel(tone, in + 3 * x, out + 3 * x);
        else
            hlg_pixel(tone, in + 3 * x, out + 3 * x);
}
