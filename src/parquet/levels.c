/* levels.c — see the header. */
#include "levels.h"

bool vx_levels_open_run(vx_levels *l) {
    uint64_t head = 0;
    int shift = 0;
    do {
        if (l->at == l->end || shift > 35)
            return false;
        head |= (uint64_t)(*l->at & 0x7F) << shift;
        shift += 7;
    } while (*l->at++ & 0x80);
    uint64_t n = head >> 1;
    l->is_packed = head & 1;
    size_t bytes = l->is_packed ? (size_t)n * (size_t)l->width : (size_t)(l->width + 7) / 8;
    if (n == 0 || bytes > (size_t)(l->end - l->at))
        return false;
    l->packed = l->at;
    l->bit = 0;
    l->left = l->is_packed ? 8 * n : n;
    l->value = 0;
    for (size_t i = 0; !l->is_packed && i < bytes; i++)
        l->value |= (uint32_t)l->at[i] << 8 * i;
    l->at += bytes;
    return true;
}
