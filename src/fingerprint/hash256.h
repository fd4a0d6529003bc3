/* hash256.h — 256-bit hashes as machine words (private to src/fingerprint). Threads: any. */
#pragma once

#include <stdint.h>
#include <string.h>

typedef struct vx_hash256 {
    uint64_t word[4];
} vx_hash256;

static inline vx_hash256 vx_hash256_load(const uint8_t bytes[32]) {
    vx_hash256 hash;
    memcpy(&hash, bytes, sizeof hash);
    return hash;
}

/* Hamming distance, 0..256. */
static inline int vx_hash256_distance(const vx_hash256 *a, const vx_hash256 *b) {
    return __builtin_popcountll(a->word[0] ^ b->word[0]) +
           __builtin_popcountll(a->word[1] ^ b->word[1]) +
           __builtin_popcountll(a->word[2] ^ b->word[2]) +
           __builtin_popcountll(a->word[3] ^ b->word[3]);
}
