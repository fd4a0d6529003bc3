#include "base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 0..63, or 64 for what is no digit. */
static uint32_t digit_of(char c) {
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint32_t)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0') + 52;
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

bool vx_base64_decode(const char *text, size_t n, bool last, uint8_t *ret_bytes, size_t *ret_n) {
    size_t out = 0, padding = 0;
    if (n % 4)
        return false;
    while (last && padding < 2 && padding < n && text[n - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < n; i += 4) {
        uint32_t bits = 0;
        for (size_t k = 0; k < 4; k++) {
            uint32_t digit = i + k < n - padding ? digit_of(text[i + k]) : 0;
            if (digit > 63)
                return false;
            bits = bits << 6 | digit;
        }
        for (int shift = 16; shift >= 0; shift -= 8)
            ret_bytes[out++] = (uint8_t)(bits >> shift);
    }
    *ret_n = out - padding;
    return true;
}

void vx_base64_encode(const void *bytes, size_t n, char *ret_text) {
    const uint8_t *in = bytes;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t bits = (uint32_t)in[i] << 16;
        bits |= i + 1 < n ? (uint32_t)in[i + 1] << 8 : 0;
        bits |= i + 2 < n ? in[i + 2] : 0;
        for (int shift = 18; shift >= 0; shift -= 6)
            *ret_text++ = alphabet[bits >> shift & 63];
    }
    if (n % 3)
        ret_text[-1] = '=';
    if (n % 3 == 1)
        ret_text[-2] = '=';
    *ret_text = '\0';
}
