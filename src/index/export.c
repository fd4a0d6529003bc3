/* export.c — the index as a FAISS file, row by row. */
#include "index.h"

#include <errno.h>
#include <string.h>

#include "base/whole_file.h"
#include "faiss_file.h"

static int write_header(FILE *file, int dim, size_t n_rows) {
    unsigned char header[VX_FAISS_HEADER_BYTES];
    uint64_t n_floats = (uint64_t)n_rows * (uint64_t)dim;
    vx_faiss_write_header(header, "IxFI", dim, (int64_t)n_rows);
    return fwrite(header, sizeof header, 1, file) == 1 &&
                   fwrite(&n_floats, sizeof n_floats, 1, file) == 1
               ? 0
               : -1;
}

/* Writes the rows of ids and packs the list: an id removed meanwhile drops out of both. */
static int write_rows(vx_index *index, FILE *file, int64_t *ids, size_t *n, vx_err *err) {
    size_t dim = (size_t)vx_index_dim(index), n_written = 0;
    VX_AUTO_FREE float *row = vx_new_array(dim, sizeof(*row));
    if (!row)
        return VX_FAIL(err, -ENOMEM, "no memory for a vector");
    for (size_t i = 0; i < *n; i++) {
        if (vx_index_get(index, ids[i], row, NULL))
            continue;
        if (fwrite(row, sizeof(*row), dim, file) != dim)
            return VX_FAIL_ERRNO(err, "cannot write vector %zu of %zu", i, *n);
        ids[n_written++] = ids[i];
    }
    *n = n_written;
    return 0;
}

static int write_file(vx_index *index, FILE *file, int64_t *ids, size_t *n, vx_err *err) {
    int dim = vx_index_dim(index);
    if (write_header(file, dim, *n))
        return VX_FAIL_ERRNO(err, "cannot write the header");
    int rc = write_rows(index, file, ids, n, err);
    if (rc)
        return rc;
    return fseeko(file, 0, SEEK_SET) || write_header(file, dim, *n)
               ? VX_FAIL_ERRNO(err, "cannot finish the file")
               : 0;
}

int vx_index_write_faiss(vx_index *index, const char *path, int64_t **ret_ids, size_t *ret_n,
                         vx_err *err) {
    VX_AUTO_FREE int64_t *ids = NULL;
    vx_whole_file file;
    size_t n;
    int rc = vx_index_ids(index, &ids, &n, err);
    if (rc == 0)
        rc = vx_whole_file_open(&file, path, err);
    if (rc == 0)
        rc = vx_whole_file_end(&file, write_file(index, file.stream, ids, &n, err), err);
    if (rc)
        return VX_WRAP(err, "writing %s", path), rc;
    *ret_ids = vx_take(ids);
    *ret_n = n;
    return 0;
}
