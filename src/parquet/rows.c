/* rows.c — the reader's rows: one value of each wanted column, from the pages of their row group. */
#include "read.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "pages.h"

#define FOOTER_MAX ((int64_t)64 << 20)
#define TEXT_MAX ((size_t)4 << 20)
#define LIST_MAX 65536
#define UNPACK_RATIO 64
#define UNPACK_FREE ((int64_t)256 << 20)

#define BAD(...) VX_FAIL(err, VX_PARQUET_BAD, __VA_ARGS__)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are read as they lie");

typedef struct column {
    vx_parquet_wanted_type type;
    vx_column_cursor cursor;
    char *text; /* [capacity]; owned: the value of this row */
    float *floats;
    size_t capacity;
} column;

struct vx_parquet_reader {
    int fd;
    vx_parquet_layout layout;
    vx_page_source source;
    column columns[VX_PARQUET_WANTED_MAX];
    size_t group;       /* the next one */
    int64_t group_left; /* rows of the open one */
    int64_t row;        /* of the file, from 1 on; for messages */
};

/* ---- values ---- */

static const char damaged[] = "a page has fewer values than its header says";

/* The bytes of the next value of fixed width. */
static int next_fixed(vx_column_cursor *c, int width, uint8_t ret[8], vx_err *err) {
    uint32_t place = 0;
    switch (c->encoding) {
    case VX_ENCODING_PLAIN:
        if (c->values_end - c->values < width)
            return BAD("%s", damaged);
        memcpy(ret, c->values, (size_t)width);
        c->values += width;
        return 0;
    case VX_ENCODING_DICTIONARY:
        if (!vx_levels_next(&c->places, &place))
            return BAD("%s", damaged);
        if (place >= c->n_entries)
            return BAD("a value names a place that its dictionary does not have");
        memcpy(ret, c->dictionary.bytes + (size_t)place * (size_t)width, (size_t)width);
        return 0;
    default: /* VX_ENCODING_SPLIT: all first bytes, then all second ones, … */
        if (c->split_at == c->n_split)
            return BAD("%s", damaged);
        for (int i = 0; i < width; i++)
            ret[i] = c->values[(size_t)i * c->n_split + c->split_at];
        c->split_at++;
        return 0;
    }
}

static int next_real(vx_column_cursor *c, double *ret, vx_err *err) {
    union {
        uint8_t bytes[8];
        int32_t i32;
        int64_t i64;
        float f32;
        double f64;
    } value;
    int rc = next_fixed(c, vx_physical_bytes(c->leaf->physical), value.bytes, err);
    if (rc)
        return rc;
    switch (c->leaf->physical) {
    case VX_PHYSICAL_INT32:
        *ret = value.i32;
        return 0;
    case VX_PHYSICAL_INT64:
        *ret = (double)value.i64;
        return 0;
    case VX_PHYSICAL_FLOAT:
        *ret = (double)value.f32;
        return 0;
    default:
        *ret = value.f64;
        return 0;
    }
}

/* The length and bytes of a text, in the page or its dictionary. */
static int find_text(vx_column_cursor *c, const uint8_t **ret_text, uint32_t *ret_n, vx_err *err) {
    const uint8_t *at = c->values;
    uint32_t place;
    if (c->encoding == VX_ENCODING_DICTIONARY) {
        if (!vx_levels_next(&c->places, &place))
            return BAD("%s", damaged);
        if (place >= c->n_entries)
            return BAD("a value names a place that its dictionary does not have");
        at = c->dictionary.bytes + c->offsets[place];
        memcpy(ret_n, at, sizeof *ret_n); /* index_texts has looked at it */
    } else {
        if ((size_t)(c->values_end - at) < sizeof *ret_n)
            return BAD("%s", damaged);
        memcpy(ret_n, at, sizeof *ret_n);
        if (*ret_n > (size_t)(c->values_end - at) - sizeof *ret_n)
            return BAD("%s", damaged);
        c->values = at + sizeof *ret_n + *ret_n;
    }
    *ret_text = at + sizeof *ret_n;
    return 0;
}

static int next_text(column *col, vx_parquet_value *ret, vx_err *err) {
    const uint8_t *text = NULL;
    uint32_t n = 0;
    int rc = find_text(&col->cursor, &text, &n, err);
    if (rc)
        return rc;
    if (n > TEXT_MAX)
        return BAD("a text has %" PRIu32 " bytes; the limit is %zu", n, TEXT_MAX);
    if (n >= col->capacity) {
        char *grown = vx_regrow(col->text, n + 64, 1);
        if (!grown)
            return VX_FAIL(err, -ENOMEM, "no memory for a text of %" PRIu32 " bytes", n);
        col->text = grown;
        col->capacity = n + 64;
    }
    memcpy(col->text, text, n);
    col->text[n] = '\0';
    *ret = (vx_parquet_value){.text = col->text, .n = n};
    return 0;
}

/* ---- levels ---- */

