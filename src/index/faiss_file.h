/* faiss_file.h — FAISS's own files of flat indexes (index_write.cpp; unchanged since the beginning), little-endian,
 * packed:
 *
 *   IndexFlatIP   "IxFI" | header | uint64 n·dim | float32 [n, dim]
 *   IndexIDMap    "IxMp" | header | the IndexFlatIP | uint64 n | int64 ids [n]
 *   header        int32 dim | int64 n | int64 1<<20 twice (unused) | uint8 trained = 1 | int32 metric
 *
 * They are written and read here piece by piece and not by faiss_write_index(), which needs all rows in one FAISS
 * index: twice the memory. Threads: any; no state. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define VX_FAISS_HEADER_BYTES 37 /* with the four letters of the kind */

typedef struct vx_faiss_header {
    char kind[4];        /* "IxFI", "IxMp", or whatever stands there */
    int32_t dim, metric; /* metric 0: inner product */
    int64_t n;
} vx_faiss_header;

/* kind: four letters. The metric is the inner product. */
void vx_faiss_write_header(unsigned char ret_bytes[VX_FAISS_HEADER_BYTES], const char *kind,
                           int dim, int64_t n);

/* Nothing is checked: any bytes are a header. */
vx_faiss_header vx_faiss_read_header(const unsigned char bytes[VX_FAISS_HEADER_BYTES]);
