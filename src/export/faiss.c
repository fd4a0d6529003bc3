/* faiss.c — an IndexIDMap over an IndexFlatIP. */
#include "export_internal.h"
#include "index/faiss_file.h"

void vx_export_faiss_begin(vx_export_buffer *out, int dim, int64_t n) {
    unsigned char header[VX_FAISS_HEADER_BYTES];
    uint64_t n_floats = (uint64_t)n * (uint64_t)dim;
    vx_faiss_write_header(header, "IxMp", dim, n);
    vx_export_append(out, header, sizeof header);
    vx_faiss_write_header(header, "IxFI", dim, n);
    vx_export_append(out, header, sizeof header);
    vx_export_append(out, &n_floats, sizeof n_floats);
}

void vx_export_faiss_end(vx_export_buffer *out, const int64_t *ids, int64_t n) {
    uint64_t n_ids = (uint64_t)n;
    vx_export_append(out, &n_ids, sizeof n_ids);
    vx_export_append(out, ids, (size_t)n * sizeof *ids);
}
