#include "codes.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"

#define CODE_MAX 127
/* Rows and queries that are longer get no codes: their float32 scores could overflow. */
#define LENGTH_MAX 1e15
/* Rounding of what float32 holds of the bound: a few units of 2^-24 each. */
#define ROUND_UP (1 + 0x1p-20)
#define MAX_DIM 8192

int vx_codes_init(vx_row_codes *codes, const vx_dots_kernel *kernel, size_t dim, size_t capacity) {
    size_t n_tiles = (capacity + VX_TILE_ROWS - 1) / VX_TILE_ROWS;
    size_t tile_bytes = vx_codes_groups(dim) * VX_TILE_ROWS * 4, bytes;
    *codes = (vx_row_codes){
        .kernel = kernel, .dim = dim, .groups = vx_codes_groups(dim), .n_tiles = n_tiles};
    codes->scales = vx_new_array(n_tiles, VX_TILE_ROWS * sizeof(float));
    codes->errors = vx_new_array(n_tiles, VX_TILE_ROWS * sizeof(float));
    if (vx_mul(n_tiles, tile_bytes, &bytes) && vx_add(bytes, 64, &bytes))
        codes->memory = vx_new_array(bytes, 1);
    if (!codes->scales || !codes->errors || !codes->memory) {
        vx_codes_done(codes);
        return -ENOMEM;
    }
    codes->tiles = (uint8_t *)(((uintptr_t)codes->memory + 63) & ~(uintptr_t)63);
    return 0;
}

void vx_codes_done(vx_row_codes *codes) {
    free(codes->memory);
    free(codes->scales);
    free(codes->errors);
    *codes = (vx_row_codes){0};
}

/* ---- encoding ---- */

/* What a vector's codes stand for: scale · code. error and length are rounded up. */
typedef struct coding {
    float scale, error, length;
    int32_t sum; /* of the codes */
} coding;

static float round_up(double x) {
    return (float)(x * ROUND_UP);
}

/* What float32 can add to a sum of up to MAX_DIM squares, and take from it, in whatever order; and, of the
 * vector's numbers in units of the scale, two roundings each. */
#define SUM_UP (1 + 0x1p-10)
#define UNIT_OFF 0x1p-22

/* The codes of one vector (int8 [dim]), of that scale at least. The sums are float32 and integers, as many of which fit
 * in a register as do numbers. */
static inline __attribute__((always_inline)) coding encode_body(const float *vector, size_t dim,
                                                                float least_scale, int8_t *codes) {
    float square = 0, lost = 0, greatest = 0;
    int32_t coded = 0, sum = 0;
#pragma omp simd reduction(+ : square) reduction(max : greatest)
    for (size_t i = 0; i < dim; i++) {
        square += vector[i] * vector[i];
        greatest = fabsf(vector[i]) > greatest ? fabsf(vector[i]) : greatest;
    }
    float scale = fmaxf(greatest / CODE_MAX, least_scale);
    if (!(square < LENGTH_MAX * LENGTH_MAX) || !(scale >= FLT_MIN)) {
        memset(codes, 0, dim);
        bool tiny = square < LENGTH_MAX * LENGTH_MAX; /* false for NaN */
        return (coding){.error = tiny ? round_up((double)greatest * sqrt((double)dim)) : INFINITY};
    }
    float per_unit = 1 / scale;
#pragma omp simd reduction(+ : lost, coded, sum)
    for (size_t i = 0; i < dim; i++) {
        float at = vector[i] * per_unit;
        int32_t code = (int32_t)(at + (at < 0 ? -0.5f : 0.5f));
        code = code > CODE_MAX ? CODE_MAX : code < -CODE_MAX ? -CODE_MAX : code;
        codes[i] = (int8_t)code;
        float gap = at - (float)code;
        lost += gap * gap;
        coded += code * code;
        sum += code;
    }
    double length = sqrt((double)coded), gap = sqrt((double)lost) * SUM_UP;
    return (coding){.scale = scale,
                    .error = round_up((double)scale * (gap + UNIT_OFF * (length + gap))),
                    .length = round_up((double)scale * length),
                    .sum = sum};
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static coding encode_avx2(const float *vector, size_t dim,
                                                          float least_scale, int8_t *codes) {
    return encode_body(vector, dim, least_scale, codes);
}
#endif

static coding encode(const float *vector, size_t dim, float least_scale, int8_t *codes) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return encode_avx2(vector, dim, least_scale, codes);
#endif
    return encode_body(vector, dim, least_scale, codes);
}

void vx_codes_put(vx_row_codes *codes, size_t row, const float *vectors, size_t n) {
    union {
        int8_t codes[MAX_DIM + 4];
        uint32_t fours[MAX_DIM / 4 + 1];
    } one;
    memset(one.codes + codes->dim, 0, 4);
    for (size_t i = 0; i < n; i++, row++, vectors += codes->dim) {
        coding c = encode(vectors, codes->dim, 0, one.codes);
        codes->scales[row] = c.scale;
        codes->errors[row] = c.error;
        if (isfinite(c.error) && c.length + c.error > codes->max_length)
            codes->max_length = c.length + c.error;
        uint8_t *tile = codes->tiles + row / VX_TILE_ROWS * codes->groups * VX_TILE_ROWS * 4;
        uint8_t *place = tile + row % VX_TILE_ROWS * 4;
        for (size_t g = 0; g < codes->groups; g++) {
            uint32_t biased = one.fours[g] ^ 0x80808080u; /* + 128 in each byte */
            memcpy(place + g * VX_TILE_ROWS * 4, &biased, sizeof biased);
        }
    }
}

/* ---- queries ---- */

/* With it the sizes of two codes, both rounded up, add up to pair_max at most. To allow each code half of that instead
 * would lose half as much again. */
static float scale_for_pairs(const float *vector, size_t dim, int pair_max) {
    float greatest = 0;
    for (size_t i = 0; i + 1 < dim; i += 2) {
        float pair = fabsf(vector[i]) + fabsf(vector[i + 1]);
        greatest = pair > greatest ? pair : greatest;
    }
    return pair_max < VX_ANY_PAIR ? greatest / (float)(pair_max - 1) : 0;
}

void vx_codes_query_init(vx_codes_query *query, const float *vector, size_t dim, int pair_max,
                         int8_t *codes) {
    coding c = encode(vector, dim, scale_for_pairs(vector, dim, pair_max), codes);
    memset(codes + dim, 0, 4 * vx_codes_groups(dim) - dim);
    *query = (vx_codes_query){.codes = codes,
                              .offset = 128 * c.sum,
                              .scale = c.scale,
                              .length = c.length,
                              .error = c.error};
}

float vx_codes_width(float max_length, const vx_codes_query *query) {
    float any_row = query->error * max_length;
    /* No score is greater than this product; each side of the bound may be rounded up. */
    return any_row + 0x1p-19f * (query->length + query->error) * max_length;
}

vx_dots_bar vx_codes_bar(const vx_row_codes *codes, const vx_codes_query *query, float score) {
    float any_row = query->error * codes->max_length;
    /* For the float32 roundings of reach(), and for that of the score itself. */
    float slack = 0x1p-20f * ((query->length + query->error) * codes->max_length + fabsf(score));
    return (vx_dots_bar){.offset = query->offset,
                         .scale = query->scale,
                         .norm = query->length,
                         .at_least = score - any_row - slack};
}
