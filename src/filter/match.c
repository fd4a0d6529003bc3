/* match.c — whether a value passes a condition, and a video a filter. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
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
static bool contains(const vx_condition *c, const unsigned char *scalar, bool element) {
    if (element)
        return is_in(c, scalar);
    if (*scalar != 's' || !c->folded)
        return false;
    VX_AUTO_FREE char *folded =
        vx_filter_fold((const char *)scalar + 5, vx_scalar_bytes(scalar) - 5);
    return folded && strstr(folded, c->folded);
}

static bool scalar_passes(const vx_condition *c, const unsigned char *scalar, bool element) {
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
        return contains(c, scalar, element);
    case VX_TEST_EXISTS:
        return true; /* decided by the shape */
    }
    return false;
}

/* ---- numbers ---- */

#define EXACT_IN_DOUBLE (INT64_C(1) << 53) /* up to here a whole number is the same as a double */

void vx_condition_prepare(vx_condition *c) {
    bool below = c->test == VX_TEST_LT || c->test == VX_TEST_LTE;
    bool above = c->test == VX_TEST_GT || c->test == VX_TEST_GTE;
    bool within = c->test == VX_TEST_WITHIN && c->n == 2;
    if ((!below && !above && !within) || *operand(c, 0) != 'i')
        return;
    int64_t first, last;
    memcpy(&first, operand(c, 0) + 1, sizeof first);
    memcpy(&last, operand(c, within) + 1, sizeof last);
    if (first < -EXACT_IN_DOUBLE || last > EXACT_IN_DOUBLE || first > EXACT_IN_DOUBLE)
        return;
    c->interval = (vx_interval){.is_known = true,
                                .first = below ? INT64_MIN : first + (c->test == VX_TEST_GT),
                                .last = above ? INT64_MAX : last - (c->test == VX_TEST_LT),
                                .low = below ? -INFINITY : (double)first,
                                .high = above ? INFINITY : (double)last};
}

/* A cell is its shape, a tag and 8 bytes. */
static bool is_inside(const vx_interval *interval, const unsigned char *cell) {
    int64_t whole;
    double real;
    if (cell[1] == 'i') {
        memcpy(&whole, cell + 2, sizeof whole);
        return whole >= interval->first && whole <= interval->last;
    }
    memcpy(&real, cell + 2, sizeof real); /* never whole, so never equal to a bound */
    return real > interval->low && real < interval->high;
}

bool vx_condition_passes(const vx_condition *c, const unsigned char *cell, size_t n) {
    if (c->interval.is_known && n == 10 && *cell == VX_CELL_ONE &&
        (cell[1] == 'i' || cell[1] == 'r'))
        return is_inside(&c->interval, cell);
    if (c->test == VX_TEST_EXISTS || *cell == VX_CELL_MISSING)
        return c->test == VX_TEST_EXISTS ? *cell != VX_CELL_MISSING : c->or_missing;
    for (size_t at = 1; at < n; at += vx_scalar_bytes(cell + at))
        if (scalar_passes(c, cell + at, *cell == VX_CELL_ARRAY))
            return true;
    return false;
}

/* ---- a whole video ---- */

typedef struct matcher {
    const vx_filter *filter;
    const vx_video *video;
    const vx_clip *clip; /* NULL: of no clip */
    json_t *metadata;
    vx_cell cell;
    bool no_memory;
} matcher;

static bool passes_condition(matcher *m, const vx_condition *c) {
    if (!vx_field_read(&c->field, m->video, m->clip, m->metadata, &m->cell)) {
        m->no_memory = true;
        return false;
    }
    return vx_condition_passes(c, m->cell.bytes, m->cell.n);
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

bool vx_filter_is_of_clips(const vx_filter *filter) {
    return filter->of_clips;
}

int vx_filter_match(const vx_filter *filter, const vx_video *video, bool *ret_passes,
                    bool *ret_clips, vx_err *err) {
    matcher m = {.filter = filter, .video = video};
    m.metadata = json_loads(video->metadata ? video->metadata : "{}", 0, NULL);
    bool found = !filter->of_clips && passes(&m, &filter->root);
    for (size_t i = 0; filter->of_clips && i < video->n_clips; i++) {
        m.clip = &video->clips[i];
        bool one = passes(&m, &filter->root);
        found |= one;
        if (ret_clips)
            ret_clips[i] = one;
    }
    json_decref(m.metadata);
    vx_cell_done(&m.cell);
    if (m.no_memory)
        return VX_FAIL(err, -ENOMEM, "no memory to test a video");
    *ret_passes = found;
    return 0;
}
