/* npy.c — magic, version, the length of a text, and the text: a Python dictionary. */
#include "npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void vx_npy_write_header(char ret_header[VX_NPY_HEADER_BYTES], const char *descr, int64_t n,
                         int64_t width) {
    char shape[48];
    snprintf(shape, sizeof shape, width ? "(%" PRId64 ", %" PRId64 ")" : "(%" PRId64 ",)", n,
             width);
    memcpy(ret_header, "\x93NUMPY\x01\x00", 8);
    ret_header[8] = VX_NPY_HEADER_BYTES - 10;
    ret_header[9] = 0;
    int used = snprintf(ret_header + 10, VX_NPY_HEADER_BYTES - 10,
                        "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape);
    memset(ret_header + 10 + used, ' ', VX_NPY_HEADER_BYTES - 11 - (size_t)used);
    ret_header[VX_NPY_HEADER_BYTES - 1] = '\n';
}

bool vx_npy_read_header(const void *bytes, size_t n_bytes, vx_npy_shape *ret_shape) {
    const uint8_t *b = bytes;
    char text[VX_NPY_HEADER_MAX_BYTES] = "";
    if (n_bytes < 12 || memcmp(b, "\x93NUMPY", 6) != 0 || (b[6] != 1 && b[6] != 2))
        return false;
    size_t begin = b[6] == 1 ? 10 : 12;
    size_t length = b[8] + 256U * b[9] + (b[6] == 1 ? 0 : 65536U * b[10] + 16777216U * b[11]);
    if (length > VX_NPY_HEADER_MAX_BYTES - 12 || length > n_bytes - begin)
        return false;
    memcpy(text, b + begin, length);
    const char *shape = strstr(text, "'shape'");
    if (!shape || !strstr(text, "'descr': '<f4'") || !strstr(text, "'fortran_order': False") ||
        sscanf(shape, "'shape': (%" SCNd64 ", %" SCNd64 ")", &ret_shape->n, &ret_shape->dim) != 2)
        return false;
    ret_shape->begin = begin + length;
    return ret_shape->n >= 0 && ret_shape->dim >= 0;
}
