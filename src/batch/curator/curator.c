/* curator.c — names, pickles and spans; see the header. */
#include "curator.h"

#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

void vx_curator_uuid(const char *name, char ret_uuid[VX_UUID_CHARS + 1]) {
    static const uint8_t namespace_url[16] = {0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1,
                                              0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8};
    uint8_t d[EVP_MAX_MD_SIZE] = {0};
    EVP_MD_CTX *sha1 = EVP_MD_CTX_new();
    if (sha1 && EVP_DigestInit_ex(sha1, EVP_sha1(), NULL)) {
        EVP_DigestUpdate(sha1, namespace_url, sizeof namespace_url);
        EVP_DigestUpdate(sha1, name, strlen(name));
        EVP_DigestFinal_ex(sha1, d, NULL);
    }
    EVP_MD_CTX_free(sha1);
    d[6] = (d[6] & 0x0F) | 0x50; /* version 5 */
    d[8] = (d[8] & 0x3F) | 0x80; /* variant of RFC 9562 */
    char *out = ret_uuid;
    for (int i = 0; i < 16; i++)
        out += sprintf(out, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", d[i]);
}

vx_curator_model vx_curator_model_of(const char *name) {
    vx_curator_model model = {.half = !strncmp(name, "cosmos-embed1", 13)};
    const char *prefix = model.half ? "ce1" : !strncmp(name, "internvideo2", 12) ? "iv2" : name;
    snprintf(model.prefix, sizeof model.prefix, "%s", prefix);
    return model;
}

/* ---- float16 ---- */

uint16_t vx_curator_to_half(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    float magnitude = fabsf(value);
    if (isnan(value))
        return sign | 0x7E00;
    if (magnitude >= 65520) /* half way between the largest number and the next power */
        return sign | 0x7C00;
    if (magnitude < 0x1p-14f) /* subnormal: multiples of 2^-24; nearbyint rounds ties to even */
        return sign | (uint16_t)nearbyintf(magnitude * 0x1p24f);
    /* The exponent is 127 against 15; a carry out of the mantissa correctly raises it. */
    bits = (bits & 0x7FFFFFFF) - ((127u - 15u) << 23);
    bits += 0xFFF + (bits >> 13 & 1);
    return sign | (uint16_t)(bits >> 13);
}

float vx_curator_from_half(uint16_t half) {
    int exponent = half >> 10 & 31, mantissa = half & 1023;
    float magnitude = exponent == 31 ? mantissa ? NAN : INFINITY
                      : exponent     ? ldexpf((float)(1024 + mantissa), exponent - 25)
                                     : ldexpf((float)mantissa, -24);
    return half & 0x8000 ? -magnitude : magnitude;
}

/* ---- pickle ---- */

static uint8_t *append(uint8_t *out, const void *bytes, size_t n) {
    memcpy(out, bytes, n);
    return out + n;
}

/* The fixed parts are numpy._core.multiarray._reconstruct(numpy.ndarray, (0,), b"b"), then
 * __setstate__((1, (1, n), dtype, False, data)), each object memoised as pickle does. */
#define TEXT(literal) literal, sizeof(literal) - 1

size_t vx_curator_pickle(const float *values, size_t n, bool half, uint8_t *ret) {
    uint8_t *out = append(ret, TEXT("\x80\x04\x95")), *frame = out;
    out += 8; /* length of the frame, below */
    out = append(out, TEXT("\x8c\x16numpy._core.multiarray\x94\x8c\x0c_reconstruct\x94\x93\x94"
                           "\x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\x94K\0\x85\x94"
                           "C\1b\x94\x87\x94R\x94(K\1K\1"));
    if (n < 256)
        out = append(out, (uint8_t[]){'K', (uint8_t)n}, 2);
    else
        out = append(out, (uint8_t[]){'M', (uint8_t)n, (uint8_t)(n >> 8)}, 3);
    out = append(out, TEXT("\x86\x94h\3\x8c\5dtype\x94\x93\x94\x8c\2"));
    out = append(out, half ? "f2" : "f4", 2);
    out = append(out, TEXT("\x94\x89\x88\x87\x94R\x94(K\3\x8c\1<\x94NNNJ\xff\xff\xff\xff"
                           "J\xff\xff\xff\xffK\0t\x94"
                           "b\x89"));
    uint32_t bytes = (uint32_t)(n * (half ? 2 : 4)); /* little-endian, as the values are */
    if (bytes < 256)
        out = append(out, (uint8_t[]){'C', (uint8_t)bytes}, 2);
    else
        out = append(append(out, "B", 1), &bytes, sizeof bytes);
    for (size_t i = 0; i < n; i++) {
        uint16_t narrow = half ? vx_curator_to_half(values[i]) : 0;
        out = half ? append(out, &narrow, 2) : append(out, &values[i], 4);
    }
    out = append(out, TEXT("\x94t\x94"
                           "b."));
    uint64_t frame_bytes = (uint64_t)(out - frame - 8);
    memcpy(frame, &frame_bytes, sizeof frame_bytes);
    return (size_t)(out - ret);
}

/* ---- spans ---- */

vx_curator_span vx_curator_span_of(const vx_clip_spec *rule, double start_s, double end_s,
                                   double duration_s, double fps) {
    double length_s = trunc(duration_s * fps) / fps;
    vx_curator_span span = {.start_s = start_s, .end_s = end_s};
    switch (rule->mode) {
    case VX_CLIP_WHOLE:
        span.end_s = length_s;
        break;
    case VX_CLIP_FIXED:
        span.end_s = fmin(start_s + rule->length_s, length_s);
        break;
    default: /* shots: frames already, so that rounding only takes the arithmetic's noise away */
        span.first = llround(span.start_s * fps);
        span.last = llround(span.end_s * fps);
        return span;
    }
    if (span.end_s <= start_s) /* a header that claims less than there is */
        span.end_s = end_s;
    span.first = (int64_t)(span.start_s * fps);
    span.last = (int64_t)(span.end_s * fps);
    return span;
}
