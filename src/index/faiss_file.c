/* faiss_file.c — see the header. */
#include "faiss_file.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "FAISS files are little-endian");

void vx_faiss_write_header(unsigned char ret_bytes[VX_FAISS_HEADER_BYTES], const char *kind,
                           int dim, int64_t n) {
    int32_t dim32 = dim, metric = 0;
    int64_t unused = 1 << 20;
    memcpy(ret_bytes, kind, 4);
    memcpy(ret_bytes + 4, &dim32, 4);
    memcpy(ret_bytes + 8, &n, 8);
    memcpy(ret_bytes + 16, &unused, 8);
    memcpy(ret_bytes + 24, &unused, 8);
    ret_bytes[32] = 1;
    memcpy(ret_bytes + 33, &metric, 4);
}

vx_faiss_header vx_faiss_read_header(const unsigned char bytes[VX_FAISS_HEADER_BYTES]) {
    vx_faiss_header header;
    memcpy(header.kind, bytes, 4);
    memcpy(&header.dim, bytes + 4, 4);
    memcpy(&header.n, bytes + 8, 8);
    memcpy(&header.metric, bytes + 33, 4);
    return header;
}
