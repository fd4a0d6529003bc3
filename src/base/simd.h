/* simd.h — one loop, built for the baseline processor and for AVX2; the loader picks.
 *
 * VX_SIMD_CLONES goes before a function whose loops carry `#pragma omp simd` (the build passes
 * -fopenmp-simd, which starts no threads) or vector types. The function is static: clang 14 gives the
 * clones no name that other files could call. Only AVX2, without FMA: a fused multiply rounds
 * differently, and results must not depend on the machine. Sanitizer builds have no clones, because the
 * loader picks before their runtime is ready. Threads: any.
 */
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define VX_SIMD_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define VX_SIMD_SANITIZED 1
#endif

#if defined(__x86_64__) && defined(__linux__) && !defined(VX_SIMD_SANITIZED)
#define VX_SIMD_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define VX_SIMD_CLONES
#endif
