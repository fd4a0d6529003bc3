#include "dots.h"

#include <string.h>

/* ---- plain C ---- */

static void tile_plain(const uint8_t *tile, size_t groups, const int8_t *queries, size_t n,
                       int32_t *ret) {
    for (size_t q = 0; q < n; q++, queries += 4 * groups, ret += VX_TILE_ROWS) {
        memset(ret, 0, VX_TILE_ROWS * sizeof *ret);
        for (size_t g = 0; g < groups; g++) {
            const uint8_t *codes = tile + g * VX_TILE_ROWS * 4;
            const int8_t *query = queries + 4 * g;
            for (size_t row = 0; row < VX_TILE_ROWS; row++)
                for (size_t i = 0; i < 4; i++)
                    ret[row] += codes[4 * row + i] * query[i];
        }
    }
}

static uint64_t reach_plain(const int32_t *dots, const float *scales, const float *errors,
                            const vx_dots_bar *bar) {
    uint64_t reach = 0;
    for (size_t i = 0; i < VX_TILE_ROWS; i++)
        reach |= (uint64_t)vx_dots_reaches(dots[i], scales[i], errors[i], bar) << i;
    return reach;
}

static const vx_dots_kernel plain = {"plain", VX_ANY_PAIR, tile_plain, reach_plain};

#if defined(__x86_64__)
#include <immintrin.h>

/* Loops over these few constants must disappear, or the sums live in memory. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

static inline int32_t four_codes(const int8_t *query) {
    int32_t four;
    memcpy(&four, query, sizeof four);
    return four;
}

/* ---- AVX2 ---- */

/* The instruction for 8-bit products (maddubs) adds two of them in 16 bits: 255 · 128 fits in. */
#define AVX2_PAIR_MAX 128
/* Of several queries each goes through so much of a tile in turn: 8 KiB, which stay in the first cache. */
#define AVX2_GROUPS_AT_ONCE 32

/* The products of some groups.
 *   n_rows  in vectors of 8: so many registers are there that a tile goes through at once for one query, which
 *           reads memory in order; for two, half of it
 *   codes   of the queries, each groups · 4 after the one before
 *   ret     is added to, unless is_first */
__attribute__((target("avx2"), always_inline)) static inline void
rows_avx2(const uint8_t *rows, size_t n_rows, size_t n_groups, const int8_t *codes, size_t groups,
          size_t n, bool is_first, int32_t *ret) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sums[2][8] = {0};
    if (!is_first) {
        UNROLL for (size_t q = 0; q < n; q++) {
            UNROLL for (size_t r = 0; r < n_rows; r++) sums[q][r] =
                _mm256_loadu_si256((const __m256i *)(ret + q * VX_TILE_ROWS) + r);
        }
    }
    for (size_t g = 0; g < n_groups; g++) {
        __m256i four[2];
        UNROLL for (size_t q = 0; q < n; q++) four[q] =
            _mm256_set1_epi32(four_codes(codes + 4 * (q * groups + g)));
        UNROLL for (size_t r = 0; r < n_rows; r++) {
            __m256i row = _mm256_load_si256((const __m256i *)(rows + g * 256) + r);
            UNROLL for (size_t q = 0; q < n; q++) {
                __m256i pairs = _mm256_maddubs_epi16(row, four[q]);
                sums[q][r] = _mm256_add_epi32(sums[q][r], _mm256_madd_epi16(pairs, ones));
            }
        }
    }
    UNROLL for (size_t q = 0; q < n; q++) {
        UNROLL for (size_t r = 0; r < n_rows; r++)
            _mm256_storeu_si256((__m256i *)(ret + q * VX_TILE_ROWS) + r, sums[q][r]);
    }
}

__attribute__((target("avx2"))) static void
tile_avx2(const uint8_t *tile, size_t groups, const int8_t *queries, size_t n, int32_t *ret) {
    size_t at_once = n > 1 ? AVX2_GROUPS_AT_ONCE : groups;
    for (size_t g = 0; g < groups; g += at_once) {
        size_t n_groups = groups - g < at_once ? groups - g : at_once, q = 0;
        const uint8_t *rows = tile + g * 256;
        for (; q + 2 <= n; q += 2) {
            const int8_t *codes = queries + 4 * (q * groups + g);
            int32_t *dots = ret + q * VX_TILE_ROWS;
            rows_avx2(rows, 4, n_groups, codes, groups, 2, !g, dots);
            rows_avx2(rows + 128, 4, n_groups, codes, groups, 2, !g, dots + 32);
        }
        if (q < n)
            rows_avx2(rows, 8, n_groups, queries + 4 * (q * groups + g), groups, 1, !g,
                      ret + q * VX_TILE_ROWS);
    }
}

