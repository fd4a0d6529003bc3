/* layout.c — the footer of a Parquet file, read field by field (parquet.thrift). The schema is a tree written in
 * pre-order, each node with the number of its children; its leaves are the columns, in that order. */
#include "layout.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "thrift_read.h"

#define SCHEMA_DEPTH 16
#define GROUPS_MAX 100000
enum { REQUIRED = 0, OPTIONAL = 1, REPEATED = 2 }; /* FieldRepetitionType */

#define BAD(...) VX_FAIL(err, VX_PARQUET_BAD, __VA_ARGS__)

/* ---- the schema ---- */

typedef struct node {
    const char *name; /* [n_name]; borrowed */
    size_t n_name;
    int64_t type, repetition, n_children; /* type -1: not a leaf */
    bool is_unknown; /* what writers make of a column that has no value but null */
} node;

/* A node whose children are being read. */
typedef struct level {
    int64_t children_left;
    int definition, repetition, element;
    int top; /* the wanted column that it belongs to; -1 = none */
} level;

typedef struct walk {
    const vx_parquet_wanted *wanted;
    vx_parquet_layout *layout;
    level levels[SCHEMA_DEPTH];
    int depth, n_leaves;
} walk;

/* LogicalType, a union. */
static bool is_unknown(vx_thrift_in *in, int type) {
    bool unknown = false;
    if (type != VX_THRIFT_UNION) {
        vx_thrift_skip(in, type);
        return false;
    }
    for (vx_thrift_struct s = vx_thrift_begin(in); vx_thrift_field(in, &s);) {
        unknown |= s.id == 11;
        vx_thrift_skip(in, s.type);
    }
    return unknown;
}

static node read_node(vx_thrift_in *in) {
    node n = {.name = "", .type = -1, .repetition = REQUIRED};
    vx_thrift_ints ints = {[1] = &n.type, [3] = &n.repetition, [5] = &n.n_children};
    for (vx_thrift_struct s = vx_thrift_begin(in); vx_thrift_field(in, &s);)
        if (s.id == 4)
            n.name = vx_thrift_read_text(in, s.type, &n.n_name);
        else if (s.id == 10)
            n.is_unknown = is_unknown(in, s.type);
        else
            vx_thrift_take(in, &s, ints);
    return n;
}

static int find_wanted(const walk *w, const node *n) {
    for (size_t i = 0; i < w->layout->n_wanted; i++)
        if (strlen(w->wanted[i].name) == n->n_name &&
            !memcmp(w->wanted[i].name, n->name, n->n_name))
            return (int)i;
    return -1;
}

static const char *const wanted_names[] = {
    [VX_PARQUET_WANT_FLOATS] = "a list of float or double",
    [VX_PARQUET_WANT_TEXT] = "text",
    [VX_PARQUET_WANT_REAL] = "numbers",
};

static bool fits(vx_parquet_wanted_type wanted, int64_t physical, const level *at) {
    bool real = physical == VX_PHYSICAL_FLOAT || physical == VX_PHYSICAL_DOUBLE;
    bool integer = physical == VX_PHYSICAL_INT32 || physical == VX_PHYSICAL_INT64;
    if (wanted == VX_PARQUET_WANT_FLOATS)
        return real && at->repetition == 1;
    return at->repetition == 0 &&
           (wanted == VX_PARQUET_WANT_TEXT ? physical == VX_PHYSICAL_BYTES : real || integer);
}

static int add_leaf(walk *w, const node *n, const level *at, vx_err *err) {
    int index = w->n_leaves++;
    if (at->top < 0 || n->is_unknown)
        return 0;
    vx_leaf *leaf = &w->layout->leaves[at->top];
    const vx_parquet_wanted *wanted = &w->wanted[at->top];
    if (leaf->index >= 0 || !fits(wanted->type, n->type, at))
        return BAD("column %s is not %s", wanted->name, wanted_names[wanted->type]);
    *leaf = (vx_leaf){.index = index,
                      .physical = (int)n->type,
                      .max_definition = at->definition,
                      .max_repetition = at->repetition,
                      .element = at->element};
    return 0;
}

