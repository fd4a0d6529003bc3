#include "hex.h"

#include <string.h>

static const char digits[] = "0123456789abcdef";

void vx_hex_encode(const uint8_t *bytes, size_t n, char *ret_text) {
    for (size_t i = 0; i < n; i++) {
        *ret_text++ = digits[bytes[i] >> 4];
        *ret_text++ = digits[bytes[i] & 15];
    }
    *ret_text = '\0';
}

bool vx_hex_decode(const char *text, size_t n, uint8_t *ret_bytes) {
    if (strlen(text) != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        const char *high = strchr(digits, text[2 * i]), *low = strchr(digits, text[2 * i + 1]);
        if (!high || !low)
            return false;
        ret_bytes[i] = (uint8_t)((high - digits) << 4 | (low - digits));
    }
    return true;
}
