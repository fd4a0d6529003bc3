/* write.c — rows to a file. Each column collects the open row group as one data page:
 *
 *   repetition levels | definition levels | values
 *
 * Levels say where lists begin and what is null. Here they come in long runs (a row's list is one
 * 0 and n-1 times 1), so each run of equal levels is written as one run of the RLE encoding. */
#include <errno.h>
#include <string.h>

#include "parquet_private.h"

#define GROUP_BYTES (16u << 20)
#define COLUMNS_MAX 64
#define TEXT_MAX (1u << 30) /* a page's size is a signed 32-bit number */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are written as they lie");

/* Levels of at most 8 bits, run by run. */
typedef struct levels {
    vx_buffer runs;
    uint64_t count; /* of the run that is still open */
    uint8_t level;
} levels;

typedef struct column {
    levels repetition, definition;
    vx_buffer values;
    int64_t n; /* levels, which Parquet calls values */
} column;

struct vx_parquet {
    const vx_parquet_column *names;
    size_t n_columns;
    vx_parquet_sink sink;
    void *ctx;
    column columns[COLUMNS_MAX];
    vx_buffer scratch;
    vx_row_group *groups;
    size_t n_groups;
    int64_t n_rows; /* of the open group */
    int64_t offset; /* bytes given to the sink */
};

/* ---- levels ---- */

static void close_run(levels *l) {
    if (!l->count)
        return;
    vx_buffer_varint(&l->runs, l->count << 1);
    vx_buffer_append(&l->runs, &l->level, 1);
    l->count = 0;
}

static void add_levels(levels *l, uint8_t level, size_t n) {
    if (level != l->level)
        close_run(l);
    l->level = level;
    l->count += n;
}

/* With its length before it, as a page has it. */
static void append_levels(vx_buffer *page, levels *l) {
    close_run(l);
    uint32_t bytes = (uint32_t)l->runs.n;
    vx_buffer_append(page, &bytes, sizeof bytes);
    vx_buffer_append(page, l->runs.bytes, l->runs.n);
    page->failed |= l->runs.failed;
}

/* ---- rows ---- */

static void add_list(column *c, bool widen, const vx_parquet_value *value) {
    size_t n = value->is_null ? 0 : value->n;
    add_levels(&c->repetition, 0, 1); /* a list that is null or empty takes one place too */
    if (n > 1)
        add_levels(&c->repetition, 1, n - 1);
    add_levels(&c->definition, value->is_null ? 0 : n ? 3 : 1, n ? n : 1);
    c->n += (int64_t)(n ? n : 1);
    if (!widen && n)
        vx_buffer_append(&c->values, value->floats, n * sizeof *value->floats);
    for (size_t i = 0; widen && i < n; i++) {
        double wide = (double)value->floats[i];
        vx_buffer_append(&c->values, &wide, sizeof wide);
    }
}

static void add_scalar(column *c, vx_parquet_type type, const vx_parquet_value *value) {
    bool is_null = value->is_null || (type == VX_PARQUET_UTF8 && !value->text);
    add_levels(&c->definition, !is_null, 1);
    c->n++;
    if (is_null)
        return;
    uint32_t n_bytes = type == VX_PARQUET_UTF8 ? (uint32_t)strlen(value->text) : 0;
    float single = (float)value->real;
    switch (type) {
    case VX_PARQUET_UTF8:
        vx_buffer_append(&c->values, &n_bytes, sizeof n_bytes);
        vx_buffer_append(&c->values, value->text, n_bytes);
        return;
    case VX_PARQUET_INT64:
        vx_buffer_append(&c->values, &value->integer, sizeof value->integer);
        return;
    case VX_PARQUET_FLOAT:
        vx_buffer_append(&c->values, &single, sizeof single);
        return;
    default:
        vx_buffer_append(&c->values, &value->real, sizeof value->real);
    }
}

static int give(vx_parquet *w, const void *bytes, size_t n, vx_err *err) {
    int rc = w->sink(w->ctx, bytes, n, err);
    w->offset += (int64_t)n;
    return rc;
}