static int add_node(walk *w, const node *n, vx_err *err) {
    level *parent = &w->levels[w->depth];
    level at = *parent;
    if (parent->children_left-- <= 0 || n->repetition < REQUIRED || n->repetition > REPEATED)
        return BAD("the schema in its footer is damaged");
    at.top = w->depth == 0 ? find_wanted(w, n) : parent->top;
    at.definition += n->repetition != REQUIRED;
    at.repetition += n->repetition == REPEATED;
    if (n->repetition == REPEATED)
        at.element = at.definition;
    int rc = 0;
    if (n->type >= 0) {
        rc = add_leaf(w, n, &at, err);
    } else if (n->n_children < 1 || w->depth + 1 == SCHEMA_DEPTH) {
        return BAD("the schema in its footer is damaged or more than %d levels deep", SCHEMA_DEPTH);
    } else {
        at.children_left = n->n_children;
        w->levels[++w->depth] = at;
    }
    while (w->depth && !w->levels[w->depth].children_left)
        w->depth--;
    return rc;
}

static int read_schema(vx_thrift_in *in, int type, walk *w, vx_err *err) {
    int rc = 0;
    size_t n = vx_thrift_read_list(in, type, NULL);
    node root = {.n_children = 0};
    if (n)
        root = read_node(in);
    w->levels[0] = (level){.children_left = root.n_children, .top = -1};
    for (size_t i = 1; i < n && !rc && !in->failed; i++) {
        const node next = read_node(in);
        rc = in->failed ? 0 : add_node(w, &next, err);
    }
    if (!rc && (in->failed || w->depth || w->levels[0].children_left))
        rc = BAD("the schema in its footer is damaged");
    return rc;
}

/* ---- row groups ---- */

typedef struct chunk {
    int64_t codec, n_values, bytes, data_offset, dictionary_offset;
    bool elsewhere, found;
} chunk;

static chunk read_chunk(vx_thrift_in *in) {
    chunk c = {0};
    vx_thrift_ints meta = {[4] = &c.codec,
                           [5] = &c.n_values,
                           [7] = &c.bytes,
                           [9] = &c.data_offset,
                           [11] = &c.dictionary_offset};
    for (vx_thrift_struct s = vx_thrift_begin(in); vx_thrift_field(in, &s);) {
        c.elsewhere |= s.id == 1; /* file_path */
        c.found |= s.id == 3;
        if (s.id == 3)
            vx_thrift_take_all(in, meta);
        else
            vx_thrift_skip(in, s.type);
    }
    return c;
}

static int take_chunk(const chunk *c, int64_t file_bytes, vx_column_part *ret, vx_err *err) {
    /* Some writers set the dictionary's place to 0 where there is none. */
    bool has_dictionary = c->dictionary_offset > 0 && c->dictionary_offset < c->data_offset;
    int64_t offset = has_dictionary ? c->dictionary_offset : c->data_offset;
    if (c->elsewhere)
        return BAD("its columns lie in other files");
    if (c->found && !c->n_values) { /* nothing lies anywhere */
        *ret = (vx_column_part){0};
        return 0;
    }
    if (!c->found || offset < 4 || c->bytes < 0 || offset > file_bytes ||
        c->bytes > file_bytes - offset || c->n_values < 0)
        return BAD("a column lies outside the file, as its footer says");
    *ret = (vx_column_part){
        .offset = offset, .bytes = c->bytes, .n_values = c->n_values, .codec = (int)c->codec};
    return 0;
}

static int read_chunks(vx_thrift_in *in, int type, const walk *w, int64_t file_bytes,
                       vx_column_part *parts, vx_err *err) {
    const vx_parquet_layout *layout = w->layout;
    int rc = 0;
    size_t n = vx_thrift_read_list(in, type, NULL);
    if (!in->failed && n != (size_t)w->n_leaves)
        return BAD("a row group has %zu columns, and the schema %d", n, w->n_leaves);
    for (size_t i = 0; i < n && !rc && !in->failed; i++) {
        const chunk c = read_chunk(in);
        for (size_t k = 0; k < layout->n_wanted && !rc && !in->failed; k++)
            if (layout->leaves[k].index == (int)i)
                rc = take_chunk(&c, file_bytes, &parts[k], err);
    }
    return rc;
}

