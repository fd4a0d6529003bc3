/* match.c — whether a value passes a condition, and a video a filter. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "filter_internal.h"

static const unsigned char *operand(const vx_condition *c, size_t i) {
    return c->operands.bytes + c->at[i];
}

#define N_MARKS 63 /* beside VX_MARK_LIST */

static uint64_t mark_of_hash(uint64_t hash) {
    return UINT64_C(1) << ((hash * UINT64_C(0x9e3779b97f4a7c15) >> 32) * N_MARKS >> 32);
}

/* A bit for each scalar, by its length, its beginning and its end: most that are no operand have another one
 * than the operands. */
static uint64_t mark_of(const unsigned char *scalar) {
    size_t n = vx_scalar_bytes(scalar);
    uint32_t first = *scalar, last = 0;
    if (n >= 9) { /* numbers, and texts of 4 bytes or more */
        size_t from = *scalar == 's' ? 5 : 1;
        memcpy(&first, scalar + from, sizeof first);
        memcpy(&last, scalar + n - sizeof last, sizeof last);
    } else if (n > 5) {
        first = scalar[5] | (uint32_t)scalar[n - 1] << 8 | (uint32_t)scalar[5 + (n - 5) / 2] << 16;
    }
    return mark_of_hash(((uint64_t)first << 32 | last) + n);
}

static uint64_t marks_of_text(const char *folded, size_t n) {
    uint64_t marks = 0;
    for (size_t i = 0; i + 1 < n; i++)
        marks |=
            mark_of_hash((unsigned char)folded[i] | (uint64_t)(unsigned char)folded[i + 1] << 8);
    return marks;
}

/* Text that cannot be folded, for want of memory: any. */
uint64_t vx_cell_marks(const unsigned char *cell, size_t n) {
    uint64_t marks = VX_MARK_LIST;
    if (*cell == VX_CELL_ARRAY) {
        for (size_t at = 1; at < n; at += vx_scalar_bytes(cell + at))
            marks |= mark_of(cell + at);
        return marks;
    }
    if (n < 6 || *cell != VX_CELL_ONE || cell[1] != 's')
        return 0;
    VX_AUTO_FREE char *folded = vx_filter_fold((const char *)cell + 6, n - 6);
    return folded ? marks_of_text(folded, strlen(folded)) : UINT64_MAX;
}

static bool is_in(const vx_condition *c, const unsigned char *scalar) {
    size_t low = 0, high = c->n;
    if (!(c->marks & mark_of(scalar)))
        return false;
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

enum { SHORT_TEXT = 1024 };

/* Inside of a text; an element of a list is equal or not. Without memory nothing is contained. */
static bool contains(const vx_condition *c, const unsigned char *scalar, bool element) {
    char lower[SHORT_TEXT + 1];
    if (element)
        return is_in(c, scalar);
    if (*scalar != 's' || !c->folded)
        return false;
    const char *text = (const char *)scalar + 5;
    size_t n = vx_scalar_bytes(scalar) - 5;
    if (n <= SHORT_TEXT && vx_filter_lower_ascii(text, n, lower))
        return memmem(lower, n, c->folded, c->n_folded);
    VX_AUTO_FREE char *folded = vx_filter_fold(text, n);
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

/* Of an operand, as vx_cell_number() has it. */
static double number_of(const vx_condition *c, size_t i) {
    unsigned char cell[10] = {VX_CELL_ONE};
    size_t n = vx_scalar_bytes(operand(c, i));
    if (n != sizeof cell - 1)
        return NAN;
    memcpy(cell + 1, operand(c, i), n);
    return vx_cell_number(cell, sizeof cell);
}

/* Whole numbers beyond 2^53 have no number in a cell, and are compared as scalars. */
void vx_condition_prepare(vx_condition *c) {
    for (size_t i = 0; i < c->n; i++)
        c->marks |= mark_of(operand(c, i));
    c->n_folded = c->folded ? strlen(c->folded) : 0;
    c->needed = marks_of_text(c->folded, c->n_folded);
    bool below = c->test == VX_TEST_LT || c->test == VX_TEST_LTE;
    bool above = c->test == VX_TEST_GT || c->test == VX_TEST_GTE;
    bool within = c->test == VX_TEST_WITHIN && c->n == 2;
    if (!below && !above && !within)
        return;
    double first = number_of(c, 0), last = within ? number_of(c, 1) : first;
    if (c->test == VX_TEST_GT)
        first = nextafter(first, INFINITY);
    if (c->test == VX_TEST_LT)
        last = nextafter(last, -INFINITY);
    c->interval = (vx_interval){.is_known = !isnan(first) && !isnan(last),
                                .low = below ? -INFINITY : first,
                                .high = above ? INFINITY : last};
}

bool vx_condition_passes(const vx_condition *c, const unsigned char *cell, size_t n) {
    double number = c->interval.is_known ? vx_cell_number(cell, n) : (double)NAN;
    if (!isnan(number))
        return number >= c->interval.low && number <= c->interval.high;
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
