/* match.c — whether a value passes a condition, and a video a filter. */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "filter_internal.h"

static const unsigned char *operand(const vx_condition *c, size_t i) {
    return c->operands.bytes + c->at[i];
}

static bool is_in(const vx_condition *c, const unsigned char *scalar) {
    size_t low = 0, high = c->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = vx_scalar_order(scalar, operand(c, middle));
        if (!order)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

static bool is_within(const vx_condition *c, const unsigned char *scalar) {
    int order;
    for (size_t i = 0; i + 1 < c->n; i += 2)
        if (vx_scalar_compare(scalar, operand(c, i), &order) && order >= 0 &&
            vx_scalar_compare(scalar, operand(c, i + 1), &order) && order <= 0)
            return true;
    return false;
}

static bool has_prefix(const unsigned char *scalar, const unsigned char *prefix) {
    size_t n = vx_scalar_bytes(prefix);
    return *scalar == 's' && n <= vx_scalar_bytes(scalar) && !memcmp(scalar + 5, prefix + 5, n - 5);
}

/* Inside of a text; an element of a list is equal or not. Without memory nothing is contained. */
static bool contains(const vx_condition *c, const unsigned char *scalar, bool element,
                     char **folded) {
    if (element)
        return is_in(c, scalar);
    if (*scalar != 's' || !c->folded)
        return false;
    if (!*folded)
        *folded = vx_filter_fold((const char *)scalar + 5, vx_scalar_bytes(scalar) - 5);
    return *folded && strstr(*folded, c->folded);
}

static bool scalar_passes(const vx_condition *c, const unsigned char *scalar, bool element,
                          char **folded) {
    int order;
    switch (c->test) {
    case VX_TEST_IN:
        return is_in(c, scalar);
    case VX_TEST_GT:
        return vx_scalar_compare(scalar, operand(c, 0), &order) && order > 0;
    case VX_TEST_GTE:
        return vx_scalar_compare(scalar, operand(c, 0), &order) && order >= 0;
    case VX_TEST_LT:
        return vx_scalar_compare(scalar, operand(c, 0), &order) && order < 0;
    case VX_TEST_LTE:
        return vx_scalar_compare(scalar, operand(c, 0), &order) && order <= 0;
    case VX_TEST_WITHIN:
        return is_within(c, scalar);
    case VX_TEST_PREFIX:
        return has_prefix(scalar, operand(c, 0));
    case VX_TEST_CONTAINS:
        return contains(c, scalar, element, folded);
    case VX_TEST_EXISTS:
        return true; /* decided by the shape */
    }
    return false;
}

bool vx_condition_passes(const vx_condition *c, const unsigned char *cell, size_t n,
                         char **folded) {
    if (c->test == VX_TEST_EXISTS || *cell == VX_CELL_MISSING)
        return c->test == VX_TEST_EXISTS ? *cell != VX_CELL_MISSING : c->or_missing;
    for (size_t at = 1; at < n; at += vx_scalar_bytes(cell + at))
        if (scalar_passes(c, cell + at, *cell == VX_CELL_ARRAY, folded))
            return true;
    return false;
}

/* ---- a whole video ---- */

typedef struct matcher {
    const vx_filter *filter;
    const vx_video *video;
    json_t *metadata;
    vx_cell cell;
    bool no_memory;
} matcher;

static bool passes_condition(matcher *m, const vx_condition *c) {
    if (!vx_field_read(&c->field, m->video, m->metadata, &m->cell)) {
        m->no_memory = true;
        return false;
    }
    VX_AUTO_FREE char *folded = NULL;
    return vx_condition_passes(c, m->cell.bytes, m->cell.n, &folded);
}

static bool passes(matcher *m, const vx_node *node) {
    const vx_node *children = m->filter->nodes + node->first;
    switch (node->kind) {
    case VX_NODE_CONDITION:
        return passes_condition(m, &m->filter->conditions[node->first]);
    case VX_NODE_NOT:
        return !passes(m, children);
    case VX_NODE_AND:
        for (size_t i = 0; i < node->n; i++)
            if (!passes(m, &children[i]))
                return false;
        return true;
    case VX_NODE_OR:
        for (size_t i = 0; i < node->n; i++)
            if (passes(m, &children[i]))
                return true;
        return false;
    }
    return false;
}

int vx_filter_match(const vx_filter *filter, const vx_video *video, bool *ret_passes, vx_err *err) {
    matcher m = {.filter = filter, .video = video};
    m.metadata = json_loads(video->metadata ? video->metadata : "{}", 0, NULL);
    bool found = passes(&m, &filter->root);
    json_decref(m.metadata);
    vx_cell_done(&m.cell);
    if (m.no_memory)
        return VX_FAIL(err, -ENOMEM, "no memory to test a video");
    *ret_passes = found;
    return 0;
}
