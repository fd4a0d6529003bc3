/* tone_pixel.h — one HDR pixel as an SDR one, by the tables of tone.h: what kernels and the CPU share.
 * Read by a C and a CUDA C++ compiler, so plain data and floats that are not fused (both give the same
 * bits). Threads: any.
 */
#pragma once

#include <math.h>
#include <stdint.h>

#ifdef __CUDACC__
#define VX_BOTH __host__ __device__ static inline
#else
#define VX_BOTH static inline
#endif

enum {
    VX_TONE_CODES = 1 << 16,
    VX_TONE_GAMMA = 4096,  /* of the output's table, over the square root of light */
    VX_TONE_SYSTEM = 4096, /* of HLG's system gamma, over the square root of scene luminance */
};

/* Tables without addresses, so that a copy on a card serves kernels. */
typedef struct vx_tone {
    int is_hlg; /* else PQ */
    double peak_nits;
    float light[VX_TONE_CODES]; /* code → light, 1 = SDR white; HLG: scene light 0..1 */
    float scale[VX_TONE_CODES]; /* code of the largest component → factor (PQ) */
    float system_gamma
        [VX_TONE_SYSTEM]; /* HLG: scene luminance → nits per scene light, 1 = SDR white */
    float compressed[VX_TONE_SYSTEM]; /* HLG: largest light / peak, square root → factor */
    float full;                       /* HLG: peak, 1 = SDR white */
    uint8_t gamma[VX_TONE_GAMMA];     /* light 0..1 → byte */
} vx_tone;

/* a x + b y + c z, each product rounded before it is added. */
VX_BOTH float vx_tone_sum(float a, float x, float b, float y, float c, float z) {
#ifdef __CUDA_ARCH__
    return __fadd_rn(__fadd_rn(__fmul_rn(a, x), __fmul_rn(b, y)), __fmul_rn(c, z));
#else
    return a * x + b * y + c * z;
#endif
}

VX_BOTH int vx_tone_root(float value, int n) {
    float root = sqrtf(value < 0 ? 0 : value > 1 ? 1 : value), most = (float)(n - 1);
    return (int)vx_tone_sum(root, most, 0.5f, 1, 0, 0);
}

/* Light of BT.2020 primaries, 1 = SDR white, to a byte of each BT.709 primary (BT.2087). */
VX_BOTH void vx_tone_encode(const vx_tone *t, float r, float g, float b, int out[3]) {
    out[0] =
        t->gamma[vx_tone_root(vx_tone_sum(1.6605f, r, -0.5876f, g, -0.0728f, b), VX_TONE_GAMMA)];
    out[1] =
        t->gamma[vx_tone_root(vx_tone_sum(-0.1246f, r, 1.1329f, g, -0.0083f, b), VX_TONE_GAMMA)];
    out[2] =
        t->gamma[vx_tone_root(vx_tone_sum(-0.0182f, r, -0.1006f, g, 1.1187f, b), VX_TONE_GAMMA)];
}

/* Full-range RGB codes of 16 bits to full-range bytes. */
VX_BOTH void vx_tone_pixel(const vx_tone *t, int r, int g, int b, int out[3]) {
    int most = r > g ? r : g;
    most = most > b ? most : b;
    if (!t->is_hlg) {
        float scale = t->scale[most];
        vx_tone_encode(t, t->light[r] * scale, t->light[g] * scale, t->light[b] * scale, out);
        return;
    }
    float red = t->light[r], green = t->light[g], blue = t->light[b];
    float luminance = vx_tone_sum(0.2627f, red, 0.6780f, green, 0.0593f, blue);
    float gain = t->system_gamma[vx_tone_root(luminance, VX_TONE_SYSTEM)];
    float largest = t->light[most] * gain; /* light grows with the code */
    float scale = t->compressed[vx_tone_root(largest / t->full, VX_TONE_SYSTEM)];
    vx_tone_encode(t, red * gain * scale, green * gain * scale, blue * gain * scale, out);
}
