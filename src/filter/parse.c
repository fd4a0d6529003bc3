/* parse.c — JSON to a filter: what is not in the contract is refused, with the place. */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/log.h"
#include "filter_internal.h"

typedef struct parser {
    vx_filter *filter;
    char *pointer; /* [VX_FILTER_POINTER_BYTES] to what is being read */
    size_t n_pointer;
    int depth;
    vx_err *err;
} parser;

#define BAD(p, ...) VX_FAIL((p)->err, VX_FILTER_BAD, __VA_ARGS__)
#define NO_MEMORY(p) VX_FAIL((p)->err, -ENOMEM, "no memory for a filter")

/* ---- the place ---- */

/* Goes into a member; returns where to come back to. A pointer that does not fit ends early. */
static size_t enter(parser *p, const char *name) {
    size_t back = p->n_pointer;
    char step[3] = "/";
    for (const char *c = name; *step; c++) {
        size_t n = strlen(step);
        if (p->n_pointer + n < VX_FILTER_POINTER_BYTES) {
            memcpy(p->pointer + p->n_pointer, step, n + 1);
            p->n_pointer += n;
        }
        strcpy(step, *c == '~' ? "~0" : *c == '/' ? "~1" : (char[]){*c, '\0'});
    }
    return back;
}

static size_t enter_item(parser *p, size_t i) {
    char number[24];
    snprintf(number, sizeof number, "%zu", i);
    return enter(p, number);
}

/* Only after success: on failure the pointer stays where it is. */
static void leave(parser *p, size_t back) {
    p->n_pointer = back;
    p->pointer[back] = '\0';
}

/* ---- operands ---- */

static int add_operand(parser *p, vx_condition *c, const json_t *value) {
    vx_cell *cell = &c->operands;
    c->at[c->n] = cell->n ? cell->n : 1; /* behind the shape */
    bool fine = true;
    switch (json_typeof(value)) {
    case JSON_NULL:
        c->or_missing = true;
        fine = vx_cell_null(cell);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        fine = vx_cell_bool(cell, json_is_true(value));
        break;
    case JSON_INTEGER:
        fine = vx_cell_int(cell, json_integer_value(value));
        break;
    case JSON_REAL:
        fine = vx_cell_real(cell, json_real_value(value));
        break;
    case JSON_STRING:
        if (json_string_length(value) > VX_FILTER_MAX_STRING)
            return BAD(p, "a string to compare with has at most %d bytes", VX_FILTER_MAX_STRING);
        fine = vx_cell_text(cell, json_string_value(value), json_string_length(value));
        break;
    default:
        return BAD(p, "compare with a string, a number, true, false or null");
    }
    c->n += fine;
    return fine ? 0 : NO_MEMORY(p);
}

static bool is_of_type(const json_t *value, vx_field_type type) {
    switch (type) {
    case VX_FIELD_NUMBER:
        return json_is_number(value);
    case VX_FIELD_BOOL:
        return json_is_boolean(value);
    default:
        return json_is_string(value);
    }
}

/* A field of every video has one type, so another one is a mistake of the client. */
static int check_type(parser *p, const vx_condition *c, const json_t *value) {
    static const char *const wanted[] = {[VX_FIELD_NUMBER] = "a number",
                                         [VX_FIELD_STRING] = "a string",
                                         [VX_FIELD_BOOL] = "true or false",
                                         [VX_FIELD_DATE] = "a date"};
    if (c->field.row < 0 || json_is_null(value))
        return 0;
    vx_field_type type = vx_fields[c->field.row].type;
    if (is_of_type(value, type))
        return 0;
    return BAD(p, "%s is compared with %s", vx_fields[c->field.row].name, wanted[type]);
}

static int read_operand(parser *p, vx_condition *c, const json_t *value) {
    int rc = check_type(p, c, value);
    return rc ? rc : add_operand(p, c, value);
}

