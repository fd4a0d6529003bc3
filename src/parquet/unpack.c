/* unpack.c — Snappy, gzip and Zstandard, through their libraries: each is told the room that there is. */
#include "unpack.h"

#include <errno.h>
#include <limits.h>
#include <snappy-c.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "read.h"

enum {
    UNCOMPRESSED = 0,
    SNAPPY = 1,
    GZIP = 2,
    LZO = 3,
    BROTLI = 4,
    LZ4 = 5,
    ZSTD = 6,
    LZ4_RAW = 7
};

#define BAD(...) VX_FAIL(err, VX_PARQUET_BAD, __VA_ARGS__)

static bool unpack_snappy(const uint8_t *packed, size_t n_packed, uint8_t *ret, size_t n) {
    size_t length = 0;
    return snappy_uncompressed_length((const char *)packed, n_packed, &length) == SNAPPY_OK &&
           length == n &&
           snappy_uncompress((const char *)packed, n_packed, (char *)ret, &length) == SNAPPY_OK &&
           length == n;
}

static int unpack_gzip(const uint8_t *packed, size_t n_packed, uint8_t *ret, size_t n,
                       bool *ret_right, vx_err *err) {
    z_stream stream = {.next_in = (Bytef *)packed,
                       .avail_in = (uInt)n_packed,
                       .next_out = ret,
                       .avail_out = (uInt)n};
    if (inflateInit2(&stream, MAX_WBITS + 32) != Z_OK) /* + 32: gzip or zlib, as its header says */
        return VX_FAIL(err, -ENOMEM, "no memory to unpack a page");
    *ret_right = inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.total_out == n;
    inflateEnd(&stream);
    return 0;
}

int vx_parquet_unpack(int codec, const uint8_t *packed, size_t n_packed, uint8_t *ret, size_t n,
                      vx_err *err) {
    static const char *const unread[] = {
        [LZO] = "LZO", [BROTLI] = "Brotli", [LZ4] = "LZ4", [LZ4_RAW] = "LZ4"};
    bool right = false;
    int rc = 0;
    if (n_packed > INT_MAX || n > INT_MAX)
        return BAD("a page is too large");
    switch (codec) {
    case UNCOMPRESSED:
        right = n_packed == n;
        if (right && n)
            memcpy(ret, packed, n);
        break;
    case SNAPPY:
        right = unpack_snappy(packed, n_packed, ret, n);
        break;
    case GZIP:
        rc = unpack_gzip(packed, n_packed, ret, n, &right, err);
        break;
    case ZSTD:
        right = ZSTD_decompress(ret, n, packed, n_packed) == n;
        break;
    default:
        return BAD("its pages are compressed with %s: write them with Zstandard, gzip, Snappy or "
                   "none",
                   codec >= 0 && codec < (int)VX_LEN(unread) && unread[codec]
                       ? unread[codec]
                       : "an unknown method");
    }
    if (!rc && !right)
        rc = BAD("a page is damaged: it does not unpack to the size that its header says");
    return rc;
}
