#include "mem.h"

#include <errno.h>

void *vx_new_array(size_t n, size_t element_bytes) {
    return calloc(n ? n : 1, element_bytes); /* calloc checks the product itself */
}

void *vx_regrow(void *block, size_t n, size_t element_bytes) {
    size_t bytes;
    if (!vx_mul(n ? n : 1, element_bytes, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, bytes);
}
