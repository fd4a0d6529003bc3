/* buffer.c — bytes that wait to be taken. */
#include <string.h>

#include "export_internal.h"

void vx_export_append(vx_export_buffer *out, const void *bytes, size_t n) {
    if (!n) /* bytes may be NULL */
        return;
    if (out->n + n > out->capacity) {
        size_t capacity = 2 * (out->n + n);
        char *grown = out->failed ? NULL : vx_regrow(out->bytes, capacity, 1);
        if (!grown) {
            out->failed = true;
            return;
        }
        out->bytes = grown;
        out->capacity = capacity;
    }
    memcpy(out->bytes + out->n, bytes, n);
    out->n += n;
}
