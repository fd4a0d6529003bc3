/* vector_file.c — files of FAISS and NumPy: their headers are checked against the size of the file before a
 * vector is read, so that no header can ask for memory. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/npy.h"
#include "index/faiss_file.h"
#include "rows.h"

#define MAX_DIM 8192

static bool read_faiss_header(FILE *file, vx_faiss_header *ret_header) {
    unsigned char bytes[VX_FAISS_HEADER_BYTES];
    if (fread(bytes, sizeof bytes, 1, file) != 1)
        return false;
    *ret_header = vx_faiss_read_header(bytes);
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
    vx_faiss_header outer, inner;
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
    int64_t at = VX_FAISS_HEADER_BYTES + (mapped ? VX_FAISS_HEADER_BYTES : 0) + 8;
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

static int open_npy(vx_vector_file *v, int64_t bytes, vx_err *err) {
    char header[VX_NPY_HEADER_MAX_BYTES];
    vx_npy_shape shape;
    rewind(v->file);
    size_t n = fread(header, 1, sizeof header, v->file);
    if (!vx_npy_read_header(header, n, &shape))
        return VX_FAIL(
            err, VX_IMPORT_BAD,
            "a NumPy file must be an array of float32 ('<f4', C order) with two dimensions");
    int rc = check_shape(shape.n, shape.dim, err);
    v->n = shape.n;
    v->dim = (int)shape.dim;
    if (!rc)
        rc = check_size((int64_t)shape.begin + shape.n * shape.dim * (int64_t)sizeof(float), bytes,
                        err);
    return !rc && fseeko(v->file, (off_t)shape.begin, SEEK_SET)
               ? VX_FAIL_ERRNO(err, "reading the file")
               : rc;
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