static int write_column(vx_parquet *w, size_t i, vx_column_chunk *chunk, vx_err *err) {
    column *c = &w->columns[i];
    vx_buffer head = {0}, *page = &w->scratch;
    page->n = 0;
    if (vx_parquet_is_list(w->names[i].type))
        append_levels(page, &c->repetition);
    append_levels(page, &c->definition);
    vx_parquet_page_header(&head, page->n + c->values.n, c->n);
    *chunk = (vx_column_chunk){.offset = w->offset, .n_values = c->n};
    int rc = 0;
    if (page->failed || c->values.failed || head.failed)
        rc = VX_FAIL(err, -ENOMEM, "no memory for a page of Parquet");
    if (!rc)
        rc = give(w, head.bytes, head.n, err);
    if (!rc)
        rc = give(w, page->bytes, page->n, err);
    if (!rc && c->values.n)
        rc = give(w, c->values.bytes, c->values.n, err);
    free(head.bytes);
    chunk->bytes = w->offset - chunk->offset;
    c->repetition.runs.n = c->definition.runs.n = c->values.n = 0;
    c->n = 0;
    return rc;
}

static int start(vx_parquet *w, vx_err *err) {
    return w->offset ? 0 : give(w, "PAR1", 4, err);
}

static int close_group(vx_parquet *w, vx_err *err) {
    vx_row_group *groups = vx_regrow(w->groups, w->n_groups + 1, sizeof *groups);
    if (!groups)
        return VX_FAIL(err, -ENOMEM, "no memory for a row group of Parquet");
    w->groups = groups;
    vx_row_group *group = &groups[w->n_groups];
    *group = (vx_row_group){.n_rows = w->n_rows,
                            .columns = vx_new_array(w->n_columns, sizeof *group->columns)};
    if (!group->columns)
        return VX_FAIL(err, -ENOMEM, "no memory for a row group of Parquet");
    w->n_groups++;
    int rc = start(w, err);
    for (size_t i = 0; i < w->n_columns && !rc; i++)
        rc = write_column(w, i, &group->columns[i], err);
    w->n_rows = 0;
    return rc;
}

/* ---- the calls ---- */

int vx_parquet_new(const vx_parquet_column *columns, size_t n_columns, vx_parquet_sink sink,
                   void *ctx, vx_parquet **ret_writer, vx_err *err) {
    if (!n_columns || n_columns > COLUMNS_MAX)
        return VX_FAIL(err, -EINVAL, "a Parquet file of %zu columns", n_columns);
    vx_parquet *w = vx_new(vx_parquet);
    if (!w)
        return VX_FAIL(err, -ENOMEM, "no memory for a Parquet file");
    w->names = columns;
    w->n_columns = n_columns;
    w->sink = sink;
    w->ctx = ctx;
    *ret_writer = w;
    return 0;
}

vx_parquet *vx_parquet_free(vx_parquet *w) {
    if (!w)
        return NULL;
    for (size_t i = 0; i < w->n_columns; i++) {
        free(w->columns[i].repetition.runs.bytes);
        free(w->columns[i].definition.runs.bytes);
        free(w->columns[i].values.bytes);
    }
    for (size_t i = 0; i < w->n_groups; i++)
        free(w->groups[i].columns);
    free(w->groups);
    free(w->scratch.bytes);
    free(w);
    return NULL;
}

int vx_parquet_write(vx_parquet *w, const vx_parquet_value *values, vx_err *err) {
    size_t bytes = 0;
    for (size_t i = 0; i < w->n_columns; i++) {
        const vx_parquet_value *value = &values[i];
        vx_parquet_type type = w->names[i].type;
        bool is_list = vx_parquet_is_list(type);
        if (!value->is_null &&
            (is_list ? value->n > TEXT_MAX / sizeof(double)
                     : type == VX_PARQUET_UTF8 && value->text && strlen(value->text) > TEXT_MAX))
            return VX_FAIL(err, -EINVAL, "a value of column %s is too large for Parquet",
                           w->names[i].name);
        if (is_list)
            add_list(&w->columns[i], type == VX_PARQUET_LIST_DOUBLE, value);
        else
            add_scalar(&w->columns[i], type, value);
        if (w->columns[i].values.failed)
            return VX_FAIL(err, -ENOMEM, "no memory for a row of Parquet");
        bytes += w->columns[i].values.n;
    }
    w->n_rows++;
    return bytes >= GROUP_BYTES ? close_group(w, err) : 0;
}

int vx_parquet_finish(vx_parquet *w, vx_err *err) {
    int rc = w->n_rows ? close_group(w, err) : start(w, err);
    if (rc)
        return rc;
    vx_buffer footer = {0};
    vx_parquet_footer(&footer, w->names, w->n_columns, w->groups, w->n_groups);
    if (footer.failed)
        rc = VX_FAIL(err, -ENOMEM, "no memory for the end of a Parquet file");
    else
        rc = give(w, footer.bytes, footer.n, err);
    free(footer.bytes);
    return rc;
}
