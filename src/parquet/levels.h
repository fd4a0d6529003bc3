/* levels.h — the hybrid of run lengths and packed bits in which Parquet writes levels and places in a dictionary
 * (Encodings.md, RLE); private to src/parquet. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct vx_levels {
    const uint8_t *at, *end;
    int width;      /* bits of a value, 0..32 */
    uint64_t left;  /* values of the open run */
    bool is_packed; /* of it; else they all are `value` */
    uint32_t value;
    const uint8_t *packed;
    uint64_t bit; /* of the next value, from packed on */
} vx_levels;

/* Opens the next run; false: there is none, or it is damaged. */
bool vx_levels_open_run(vx_levels *levels);

/* The next value of a packed run. */
static inline uint32_t vx_levels_unpack(vx_levels *l) {
    uint64_t bits = 0;
    const uint8_t *from = l->packed + l->bit / 8;
    int shift = (int)(l->bit % 8);
    for (int i = 0; i < (shift + l->width + 7) / 8; i++)
        bits |= (uint64_t)from[i] << 8 * i;
    l->bit += (uint64_t)l->width;
    return (uint32_t)(bits >> shift & ((UINT64_C(1) << l->width) - 1));
}

static inline bool vx_levels_next(vx_levels *l, uint32_t *ret) {
    if (!l->left && !vx_levels_open_run(l))
        return false;
    l->left--;
    *ret = l->is_packed ? vx_levels_unpack(l) : l->value;
    return true;
}
