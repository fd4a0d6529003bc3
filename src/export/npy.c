/* npy.c — the header of NumPy's format, version 1.0: a Python dictionary, padded to 64 bytes. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "export_internal.h"

void vx_export_npy_begin(vx_export_buffer *out, int dim, int64_t n) {
    char header[128];
    memset(header, ' ', sizeof header);
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    uint16_t length = sizeof header - 10;
    memcpy(header + 8, &length, sizeof length);
    char shape[48];
    snprintf(shape, sizeof shape, dim ? "(%" PRId64 ", %d)" : "(%" PRId64 ",)", n, dim);
    int written = snprintf(header + 10, sizeof header - 10,
                           "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
                           dim ? "<f4" : "<i4", shape);
    header[10 + written] = ' ';
    header[sizeof header - 1] = '\n';
    vx_export_append(out, header, sizeof header);
}
