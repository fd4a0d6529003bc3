/* faiss.c — FAISS's own file (index_write.cpp; unchanged since the beginning), little-endian, packed:
 *
 *   "IxMp" | header | "IxFI" | header | uint64 n·dim | float32 [n, dim] | uint64 n | int64 ids [n]
 *   header: int32 dim | int64 n | int64 1<<20 twice (unused) | uint8 trained = 1 | int32 metric = 0
 */
#include <string.h>

#include "export_internal.h"

static void append_header(vx_export_buffer *out, const char *kind, int dim, int64_t n) {
    int32_t dim32 = dim, metric = 0; /* inner product */
    int64_t unused = 1 << 20;
    unsigned char trained = 1;
    vx_export_append(out, kind, 4);
    vx_export_append(out, &dim32, sizeof dim32);
    vx_export_append(out, &n, sizeof n);
    vx_export_append(out, &unused, sizeof unused);
    vx_export_append(out, &unused, sizeof unused);
    vx_export_append(out, &trained, sizeof trained);
    vx_export_append(out, &metric, sizeof metric);
}

void vx_export_faiss_begin(vx_export_buffer *out, int dim, int64_t n) {
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "FAISS files are little-endian");
    uint64_t n_floats = (uint64_t)n * (uint64_t)dim;
    append_header(out, "IxMp", dim, n);
    append_header(out, "IxFI", dim, n);
    vx_export_append(out, &n_floats, sizeof n_floats);
}

void vx_export_faiss_end(vx_export_buffer *out, const int64_t *ids, int64_t n) {
    uint64_t n_ids = (uint64_t)n;
    vx_export_append(out, &n_ids, sizeof n_ids);
    vx_export_append(out, ids, (size_t)n * sizeof *ids);
}
