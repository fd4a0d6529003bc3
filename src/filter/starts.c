/* starts.c — how the texts of 64 slots begin, side by side: so that $prefix and the orders of texts are decided for
 * all 64 without a look at values, of which each lies somewhere else in memory.
 *
 * Texts that came one after the other often begin alike ("films/2026/"), so what all 64 have in common is kept once,
 * and of each the 8 bytes behind that. It is only ever shortened while some of its texts stay, so 64 texts that come
 * cost some hundred looks at each other. No text has a NUL, which JSON and file names cannot have.
 *
 * Rejected: the order of all texts. To keep it while they come takes 20 comparisons a text, each a miss of the
 * caches; and to look up what lies between two texts does not tell which slots have it.
 */
#include <string.h>

#include "base/simd.h"
#include "column.h"

/* The text that is a slot's value; NULL: it is none. */
static const unsigned char *text_of(const vx_column *column, size_t slot, size_t *ret_n) {
    uint32_t code = column->codes[slot];
    const vx_column_value *value = &column->values[code];
    const unsigned char *cell = code < VX_CODE_FIRST ? NULL : vx_column_cell(column, value);
    if (!cell || value->n_bytes < 6 || *cell != VX_CELL_ONE || cell[1] != 's')
        return NULL;
    *ret_n = value->n_bytes - 6;
    return cell + 6;
}

/* Its first 8 bytes as a number in the order of texts. */
static int64_t number_of(const unsigned char *text, size_t n) {
    uint64_t number = 0;
    unsigned char bytes[8] = {0};
    memcpy(bytes, text, n < sizeof bytes ? n : sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        number = number << 8 | bytes[i];
    return (int64_t)(number ^ UINT64_C(1) << 63);
}

static void set_next(const vx_column *column, vx_column_starts *starts, size_t slot) {
    size_t n = 0;
    const unsigned char *text = text_of(column, slot, &n);
    starts->next[slot % 64] = number_of(text + starts->n_common, n - starts->n_common);
}

void vx_starts_set(vx_column *column, size_t slot) {
    vx_column_starts *starts = &column->starts[slot / 64];
    uint64_t bit = UINT64_C(1) << slot % 64;
    size_t n = 0, same = 0;
    const unsigned char *text = text_of(column, slot, &n);
    starts->are_texts &= ~bit;
    if (!text)
        return;
    if (!starts->are_texts) {
        starts->n_common = n < sizeof starts->common ? (uint32_t)n : sizeof starts->common;
        memcpy(starts->common, text, starts->n_common);
    }
    while (same < starts->n_common && same < n && starts->common[same] == text[same])
        same++;
    bool shorter = same < starts->n_common;
    starts->n_common = (uint32_t)same;
    starts->are_texts |= bit;
    for (uint64_t left = shorter ? starts->are_texts : bit; left; left &= left - 1)
        set_next(column, starts, slot / 64 * 64 + (size_t)__builtin_ctzll(left));
}

/* Bit i: the i-th number lies below low, or above high. */
VX_SIMD_CLONES static void compare_next(const int64_t *next, int64_t low, int64_t high,
                                        uint64_t *ret_below, uint64_t *ret_above) {
    uint64_t below = 0, above = 0;
#pragma omp simd reduction(| : below, above)
    for (uint64_t i = 0; i < 64; i++) {
        below |= (uint64_t)(next[i] < low) << i;
        above |= (uint64_t)(next[i] > high) << i;
    }
    *ret_below = below;
    *ret_above = above;
}

bool vx_starts_can_test(const vx_condition *condition) {
    bool is_order = condition->test >= VX_TEST_GT && condition->test <= VX_TEST_LTE;
    return (is_order || condition->test == VX_TEST_PREFIX) &&
           condition->operands.bytes[condition->at[0]] == 's';
}

/* What lies below the operand and what above it passes or fails by that. Between are the texts that begin with what is
 * left of it behind the common bytes, 8 bytes of that at most. */
void vx_starts_test(const vx_column_starts *starts, const vx_condition *condition,
                    uint64_t *ret_yes, uint64_t *ret_maybe) {
    const unsigned char *operand = condition->operands.bytes + condition->at[0],
                        *text = operand + 5;
    size_t n = vx_scalar_bytes(operand) - 5, n_common = starts->n_common;
    bool is_prefix = condition->test == VX_TEST_PREFIX;
    int order = memcmp(starts->common, text, n < n_common ? n : n_common);
    uint64_t below = order < 0 ? UINT64_MAX : 0, above = order > 0 ? UINT64_MAX : 0, yes = 0;
    if (!order && n < n_common && !is_prefix) {
        above = UINT64_MAX;
    } else if (!order && (n > n_common || !is_prefix)) {
        int64_t low = number_of(text + n_common, n - n_common);
        uint64_t rest = n - n_common < 8 ? UINT64_MAX >> 8 * (n - n_common) : 0;
        compare_next(starts->next, low, is_prefix ? (int64_t)((uint64_t)low | rest) : low, &below,
                     &above);
    }
    uint64_t between = ~below & ~above;
    if (is_prefix)
        yes = n <= n_common + 8 ? between : 0;
    else
        yes = condition->test == VX_TEST_GT || condition->test == VX_TEST_GTE ? above : below;
    *ret_yes = yes & starts->are_texts;
    *ret_maybe = yes | between | ~starts->are_texts;
}