static int read_group(vx_thrift_in *in, const walk *w, int64_t file_bytes, vx_err *err) {
    vx_parquet_layout *layout = w->layout;
    vx_column_part *parts = layout->parts + layout->n_groups * layout->n_wanted;
    bool has_columns = false;
    int rc = 0;
    int64_t rows = -1;
    vx_thrift_ints ints = {[3] = &rows};
    for (vx_thrift_struct s = vx_thrift_begin(in); !rc && vx_thrift_field(in, &s);)
        if (s.id == 1) {
            rc = read_chunks(in, s.type, w, file_bytes, parts, err);
            has_columns = true;
        } else {
            vx_thrift_take(in, &s, ints);
        }
    if (!rc && (rows < 0 || !has_columns || in->failed))
        rc = BAD("a row group in its footer is damaged");
    layout->group_rows[layout->n_groups++] = rows;
    return rc;
}

static int read_groups(vx_thrift_in *in, int type, const walk *w, int64_t file_bytes, vx_err *err) {
    vx_parquet_layout *layout = w->layout;
    int rc = 0;
    size_t n = vx_thrift_read_list(in, type, NULL);
    if (layout->parts || in->failed)
        return BAD("its footer is damaged");
    if (n > GROUPS_MAX)
        return BAD("it has more than %d row groups", GROUPS_MAX);
    layout->group_rows = vx_new_array(n + 1, sizeof *layout->group_rows);
    layout->parts = vx_new_array((n + 1) * layout->n_wanted, sizeof *layout->parts);
    if (!layout->group_rows || !layout->parts)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu row groups", n);
    for (size_t i = 0; i < n && !rc; i++)
        rc = read_group(in, w, file_bytes, err);
    return rc;
}

/* ---- the footer ---- */

static int check_rows(const vx_parquet_layout *layout, vx_err *err) {
    int64_t rows = 0;
    for (size_t i = 0; i < layout->n_groups; i++)
        if (__builtin_add_overflow(rows, layout->group_rows[i], &rows))
            return BAD("its footer counts too many rows");
    return rows == layout->n_rows
               ? 0
               : BAD("its footer says %" PRId64 " rows, and its row groups have %" PRId64,
                     layout->n_rows, rows);
}

int vx_parquet_read_layout(const uint8_t *footer, size_t n_bytes, int64_t file_bytes,
                           const vx_parquet_wanted *wanted, size_t n_wanted,
                           vx_parquet_layout *layout, vx_err *err) {
    vx_thrift_in in = {.at = footer, .end = footer + n_bytes};
    walk w = {.wanted = wanted, .layout = layout};
    vx_thrift_ints ints = {[3] = &layout->n_rows};
    bool has_schema = false;
    int rc = 0;
    layout->n_wanted = n_wanted;
    for (size_t i = 0; i < n_wanted; i++)
        layout->leaves[i].index = -1;
    for (vx_thrift_struct s = vx_thrift_begin(&in); !rc && vx_thrift_field(&in, &s);)
        if (s.id == 2 && !has_schema) {
            rc = read_schema(&in, s.type, &w, err);
            has_schema = true;
        } else if (s.id == 4 && has_schema) {
            rc = read_groups(&in, s.type, &w, file_bytes, err);
        } else {
            vx_thrift_take(&in, &s, ints);
        }
    if (!rc && (in.failed || !has_schema || !layout->parts))
        rc = BAD("its footer is damaged");
    return rc ? rc : check_rows(layout, err);
}

void vx_parquet_layout_clear(vx_parquet_layout *layout) {
    free(layout->group_rows);
    free(layout->parts);
    *layout = (vx_parquet_layout){0};
}
