#include "bitstream.h"

#include <string.h>

const uint8_t *vx_next_start_code(const uint8_t *p, const uint8_t *end) {
    for (const uint8_t *from = p + 2; from < end;) {
        const uint8_t *one = memchr(from, 1, (size_t)(end - from));
        if (!one)
            return NULL;
        if (one[-1] == 0 && one[-2] == 0)
            return one + 1;
        from = one + 1;
    }
    return NULL;
}

uint64_t vx_hash_bytes(uint64_t hash, const uint8_t *data, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++)
        hash = (hash ^ data[i]) * UINT64_C(0x100000001b3);
    return hash;
}

uint32_t vx_bits_read(vx_bits *bits, int n) {
    uint32_t value = 0;
    for (; n > 0; n--) {
        value = value << 1 | (bits->next < bits->end ? *bits->next >> (7 - bits->at) & 1u : 0);
        bits->next += bits->next < bits->end && bits->at == 7;
        bits->at = (bits->at + 1) & 7;
    }
    return value;
}