/* Sorts the operands of IN by their bytes: a condition looks each scalar up. */
static int by_bytes(const void *a, const void *b, void *ctx) {
    const unsigned char *x = (unsigned char *)ctx + *(const size_t *)a;
    const unsigned char *y = (unsigned char *)ctx + *(const size_t *)b;
    return vx_scalar_order(x, y);
}

static bool add_int(vx_condition *c, int64_t value) {
    c->at[c->n] = c->operands.n ? c->operands.n : 1; /* behind the shape */
    c->n++;
    return vx_cell_int(&c->operands, value);
}

/* Its first and its last moment. */
static int read_date(parser *p, vx_condition *c, const json_t *value) {
    int64_t first_us, last_us;
    if (!json_is_string(value) ||
        !vx_filter_read_date(json_string_value(value), &first_us, &last_us))
        return BAD(p, "this must be a date or a time as in RFC 3339: 2026-01-31, "
                      "2026-01-31T12:00:00Z or 2026-01-31T13:00:00.5+01:00");
    /* Greater than a day is greater than its last moment; so is up to a day. */
    int64_t us = c->test == VX_TEST_GT || c->test == VX_TEST_LTE ? last_us : first_us;
    return add_int(c, us) && add_int(c, last_us) ? 0 : NO_MEMORY(p);
}

static bool is_date(const vx_condition *c) {
    return c->field.row >= 0 && vx_fields[c->field.row].type == VX_FIELD_DATE;
}

static int read_item(parser *p, vx_condition *c, const json_t *value) {
    if (!is_date(c))
        return read_operand(p, c, value);
    return json_is_null(value) ? 0 : read_date(p, c, value); /* every video has a date */
}

static int read_list(parser *p, vx_condition *c, const json_t *list) {
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n > VX_FILTER_MAX_LIST)
        return BAD(p, "this must be a list of at most %d values", VX_FILTER_MAX_LIST);
    if (!(c->at = vx_new_array(2 * n + 1, sizeof *c->at)))
        return NO_MEMORY(p);
    if (is_date(c))
        c->test = VX_TEST_WITHIN;
    for (size_t i = 0; i < n; i++) {
        size_t back = enter_item(p, i);
        int rc = read_item(p, c, json_array_get(list, i));
        if (rc)
            return rc;
        leave(p, back);
    }
    if (n && c->test == VX_TEST_IN)
        qsort_r(c->at, n, sizeof *c->at, by_bytes, c->operands.bytes);
    return 0;
}

static int read_one(parser *p, vx_condition *c, const json_t *value) {
    if (!(c->at = vx_new_array(2, sizeof *c->at)))
        return NO_MEMORY(p);
    return read_operand(p, c, value);
}

static int read_equal(parser *p, vx_condition *c, const json_t *value) {
    if (!is_date(c) || json_is_null(value))
        return read_one(p, c, value);
    c->test = VX_TEST_WITHIN;
    return (c->at = vx_new_array(2, sizeof *c->at)) ? read_date(p, c, value) : NO_MEMORY(p);
}

static int read_ordered(parser *p, vx_condition *c, const json_t *value) {
    if (!is_date(c) && !json_is_number(value) && !json_is_string(value))
        return BAD(p, "only numbers and strings have an order");
    if (!is_date(c))
        return read_one(p, c, value);
    return (c->at = vx_new_array(2, sizeof *c->at)) ? read_date(p, c, value) : NO_MEMORY(p);
}

static int read_exists(parser *p, vx_condition *c, const json_t *value) {
    (void)c;
    return json_is_boolean(value) ? 0 : BAD(p, "$exists takes true or false");
}

/* Of text; a field of every video must be text. */
static int check_text(parser *p, const vx_condition *c, const char *op) {
    if (c->field.row < 0 || vx_fields[c->field.row].type == VX_FIELD_STRING)
        return 0;
    return BAD(p, "%s is no text, which %s is for", vx_fields[c->field.row].name, op);
}

