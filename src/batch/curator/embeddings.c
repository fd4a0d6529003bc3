/* embeddings.c — the Parquet file of one chunk's vectors, in memory. */
#include <errno.h>
#include <stdio.h>

#include "curator.h"
#include "parquet/parquet.h"

struct vx_curator_parquet {
    vx_parquet *parquet;
    FILE *file; /* writes to bytes */
    char *bytes;
    size_t n;
};

static int to_memory(void *ctx, const void *bytes, size_t n, vx_err *err) {
    return fwrite(bytes, 1, n, ctx) == n ? 0 : VX_FAIL(err, -ENOMEM, "no memory for Parquet");
}

vx_curator_parquet *vx_curator_parquet_free(vx_curator_parquet *parquet) {
    if (!parquet)
        return NULL;
    vx_parquet_free(parquet->parquet);
    if (parquet->file)
        fclose(parquet->file);
    free(parquet->bytes);
    free(parquet);
    return NULL;
}

int vx_curator_parquet_new(vx_curator_parquet **ret_parquet, vx_err *err) {
    static const vx_parquet_column columns[] = {{"id", VX_PARQUET_UTF8},
                                                {"embedding", VX_PARQUET_LIST_DOUBLE}};
    VX_AUTO(vx_curator_parquet) parquet = vx_new(vx_curator_parquet);
    if (!parquet || !(parquet->file = open_memstream(&parquet->bytes, &parquet->n)))
        return VX_FAIL(err, -ENOMEM, "no memory for Parquet");
    int rc =
        vx_parquet_new(columns, VX_LEN(columns), to_memory, parquet->file, &parquet->parquet, err);
    if (!rc)
        *ret_parquet = vx_take(parquet);
    return rc;
}

int vx_curator_parquet_add(vx_curator_parquet *parquet, const char *uuid, const float *vector,
                           size_t dim, vx_err *err) {
    const vx_parquet_value row[] = {{.text = uuid}, {.floats = vector, .n = dim}};
    return vx_parquet_write(parquet->parquet, row, err);
}

int vx_curator_parquet_finish(vx_curator_parquet *parquet, const void **ret_bytes, size_t *ret_n,
                              vx_err *err) {
    int rc = vx_parquet_finish(parquet->parquet, err);
    if (fclose(vx_take(parquet->file)) && !rc)
        rc = VX_FAIL(err, -ENOMEM, "no memory for Parquet");
    *ret_bytes = parquet->bytes;
    *ret_n = parquet->n;
    return rc;
}
