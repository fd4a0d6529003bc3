/* vector_file.c — files of FAISS and NumPy: their headers are checked against the size of the file before a
 * vector is read, so that no header can ask for memory. The layout of FAISS is that of export/faiss.c. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "rows.h"

#define MAX_DIM 8192
#define HEADER_BYTES 37 /* of a FAISS index: a name and its header */

typedef struct faiss_header {
    char kind[4];
    int32_t dim, metric;
    int64_t n;
} faiss_header;

static bool read_faiss_header(FILE *file, faiss_header *ret_header) {
    unsigned char bytes[HEADER_BYTES - sizeof ret_header->kind];
    if (fread(ret_header->kind, 4, 1, file) != 1 || fread(bytes, sizeof bytes, 1, file) != 1)
        return false;
    memcpy(&ret_header->dim, bytes, 4);
    memcpy(&ret_header->n, bytes + 4, 8);
    memcpy(&ret_header->metric, bytes + 29, 4);
    return true;
}

static int check_shape(int64_t n, int64_t dim, vx_err *err) {
    if (dim < 1 || dim > MAX_DIM || n < 0 || n > INT64_MAX / (MAX_DIM * 8))
        return VX_FAIL(err, VX_IMPORT_BAD, "its header says %" PRId64 " vectors of %" PRId64, n,
                       dim);
    return 0;
}

static int check_size(int64_t expected, int64_t bytes, vx_err *err) {
    if (expected == bytes)
        return 0;
    return VX_FAIL(err, VX_IMPORT_BAD,
                   "its header asks for %" PRId64 " bytes, and the file has %" PRId64, expected,
                   bytes);
}

/* Where the vectors begin, and behind them the ids if it is an IndexIDMap. */
static int open_faiss(vx_vector_file *v, int64_t bytes, int64_t *ret_ids_at, vx_err *err) {
    faiss_header outer, inner;
    uint64_t n_floats = 0, n_ids = 0;
    rewind(v->file);
    bool fine = read_faiss_header(v->file, &outer);
    bool mapped = fine && !memcmp(outer.kind, "IxMp", 4);
    inner = outer;
    fine = fine && (!mapped || read_faiss_header(v->file, &inner));
    if (!fine || memcmp(inner.kind, "IxFI", 4) != 0 || inner.metric != 0)
        return VX_FAIL(err, VX_IMPORT_BAD,
                       "only IndexFlatIP, also below IndexIDMap, can be imported from FAISS");
    int rc = check_shape(inner.n, inner.dim, err);
    if (rc)
        return rc;
    int64_t at = HEADER_BYTES + (mapped ? HEADER_BYTES : 0) + 8;
    int64_t n_bytes = inner.n * inner.dim * (int64_t)sizeof(float);
    rc = check_size(at + n_bytes + (mapped ? 8 + 8 * inner.n : 0), bytes, err);
    if (rc)
        return rc;
    fine =
        fread(&n_floats, 8, 1, v->file) == 1 && n_floats == (uint64_t)inner.n * (uint64_t)inner.dim;
    if (fine && mapped)
        fine = !fseeko(v->file, at + n_bytes, SEEK_SET) && fread(&n_ids, 8, 1, v->file) == 1 &&
               n_ids == (uint64_t)inner.n && !fseeko(v->file, at, SEEK_SET);
    v->n = inner.n;
    v->dim = inner.dim;
    *ret_ids_at = mapped ? at + n_bytes + 8 : 0;
    return fine
               ? 0
               : VX_FAIL(err, VX_IMPORT_BAD, "the headers of the FAISS file contradict each other");
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (n, dim), } */
static int open_npy(vx_vector_file *v, int64_t bytes, vx_err *err) {
    unsigned char start[12] = {0};
    char text[1024] = "";
    int64_t n = -1, dim = -1;
    rewind(v->file);
    bool fine = fread(start, 10, 1, v->file) == 1 && (start[6] == 1 || start[6] == 2);
    if (fine && start[6] == 2)
        fine = fread(start + 10, 2, 1, v->file) == 1;
    size_t length = start[8] + 256U * start[9] + 65536U * start[10] + 16777216U * start[11];
    fine = fine && length < sizeof text && fread(text, length, 1, v->file) == 1;
    const char *shape = fine ? strstr(text, "'shape'") : NULL;
    if (!shape || !strstr(text, "'<f4'") || !strstr(text, "'fortran_order': False") ||
        sscanf(shape, "'shape': (%" SCNd64 ", %" SCNd64 ")", &n, &dim) != 2)
        return VX_FAIL(
            err, VX_IMPORT_BAD,
            "a NumPy file must be an array of float32 ('<f4', C order) with two dimensions");
    int rc = check_shape(n, dim, err);
    v->n = n;
    v->dim = (int)dim;
    int64_t begin = (start[6] == 1 ? 10 : 12) + (int64_t)length;
    return rc ? rc : check_size(begin + n * dim * (int64_t)sizeof(float), bytes, err);
}

void vx_vector_file_close(vx_vector_file *v) {
    if (v->file)
        fclose(v->file);
    if (v->ids_file)
        fclose(v->ids_file);
    *v = (vx_vector_file){0};
}

int vx_vector_file_open(const char *path, vx_vector_file *v, vx_import_kind *ret_kind,
                        vx_err *err) {
    struct stat facts;
    char magic[6] = "";
    int64_t ids_at = 0;
    v->file = fopen(path, "re");
    if (!v->file || fstat(fileno(v->file), &facts))
        return VX_FAIL_ERRNO(err, "opening %s", path);
    size_t n = fread(magic, 1, sizeof magic, v->file);
    bool is_faiss = n >= 4 && magic[0] == 'I' && magic[1] == 'x';
    bool is_npy = n == 6 && !memcmp(magic, "\x93NUMPY", 6);
    *ret_kind = is_faiss || is_npy                    ? VX_IMPORT_ARRAY
                : n >= 4 && !memcmp(magic, "PAR1", 4) ? VX_IMPORT_PARQUET
                                                      : VX_IMPORT_LINES;
    if (*ret_kind != VX_IMPORT_ARRAY) {
        vx_vector_file_close(v);
        return 0;
    }
    int rc =
        is_faiss ? open_faiss(v, facts.st_size, &ids_at, err) : open_npy(v, facts.st_size, err);
    if (!rc && ids_at) {
        v->ids_file = fopen(path, "re");
        if (!v->ids_file || fseeko(v->ids_file, ids_at, SEEK_SET))
            rc = VX_FAIL_ERRNO(err, "opening %s", path);
    }
    return rc;
}