__attribute__((target("avx2"))) static uint64_t
reach_avx2(const int32_t *dots, const float *scales, const float *errors, const vx_dots_bar *bar) {
    __m256i offset = _mm256_set1_epi32(bar->offset);
    __m256 scale = _mm256_set1_ps(bar->scale), norm = _mm256_set1_ps(bar->norm);
    __m256 at_least = _mm256_set1_ps(bar->at_least);
    uint64_t reach = 0;
    for (size_t i = 0; i < VX_TILE_ROWS; i += 8) {
        __m256i dot = _mm256_sub_epi32(_mm256_loadu_si256((const __m256i *)(dots + i)), offset);
        __m256 score = _mm256_mul_ps(_mm256_cvtepi32_ps(dot), _mm256_loadu_ps(scales + i));
        score = _mm256_mul_ps(score, scale);
        score = _mm256_add_ps(score, _mm256_mul_ps(_mm256_loadu_ps(errors + i), norm));
        __m256 reaches = _mm256_cmp_ps(score, at_least, _CMP_NLT_UQ);
        reach |= (uint64_t)(unsigned)_mm256_movemask_ps(reaches) << i;
    }
    return reach;
}

static const vx_dots_kernel avx2 = {"avx2", AVX2_PAIR_MAX, tile_avx2, reach_avx2};

/* ---- AVX-512 with VNNI ---- */

#define TARGET_VNNI target("avx512f,avx512bw,avx512vnni")

__attribute__((TARGET_VNNI, always_inline)) static inline void
queries_vnni(const uint8_t *tile, size_t groups, const int8_t *queries, size_t n, int32_t *ret) {
    __m512i sums[4][4];
    UNROLL for (size_t q = 0; q < n; q++) {
        UNROLL for (size_t r = 0; r < 4; r++) sums[q][r] = _mm512_setzero_si512();
    }
    for (size_t g = 0; g < groups; g++) {
        __m512i codes[4];
        UNROLL for (size_t r = 0; r < 4; r++) codes[r] = _mm512_load_si512(tile + g * 256 + r * 64);
        UNROLL for (size_t q = 0; q < n; q++) {
            __m512i four = _mm512_set1_epi32(four_codes(queries + 4 * (q * groups + g)));
            UNROLL for (size_t r = 0; r < 4; r++) sums[q][r] =
                _mm512_dpbusd_epi32(sums[q][r], codes[r], four);
        }
    }
    UNROLL for (size_t q = 0; q < n; q++) {
        UNROLL for (size_t r = 0; r < 4; r++)
            _mm512_storeu_si512(ret + q * VX_TILE_ROWS + r * 16, sums[q][r]);
    }
}

__attribute__((TARGET_VNNI)) static void tile_vnni(const uint8_t *tile, size_t groups,
                                                   const int8_t *queries, size_t n, int32_t *ret) {
    size_t q = 0;
    for (; q + 4 <= n; q += 4)
        queries_vnni(tile, groups, queries + q * 4 * groups, 4, ret + q * VX_TILE_ROWS);
    for (; q < n; q++)
        queries_vnni(tile, groups, queries + q * 4 * groups, 1, ret + q * VX_TILE_ROWS);
}