static int read_prefix(parser *p, vx_condition *c, const json_t *value) {
    int rc = check_text(p, c, "$prefix");
    if (rc || !json_is_string(value))
        return rc ? rc : BAD(p, "$prefix takes a string");
    return read_one(p, c, value);
}

static int read_contains(parser *p, vx_condition *c, const json_t *value) {
    int rc = check_text(p, c, "$contains");
    if (!rc && !json_is_string(value) && !json_is_number(value) && !json_is_boolean(value))
        rc = BAD(p, "$contains takes a string, or the number, true or false to find in a list");
    if (!rc)
        rc = read_one(p, c, value);
    if (!rc && json_is_string(value) &&
        !(c->folded = vx_filter_fold(json_string_value(value), json_string_length(value))))
        rc = NO_MEMORY(p);
    return rc;
}

/* ---- conditions ---- */

static const struct operator{
    const char *name;
    vx_test test;
    bool negated;
    int (*read)(parser * p, vx_condition * c, const json_t *value);
}
operators[] = {
    {"$eq", VX_TEST_IN, false, read_equal},
    {"$ne", VX_TEST_IN, true, read_equal},
    {"$in", VX_TEST_IN, false, read_list},
    {"$nin", VX_TEST_IN, true, read_list},
    {"$gt", VX_TEST_GT, false, read_ordered},
    {"$gte", VX_TEST_GTE, false, read_ordered},
    {"$lt", VX_TEST_LT, false, read_ordered},
    {"$lte", VX_TEST_LTE, false, read_ordered},
    {"$exists", VX_TEST_EXISTS, false, read_exists},
    {"$prefix", VX_TEST_PREFIX, false, read_prefix},
    {"$contains", VX_TEST_CONTAINS, false, read_contains},
};

/* n nodes beside each other, to be filled in. */
static int add_nodes(parser *p, size_t n, size_t *ret_first) {
    vx_filter *filter = p->filter;
    size_t wanted = filter->n_nodes + n;
    if (wanted > filter->capacity) {
        vx_node *grown = vx_regrow(filter->nodes, 2 * wanted, sizeof *grown);
        if (!grown)
            return NO_MEMORY(p);
        filter->nodes = grown;
        filter->capacity = 2 * wanted;
    }
    memset(filter->nodes + filter->n_nodes, 0, n * sizeof *filter->nodes);
    *ret_first = filter->n_nodes;
    filter->n_nodes = wanted;
    return 0;
}

/* The node gets a child, which ret_node is for: what it stands for is the opposite of that. */
static int negate(parser *p, vx_node *node, vx_node child) {
    size_t first;
    int rc = add_nodes(p, 1, &first);
    if (!rc) {
        p->filter->nodes[first] = child;
        *node = (vx_node){VX_NODE_NOT, first, 1};
    }
    return rc;
}

static int read_operator(parser *p, const char *field, const char *name, const json_t *value,
                         vx_node *ret_node) {
    const struct operator* op = NULL;
    for (size_t i = 0; i < VX_LEN(operators) && !op; i++)
        if (!strcmp(name, operators[i].name))
            op = &operators[i];
    char shown[80];
    if (!op)
        return BAD(p, "there is no operator %s", vx_log_quote(name, shown, sizeof shown));
    vx_filter *filter = p->filter;
    if (filter->n_conditions == VX_FILTER_MAX_CONDITIONS)
        return BAD(p, "a filter has at most %d conditions", VX_FILTER_MAX_CONDITIONS);
    vx_condition *c = &filter->conditions[filter->n_conditions];
    *c = (vx_condition){.test = op->test, .field = {.row = -1}};
    int rc = vx_field_parse(field, &c->field, p->err);
    if (rc)
        return rc;
    filter->of_clips |= vx_field_is_of_clips(&c->field);
    vx_node node = {VX_NODE_CONDITION, filter->n_conditions++, 0};
    rc = op->read(p, c, value);
    if (!rc)
        vx_condition_prepare(c);
    bool negated = op->negated || (op->test == VX_TEST_EXISTS && json_is_false(value));
    if (!rc && negated)
        rc = negate(p, &node, node);
    *ret_node = node;
    return rc;
}