/* Of the value that is next in the page: its repetition level stays. */
static int peek_repetition(vx_column_cursor *c, vx_err *err) {
    uint32_t level = 0;
    if (c->peeked < 0) {
        if (c->leaf->max_repetition && !vx_levels_next(&c->repetition, &level))
            return BAD("a page has fewer levels than its header says");
        c->peeked = (int)level;
    }
    return 0;
}

static int take_definition(vx_column_cursor *c, int *ret, vx_err *err) {
    uint32_t level = 0;
    if (c->leaf->max_definition && !vx_levels_next(&c->definition, &level))
        return BAD("a page has fewer levels than its header says");
    if ((int)level > c->leaf->max_definition)
        return BAD("a level is higher than the schema allows");
    c->peeked = -1;
    c->page_levels--;
    c->levels_left--;
    *ret = (int)level;
    return 0;
}

static int make_floats(column *col, size_t n, vx_err *err) {
    if (n <= col->capacity)
        return 0;
    if (n > LIST_MAX)
        return BAD("a list has more than %d numbers", LIST_MAX);
    size_t wanted = 2 * n < LIST_MAX ? 2 * n : LIST_MAX;
    float *grown = vx_regrow(col->floats, wanted, sizeof *grown);
    if (!grown)
        return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu numbers", n);
    col->floats = grown;
    col->capacity = wanted;
    return 0;
}

/* Numbers of this list that lie in the page as they are wanted, under levels of one run each; mostly that is
 * nearly all of a vector. */
static int take_run(column *col, size_t *n, vx_err *err) {
    vx_column_cursor *c = &col->cursor;
    vx_levels *r = &c->repetition, *d = &c->definition;
    if (c->encoding != VX_ENCODING_PLAIN || c->leaf->physical != VX_PHYSICAL_FLOAT ||
        c->peeked >= 0 || r->is_packed || d->is_packed || r->value != 1 ||
        (int)d->value != c->leaf->max_definition)
        return 0;
    uint64_t most = r->left < d->left ? r->left : d->left;
    most = most < (uint64_t)c->page_levels ? most : (uint64_t)c->page_levels;
    most = most < LIST_MAX - *n ? most : LIST_MAX - *n;
    size_t there = (size_t)(c->values_end - c->values) / sizeof(float);
    size_t run = most < there ? (size_t)most : there;
    int rc = make_floats(col, *n + run, err);
    if (rc || !run)
        return rc;
    memcpy(col->floats + *n, c->values, run * sizeof(float));
    c->values += run * sizeof(float);
    r->left -= run;
    d->left -= run;
    c->page_levels -= (int64_t)run;
    c->levels_left -= (int64_t)run;
    *n += run;
    return 0;
}

static int take_element(column *col, int definition, size_t *n, vx_err *err) {
    double value = (double)NAN;
    int rc = make_floats(col, *n + 1, err);
    if (!rc && definition == col->cursor.leaf->max_definition)
        rc = next_real(&col->cursor, &value, err);
    if (!rc)
        col->floats[(*n)++] = (float)value;
    return rc;
}

/* A row's list may go on in the next pages. */
static int next_list(column *col, vx_page_source *source, vx_parquet_value *ret, vx_err *err) {
    vx_column_cursor *c = &col->cursor;
    int definition;
    size_t n = 0;
    int rc = peek_repetition(c, err);
    if (!rc && c->peeked != 0)
        rc = BAD("a row begins inside a list");
    if (!rc)
        rc = take_definition(c, &definition, err);
    if (rc)
        return rc;
    *ret = (vx_parquet_value){.is_null = definition < c->leaf->element};
    if (ret->is_null) /* or empty */
        return 0;
    rc = take_element(col, definition, &n, err);
    while (!rc && !(rc = take_run(col, &n, err)) && (rc = vx_cursor_fill(c, source, err)) == 1) {
        rc = peek_repetition(c, err);
        if (rc || c->peeked == 0)
            break;
        rc = take_definition(c, &definition, err);
        if (!rc && definition < c->leaf->element)
            rc = BAD("a list goes on without an element");
        if (!rc)
            rc = take_element(col, definition, &n, err);
    }
    ret->floats = col->floats;
    ret->n = n;
    return rc;
}

static int next_value(column *col, vx_page_source *source, vx_parquet_value *ret, vx_err *err) {
    vx_column_cursor *c = &col->cursor;
    int definition;
    *ret = (vx_parquet_value){.is_null = true};
    if (!c->leaf)
        return 0;
    int rc = vx_cursor_fill(c, source, err);
    if (rc == 0)
        return BAD("a column has fewer rows than its row group");
    if (rc < 0 || rc == VX_PARQUET_BAD)
        return rc;
    if (col->type == VX_PARQUET_WANT_FLOATS)
        return next_list(col, source, ret, err);
    rc = take_definition(c, &definition, err);
    if (rc || definition < c->leaf->max_definition)
        return rc;
    if (col->type == VX_PARQUET_WANT_TEXT)
        return next_text(col, ret, err);
    *ret = (vx_parquet_value){0};
    return next_real(c, &ret->real, err);
}

