/* npy.h — the header of NumPy's file format, versions 1.0 and 2.0 (numpy.lib.format). Threads: any; no state. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VX_NPY_HEADER_BYTES                                                                        \
    128 /* of a header that is written; the numbers behind it are aligned to 64 bytes */
#define VX_NPY_HEADER_MAX_BYTES 1036 /* of a header that is read */

/* Writes the header of an array in C order. descr: NumPy's name of the type, for example "<f4". width 0: an array
 * [n], otherwise [n, width]. */
void vx_npy_write_header(char ret_header[VX_NPY_HEADER_BYTES], const char *descr, int64_t n,
                         int64_t width);

typedef struct vx_npy_shape {
    int64_t n, dim; /* 0 or more, as the file says: to be checked against its size */
    size_t begin;   /* of the numbers, in bytes from the beginning of the file */
} vx_npy_shape;

/* Reads the header of an array float32 [n, dim] in C order from the first bytes of a file. False: it is another array,
 * its header is longer than VX_NPY_HEADER_MAX_BYTES, or it is not of NumPy. */
bool vx_npy_read_header(const void *bytes, size_t n_bytes, vx_npy_shape *ret_shape);
