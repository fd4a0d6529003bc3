#include "base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* A digit's value plus 1; 0 for what is no digit. */
static const uint8_t digits[256] = {
    ['A'] = 1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,         12,         13,
    14,         15, 16, 17, 18, 19, 20, 21, 22, 23, 24,         25,         26,
    ['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37,         38,         39,
    40,         41, 42, 43, 44, 45, 46, 47, 48, 49, 50,         51,         52,
    ['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, ['+'] = 63, ['/'] = 64,
};

static uint32_t digit_of(char c) {
    return digits[(uint8_t)c] - UINT32_C(1);
}

/* Three bytes of four digits; false: one is no digit. */
static bool decode_four(const char *text, uint8_t *ret_bytes) {
    uint32_t a = digit_of(text[0]), b = digit_of(text[1]), c = digit_of(text[2]),
             d = digit_of(text[3]);
    uint32_t bits = a << 18 | b << 12 | c << 6 | d;
    ret_bytes[0] = (uint8_t)(bits >> 16);
    ret_bytes[1] = (uint8_t)(bits >> 8);
    ret_bytes[2] = (uint8_t)bits;
    return ((a | b | c | d) & 64) == 0;
}

bool vx_base64_decode(const char *text, size_t n, bool last, uint8_t *ret_bytes, size_t *ret_n) {
    size_t padding = 0, n_whole = n;
    bool good = n % 4 == 0;
    if (!good)
        return false;
    while (last && padding < 2 && padding < n && text[n - 1 - padding] == '=')
        padding++;
    if (padding) {
        char end[4] = {text[n - 4], text[n - 3], padding < 2 ? text[n - 2] : 'A', 'A'};
        n_whole = n - 4;
        good = decode_four(end, ret_bytes + n_whole / 4 * 3);
    }
    for (size_t i = 0; i < n_whole; i += 4)
        good &= decode_four(text + i, ret_bytes + i / 4 * 3);
    *ret_n = n / 4 * 3 - padding;
    return good;
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