__attribute__((TARGET_VNNI)) static uint64_t reach_avx512(const int32_t *dots, const float *scales,
                                                          const float *errors,
                                                          const vx_dots_bar *bar) {
    __m512i offset = _mm512_set1_epi32(bar->offset);
    __m512 scale = _mm512_set1_ps(bar->scale), norm = _mm512_set1_ps(bar->norm);
    __m512 at_least = _mm512_set1_ps(bar->at_least);
    uint64_t reach = 0;
    UNROLL for (size_t i = 0; i < VX_TILE_ROWS; i += 16) {
        __m512i dot = _mm512_sub_epi32(_mm512_loadu_si512(dots + i), offset);
        __m512 score = _mm512_mul_ps(_mm512_cvtepi32_ps(dot), _mm512_loadu_ps(scales + i));
        score = _mm512_mul_ps(score, scale);
        /* Not fused: the other kernels round twice. */
        __m512 error = _mm512_mul_round_ps(_mm512_loadu_ps(errors + i), norm,
                                           _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        score = _mm512_add_round_ps(score, error, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        reach |= (uint64_t)_mm512_cmp_ps_mask(score, at_least, _CMP_NLT_UQ) << i;
    }
    return reach;
}

static const vx_dots_kernel vnni = {"avx512-vnni", VX_ANY_PAIR, tile_vnni, reach_avx512};
#endif

#if defined(__aarch64__) && defined(__linux__)
#include <arm_neon.h>
#include <sys/auxv.h>

/* ---- NEON with the dot product instructions of ARMv8.2 ---- */

#define TARGET_DOT target("arch=armv8.2-a+dotprod")
enum { NEON_ROWS = 16 }; /* at once: their sums with two queries stay in registers */

/* The instruction takes signed codes, 128 less than the tile's; so the sums begin with 128 times the query. */
__attribute__((TARGET_DOT)) static int32_t offset_neon(const int8_t *query, size_t groups) {
    int32_t sum = 0;
    for (size_t i = 0; i < 4 * groups; i++)
        sum += query[i];
    return 128 * sum;
}

__attribute__((TARGET_DOT, always_inline)) static inline void
rows_neon(const uint8_t *rows, size_t groups, const int8_t *queries, size_t n,
          const int32_t *offsets, int32_t *ret) {
    int32x4_t sums[2][NEON_ROWS / 4];
    for (size_t q = 0; q < n; q++)
        for (size_t r = 0; r < NEON_ROWS / 4; r++)
            sums[q][r] = vdupq_n_s32(offsets[q]);
    for (size_t g = 0; g < groups; g++) {
        int8x16_t codes[NEON_ROWS / 4];
        for (size_t r = 0; r < NEON_ROWS / 4; r++)
            codes[r] = vreinterpretq_s8_u8(
                veorq_u8(vld1q_u8(rows + g * VX_TILE_ROWS * 4 + r * 16), vdupq_n_u8(0x80)));
        for (size_t q = 0; q < n; q++) {
            int32_t four;
            memcpy(&four, queries + 4 * (q * groups + g), sizeof four);
            int8x16_t query = vreinterpretq_s8_s32(vdupq_n_s32(four));
            for (size_t r = 0; r < NEON_ROWS / 4; r++)
                sums[q][r] = vdotq_s32(sums[q][r], codes[r], query);
        }
    }
    for (size_t q = 0; q < n; q++)
        for (size_t r = 0; r < NEON_ROWS / 4; r++)
            vst1q_s32(ret + q * VX_TILE_ROWS + 4 * r, sums[q][r]);
}

__attribute__((TARGET_DOT)) static void tile_neon(const uint8_t *tile, size_t groups,
                                                  const int8_t *queries, size_t n, int32_t *ret) {
    for (size_t q = 0, now; q < n; q += now) {
        now = n - q < 2 ? 1 : 2;
        const int8_t *query = queries + q * 4 * groups;
        int32_t offsets[2] = {offset_neon(query, groups),
                              now == 2 ? offset_neon(query + 4 * groups, groups) : 0};
        for (size_t row = 0; row < VX_TILE_ROWS; row += NEON_ROWS) {
            int32_t *dots = ret + q * VX_TILE_ROWS + row;
            if (now == 2)
                rows_neon(tile + 4 * row, groups, query, 2, offsets, dots);
            else
                rows_neon(tile + 4 * row, groups, query, 1, offsets, dots);
        }
    }
}

static uint64_t reach_neon(const int32_t *dots, const float *scales, const float *errors,
                           const vx_dots_bar *bar) {
    const uint32x4_t bits = {1, 2, 4, 8};
    uint64_t reach = 0;
    for (size_t i = 0; i < VX_TILE_ROWS; i += 4) {
        int32x4_t dot = vsubq_s32(vld1q_s32(dots + i), vdupq_n_s32(bar->offset));
        float32x4_t score = vmulq_f32(vcvtq_f32_s32(dot), vld1q_f32(scales + i));
        score = vmulq_n_f32(score, bar->scale);
        float32x4_t lost = vmulq_n_f32(vld1q_f32(errors + i), bar->norm);
        __asm__("" : "+w"(score), "+w"(lost)); /* not fused: the other kernels round twice */
        uint32x4_t below = vcltq_f32(vaddq_f32(score, lost), vdupq_n_f32(bar->at_least));
        reach |= (uint64_t)vaddvq_u32(vbicq_u32(bits, below)) << i;
    }
    return reach;
}

static const vx_dots_kernel neon = {"neon-dotprod", VX_ANY_PAIR, tile_neon, reach_neon};
#endif

const vx_dots_kernel *vx_dots_kernel_at(size_t i) {
    const vx_dots_kernel *usable[4];
    size_t n = 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni"))
        usable[n++] = &vnni;
    if (__builtin_cpu_supports("avx2"))
        usable[n++] = &avx2;
#endif
#if defined(__aarch64__) && defined(__linux__)
    if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP)
        usable[n++] = &neon;
#endif
    usable[n++] = &plain;
    return i < n ? usable[i] : NULL;
}