/* ---- the file ---- */

static int read_footer(vx_parquet_reader *r, int64_t file_bytes, const vx_parquet_wanted *wanted,
                       size_t n_wanted, vx_err *err) {
    uint8_t tail[8], head[4];
    uint32_t n = 0;
    if (file_bytes < 12 || pread(r->fd, head, 4, 0) != 4 ||
        pread(r->fd, tail, 8, file_bytes - 8) != 8)
        return BAD("it is too short for a Parquet file");
    memcpy(&n, tail, sizeof n);
    if (memcmp(head, "PAR1", 4) != 0 || memcmp(tail + 4, "PAR1", 4) != 0)
        return BAD("it does not begin and end as a Parquet file: was it copied completely?");
    if (n > FOOTER_MAX || n > file_bytes - 12)
        return BAD("its footer would have %" PRIu32 " bytes", n);
    VX_AUTO_FREE uint8_t *footer = vx_new_array((size_t)n + 1, 1);
    if (!footer)
        return VX_FAIL(err, -ENOMEM, "no memory for a footer of %" PRIu32 " bytes", n);
    if (pread(r->fd, footer, n, file_bytes - 8 - n) != (ssize_t)n)
        return VX_FAIL(err, -EIO, "reading the footer of a Parquet file");
    return vx_parquet_read_layout(footer, n, file_bytes, wanted, n_wanted, &r->layout, err);
}

int vx_parquet_open(const char *path, const vx_parquet_wanted *wanted, size_t n_wanted,
                    vx_parquet_reader **ret_reader, vx_err *err) {
    struct stat facts;
    if (!n_wanted || n_wanted > VX_PARQUET_WANTED_MAX)
        return VX_FAIL(err, -EINVAL, "%zu columns of a Parquet file", n_wanted);
    VX_AUTO(vx_parquet_reader) r = vx_new(vx_parquet_reader);
    if (!r)
        return VX_FAIL(err, -ENOMEM, "no memory to read a Parquet file");
    r->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0 || fstat(r->fd, &facts))
        return VX_FAIL_ERRNO(err, "opening %s", path);
    int rc = read_footer(r, facts.st_size, wanted, n_wanted, err);
    if (rc)
        return rc;
    r->source.fd = r->fd;
    r->source.unpacked_left = facts.st_size > INT64_MAX / UNPACK_RATIO - UNPACK_FREE
                                  ? INT64_MAX
                                  : facts.st_size * UNPACK_RATIO + UNPACK_FREE;
    for (size_t i = 0; i < n_wanted; i++) {
        r->columns[i].type = wanted[i].type;
        r->columns[i].cursor.leaf = r->layout.leaves[i].index < 0 ? NULL : &r->layout.leaves[i];
    }
    *ret_reader = vx_take(r);
    return 0;
}

vx_parquet_reader *vx_parquet_close(vx_parquet_reader *r) {
    if (!r)
        return NULL;
    for (size_t i = 0; i < r->layout.n_wanted; i++) {
        vx_cursor_done(&r->columns[i].cursor);
        free(r->columns[i].text);
        free(r->columns[i].floats);
    }
    vx_parquet_layout_clear(&r->layout);
    free(r->source.packed);
    if (r->fd >= 0)
        close(r->fd);
    free(r);
    return NULL;
}

int64_t vx_parquet_rows(const vx_parquet_reader *r) {
    return r->layout.n_rows;
}

bool vx_parquet_has(const vx_parquet_reader *r, size_t i) {
    return r->columns[i].cursor.leaf != NULL;
}

/* The next row group that has rows; false: there is none. */
static int open_group(vx_parquet_reader *r, vx_err *err) {
    const vx_parquet_layout *layout = &r->layout;
    for (size_t i = 0; i < layout->n_wanted; i++)
        if (r->columns[i].cursor.leaf && r->columns[i].cursor.levels_left)
            return BAD("a column has more rows than its row group");
    while (r->group < layout->n_groups && !layout->group_rows[r->group])
        r->group++;
    if (r->group == layout->n_groups)
        return 0;
    for (size_t i = 0; i < layout->n_wanted; i++)
        if (r->columns[i].cursor.leaf)
            vx_cursor_begin(&r->columns[i].cursor, &layout->parts[r->group * layout->n_wanted + i]);
    r->group_left = layout->group_rows[r->group++];
    return 1;
}

int vx_parquet_next(vx_parquet_reader *r, vx_parquet_value *values, vx_err *err) {
    int rc = r->group_left ? 1 : open_group(r, err);
    if (rc != 1)
        return rc;
    r->row++;
    r->group_left--;
    rc = 0;
    for (size_t i = 0; i < r->layout.n_wanted && !rc; i++)
        rc = next_value(&r->columns[i], &r->source, &values[i], err);
    if (rc)
        return VX_WRAP(err, "row %" PRId64, r->row), rc;
    return 1;
}
