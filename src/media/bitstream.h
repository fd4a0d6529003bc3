/* bitstream.h — reading coded bits, whatever the codec (private to src/media). Threads: any. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Next start code 00 00 01 of [p, end): points at the byte after it; NULL if there is none. */
const uint8_t *vx_next_start_code(const uint8_t *p, const uint8_t *end);

/* FNV-1a, continued from `hash`. */
#define VX_HASH_START UINT64_C(0xcbf29ce484222325)
uint64_t vx_hash_bytes(uint64_t hash, const uint8_t *data, size_t n_bytes);

typedef struct vx_bits {
    const uint8_t *next, *end;
    int at; /* bits of *next already read */
} vx_bits;

/* The last 32 of the next n bits as a number, most significant first; zeros past the end. */
uint32_t vx_bits_read(vx_bits *bits, int n);