/* ---- the tree ---- */

static int read_object(parser *p, const json_t *object, const char *field, vx_node *ret_node);

/* {"$gte": 1, "$lt": 2} of a field, or a filter: what its members say, all of it. */
static int read_deeper(parser *p, const json_t *object, const char *field, vx_node *ret_node) {
    if (!json_is_object(object))
        return field ? BAD(p, "this must be an object of operators")
                     : BAD(p, "this must be a filter: a JSON object");
    if (p->depth == VX_FILTER_MAX_DEPTH)
        return BAD(p, "a filter is nested at most %d levels deep", VX_FILTER_MAX_DEPTH);
    p->depth++;
    int rc = read_object(p, object, field, ret_node);
    p->depth--;
    return rc;
}

static int read_not(parser *p, const json_t *object, const char *field, vx_node *ret_node) {
    vx_node child;
    int rc = read_deeper(p, object, field, &child);
    return rc ? rc : negate(p, ret_node, child);
}

/* $and and $or. */
static int read_filters(parser *p, const json_t *list, vx_node_kind kind, vx_node *ret_node) {
    size_t n = json_array_size(list), first;
    if (!json_is_array(list) || !n || n > VX_FILTER_MAX_CONDITIONS)
        return BAD(p, "this must be a list of 1 to %d filters", VX_FILTER_MAX_CONDITIONS);
    int rc = add_nodes(p, n, &first);
    for (size_t i = 0; i < n && !rc; i++) {
        size_t back = enter_item(p, i);
        vx_node node;
        if ((rc = read_deeper(p, json_array_get(list, i), NULL, &node)))
            return rc;
        p->filter->nodes[first + i] = node;
        leave(p, back);
    }
    *ret_node = (vx_node){kind, first, n};
    return rc;
}

static int read_field(parser *p, const char *name, const json_t *value, vx_node *ret_node) {
    vx_field field;
    int rc = vx_field_parse(name, &field, p->err);
    if (rc)
        return rc;
    vx_field_done(&field);
    if (json_is_array(value))
        return BAD(p, "to compare with a list of values, use {\"$in\": [...]}");
    return json_is_object(value) ? read_deeper(p, value, name, ret_node)
                                 : read_operator(p, name, "$eq", value, ret_node);
}

static int read_member(parser *p, const char *name, const json_t *value, const char *field,
                       vx_node *ret_node) {
    if (!strcmp(name, "$not"))
        return read_not(p, value, field, ret_node);
    if (field)
        return read_operator(p, field, name, value, ret_node);
    if (!strcmp(name, "$and"))
        return read_filters(p, value, VX_NODE_AND, ret_node);
    if (!strcmp(name, "$or"))
        return read_filters(p, value, VX_NODE_OR, ret_node);
    return read_field(p, name, value, ret_node);
}

static int read_object(parser *p, const json_t *object, const char *field, vx_node *ret_node) {
    size_t n = json_object_size(object), first, i = 0;
    if (field && !n)
        return BAD(p, "an operator is missing");
    if (n > VX_FILTER_MAX_CONDITIONS)
        return BAD(p, "a filter has at most %d conditions", VX_FILTER_MAX_CONDITIONS);
    int rc = add_nodes(p, n, &first);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value) {
        size_t back = enter(p, name);
        vx_node node;
        if (rc || (rc = read_member(p, name, value, field, &node)))
            return rc;
        p->filter->nodes[first + i++] = node;
        leave(p, back);
    }
    *ret_node = (vx_node){VX_NODE_AND, first, n};
    return rc;
}

/* ---- order ---- */

/* What a test of a value costs, roughly: a comparison of numbers, one of marks, one of texts, a search in them. */
static unsigned cost_of(const vx_filter *filter, const vx_node *node) {
    unsigned cost = 0;
    if (node->kind == VX_NODE_CONDITION) {
        const vx_condition *c = &filter->conditions[node->first];
        bool is_cheap = c->interval.is_known || c->test == VX_TEST_IN || c->test == VX_TEST_EXISTS;
        if (c->test == VX_TEST_CONTAINS)
            return c->needed ? 2 : 16;
        return is_cheap ? 1 : 4;
    }
    for (size_t i = 0; i < node->n; i++)
        cost += cost_of(filter, &filter->nodes[node->first + i]);
    return cost;
}

/* The cheap ones of $and and $or first: what they decide the others need not look at. */
static void order_children(vx_filter *filter, const vx_node *node) {
    vx_node *children = filter->nodes + node->first;
    for (size_t i = 0; i < node->n; i++) {
        vx_node child = children[i];
        size_t at = i;
        for (; at > 0 && cost_of(filter, &children[at - 1]) > cost_of(filter, &child); at--)
            children[at] = children[at - 1];
        children[at] = child;
    }
}

/* {} passes always, an $or of nothing never. */
static bool is_always(const vx_node *node, vx_node_kind kind) {
    return node->kind == kind && !node->n;
}

/* Leaves out what decides nothing, so that a test takes as long as its conditions do, however many {} there are, and
 * orders the rest. */
static void simplify(vx_filter *filter, vx_node *node) {
    vx_node *children = filter->nodes + node->first;
    vx_node_kind opposite = node->kind == VX_NODE_OR ? VX_NODE_AND : VX_NODE_OR;
    size_t n = 0;
    if (node->kind == VX_NODE_CONDITION)
        return;
    for (size_t i = 0; i < node->n; i++) {
        vx_node child = children[i];
        simplify(filter, &child);
        if (node->kind != VX_NODE_NOT && is_always(&child, opposite)) {
            *node = child;
            return;
        }
        if (node->kind == VX_NODE_NOT || !is_always(&child, node->kind))
            children[n++] = child;
    }
    node->n = n;
    if (node->kind != VX_NODE_NOT && n == 1)
        *node = children[0];
    else if (node->kind != VX_NODE_NOT)
        order_children(filter, node);
    else if (children->kind == VX_NODE_NOT)
        *node = filter->nodes[children->first];
    else if (is_always(children, VX_NODE_AND) || is_always(children, VX_NODE_OR))
        *node = (vx_node){children->kind == VX_NODE_AND ? VX_NODE_OR : VX_NODE_AND, 0, 0};
}

int vx_filter_parse(const json_t *json, const json_t *also, vx_filter **ret_filter,
                    char ret_pointer[VX_FILTER_POINTER_BYTES], vx_err *err) {
    VX_AUTO(vx_filter) filter = vx_new(vx_filter);
    parser p = {.filter = filter, .pointer = ret_pointer, .err = err};
    ret_pointer[0] = '\0';
    if (filter)
        filter->conditions = vx_new_array(VX_FILTER_MAX_CONDITIONS, sizeof *filter->conditions);
    if (!filter || !filter->conditions)
        return NO_MEMORY(&p);
    size_t both;
    vx_node node, other = {VX_NODE_AND, 0, 0};
    int rc = add_nodes(&p, 2, &both);
    if (!rc)
        rc = read_deeper(&p, json, NULL, &node);
    if (!rc && also)
        rc = read_deeper(&p, also, NULL, &other);
    if (rc)
        return rc;
    filter->nodes[both] = node;
    filter->nodes[both + 1] = other;
    filter->root = (vx_node){VX_NODE_AND, both, 2};
    simplify(filter, &filter->root);
    *ret_filter = vx_take(filter);
    return 0;
}

vx_filter *vx_filter_free(vx_filter *filter) {
    if (!filter)
        return NULL;
    for (size_t i = 0; i < filter->n_conditions; i++) {
        vx_condition *c = &filter->conditions[i];
        vx_field_done(&c->field);
        vx_cell_done(&c->operands);
        free(c->at);
        free(c->folded);
    }
    free(filter->conditions);
    free(filter->nodes);
    free(filter);
    return NULL;
}
