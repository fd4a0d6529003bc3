#include "evaluate.h"

#include <math.h>
#include <string.h>

#include "base/atomic.h"
#include "base/crew.h"
#include "base/simd.h"

#define ALL UINT64_MAX
/* Slots and conditions that are worth a thread more: some 100 µs of work. A value that must be tested counts as
 * so many of them. */
#define WORK_A_THREAD 200000
#define WORK_A_TEST 20
#define WINDOWS_A_PIECE 128
/* So many wanted slots of 64 are looked at one by one; from there on all are, without a branch. */
#define FEW_SLOTS 12

/* ---- what a condition reads ---- */

static const vx_column *column_of(const vx_filter_columns *columns, const vx_field *field) {
    if (vx_field_is_of_clips(field))
        return &columns->clips.columns[(size_t)field->row - vx_n_video_fields()];
    if (field->row >= 0)
        return &columns->fixed[field->row];
    for (size_t i = 0; i < columns->n_declared; i++)
        if (!strcmp(columns->declared[i].field.name, field->name))
            return &columns->declared[i];
    return NULL;
}

static void set_verdict(const vx_reader *r, uint32_t code, uint8_t verdict) {
    if (code && r->verdicts)
        atomic_store_explicit(&r->verdicts[code], verdict, memory_order_relaxed);
}

/* The scalars that are operands pass, and no others. Arrays pass by their elements: they must be tested. */
static bool mark_operands(const vx_reader *r, uint64_t key) {
    const vx_condition *c = r->condition;
    unsigned char cell[6 + VX_FILTER_MAX_STRING * 4] = {VX_CELL_ONE}; /* NFC can be longer */
    memset((void *)r->verdicts, VX_FAILS, r->column->n_values);
    for (size_t i = 0; i < c->n; i++) {
        const unsigned char *scalar = c->operands.bytes + c->at[i];
        size_t n = vx_scalar_bytes(scalar);
        if (n >= sizeof cell)
            return false;
        memcpy(cell + 1, scalar, n);
        set_verdict(r, vx_column_find(r->column, cell, n + 1, key), VX_PASSES);
    }
    return true;
}

static void mark(const vx_reader *r, uint64_t key) {
    const unsigned char missing[] = {VX_CELL_MISSING};
    uint32_t code = vx_column_find(r->column, missing, sizeof missing, key);
    size_t n = r->column->n_values;
    if (r->condition->test == VX_TEST_EXISTS) {
        memset((void *)r->verdicts, VX_PASSES, n);
        set_verdict(r, code, VX_FAILS);
    } else if (r->condition->test == VX_TEST_IN && !r->column->n_arrays) {
        if (mark_operands(r, key))
            set_verdict(r, code, r->condition->or_missing ? VX_PASSES : VX_FAILS);
        else
            memset((void *)r->verdicts, VX_NOT_TESTED, n);
    }
    atomic_store(&r->verdicts[VX_CODE_UNKNOWN], VX_NOT_KNOWN);
    atomic_store(&r->verdicts[VX_CODE_LONG], VX_NOT_KNOWN);
}

/* Whether a value will be asked for again: not where most videos have another one. */
static bool keeps_verdicts(const vx_evaluation *e, const vx_reader *r) {
    vx_test test = r->condition->test;
    bool are_marked = test == VX_TEST_EXISTS || (test == VX_TEST_IN && !r->column->n_arrays);
    return are_marked || r->by_video || r->column->n_used <= e->n_slots / 2;
}

bool vx_evaluation_init(vx_evaluation *e, const vx_filter_columns *columns, const vx_filter *filter,
                        int64_t below_row) {
    size_t n = filter->n_conditions;
    *e = (vx_evaluation){.columns = columns, .filter = filter, .below_row = below_row};
    e->n_slots = filter->of_clips ? columns->clips.n
                 : below_row > 0  ? vx_columns_slot(columns, below_row)
                                  : columns->n_slots;
    if (!(e->readers = vx_new_array(n + 1, sizeof *e->readers)))
        return false;
    for (size_t i = 0; i < n; i++) {
        vx_reader *r = &e->readers[i];
        const vx_field *field = &filter->conditions[i].field;
        *r = (vx_reader){.condition = &filter->conditions[i],
                         .column = column_of(columns, field),
                         .by_video = filter->of_clips && !vx_field_is_of_clips(field)};
        if (r->column && !r->column->n_values) /* it does not know any video */
            r->column = NULL;
        if (!r->column)
            continue;
        if (!keeps_verdicts(e, r))
            continue;
        r->version = r->column->version;
        if (!(r->verdicts = vx_new_array(r->column->values_capacity, sizeof *r->verdicts)))
            return false;
        mark(r, columns->key);
    }
    return true;
}

void vx_evaluation_done(vx_evaluation *e) {
    for (size_t i = 0; e->readers && i < e->filter->n_conditions; i++)
        free((void *)e->readers[i].verdicts);
    free(e->readers);
}

/* ---- 64 slots and a condition ---- */

/* ret: [64]; of those that are not wanted any code. */
static const uint32_t *codes_of(const vx_evaluation *e, const vx_reader *r, size_t slot,
                                uint64_t wanted, uint32_t *ret) {
    if (!r->by_video)
        return r->column->codes + slot;
    const uint32_t *videos = e->columns->clips.videos + slot;
    memset(ret, 0, 64 * sizeof *ret);
    for (; wanted; wanted &= wanted - 1) {
        unsigned i = (unsigned)__builtin_ctzll(wanted);
        ret[i] = r->column->codes[videos[i]];
    }
    return ret;
}

/* The same of numbers. */
static const double *numbers_of(const vx_evaluation *e, const vx_reader *r, size_t slot,
                                uint64_t wanted, double *ret) {
    if (!r->by_video)
        return r->column->numbers + slot;
    const uint32_t *videos = e->columns->clips.videos + slot;
    memset(ret, 0, 64 * sizeof *ret);
    for (; wanted; wanted &= wanted - 1) {
        unsigned i = (unsigned)__builtin_ctzll(wanted);
        ret[i] = r->column->numbers[videos[i]];
    }
    return ret;
}

/* NaN, of what is no number or not known, leaves it open. */
VX_SIMD_CLONES static vx_three_valued compare_numbers(const double *numbers, vx_interval interval) {
    uint64_t yes = 0, open = 0;
#pragma omp simd reduction(| : yes, open)
    for (uint64_t i = 0; i < 64; i++) {
        double number = numbers[i];
        yes |= (uint64_t)((number >= interval.low) & (number <= interval.high)) << i;
        open |= (uint64_t)(number != number) << i;
    }
    return (vx_three_valued){yes, yes | open};
}

/* The same of few. */
static vx_three_valued compare_some(const double *numbers, vx_interval interval, uint64_t wanted) {
    vx_three_valued word = {0, 0};
    for (; wanted; wanted &= wanted - 1) {
        unsigned i = (unsigned)__builtin_ctzll(wanted);
        bool yes = numbers[i] >= interval.low && numbers[i] <= interval.high;
        word.yes |= (uint64_t)yes << i;
        word.maybe |= (uint64_t)(yes || numbers[i] != numbers[i]) << i;
    }
    return word;
}

/* What the marks or the starts of 64 slots of the column say; where there are none, anything may pass. */
static vx_three_valued test_window(const vx_reader *r, size_t window) {
    const vx_condition *c = r->condition;
    const vx_column *column = r->column;
    bool by_element = c->test == VX_TEST_IN || c->test == VX_TEST_CONTAINS;
    vx_three_valued word = {0, ALL};
    if (column->starts && vx_starts_can_test(c))
        vx_starts_test(&column->starts[window], c, &word.yes, &word.maybe);
    else if (column->marks && by_element && (c->needed || column->n_arrays))
        word.maybe = vx_column_find_marked(column, window, c->needed, c->marks);
    return word;
}

/* The same of 64 slots of the evaluation. Clips of a video, and those of the next one, lie beside each other: mostly
 * one window has the videos of all. */
static vx_three_valued test_windows(const vx_evaluation *e, const vx_reader *r, size_t slot,
                                    uint64_t wanted) {
    if (!r->by_video)
        return test_window(r, slot / 64);
    const uint32_t *videos = e->columns->clips.videos + slot;
    vx_three_valued word = {0, 0}, now = {0, 0};
    size_t window = SIZE_MAX;
    for (; wanted; wanted &= wanted - 1) {
        unsigned i = (unsigned)__builtin_ctzll(wanted);
        if (videos[i] / 64 != window) {
            window = videos[i] / 64;
            now = test_window(r, window);
        }
        word.yes |= (now.yes >> videos[i] % 64 & 1) << i;
        word.maybe |= (now.maybe >> videos[i] % 64 & 1) << i;
    }
    return word;
}

static uint8_t verdict_on(const vx_reader *r, uint32_t code) {
    if (!r->verdicts)
        return code < VX_CODE_FIRST ? VX_NOT_KNOWN : VX_NOT_TESTED;
    return atomic_load_explicit(&r->verdicts[code], memory_order_relaxed);
}

/* One by one, and tests what was not. Two threads may test a value at once, and find the same. */
static vx_three_valued look_up_some(const vx_reader *r, const uint32_t *codes, uint64_t wanted) {
    const vx_column *column = r->column;
    vx_three_valued word = {0, 0};
    uint64_t untested =
        0; /* their values are asked of the memory before any is needed, then what is kept apart */
    for (uint64_t left = wanted; left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        if (verdict_on(r, codes[i]) != VX_NOT_TESTED)
            continue;
        __builtin_prefetch(column->values + codes[i]);
        untested |= UINT64_C(1) << i;
    }
    for (; untested; untested &= untested - 1)
        __builtin_prefetch(
            vx_column_cell(column, &column->values[codes[__builtin_ctzll(untested)]]));
    for (; wanted; wanted &= wanted - 1) {
        unsigned i = (unsigned)__builtin_ctzll(wanted);
        uint8_t verdict = verdict_on(r, codes[i]);
        if (verdict == VX_NOT_TESTED) {
            const vx_column_value *value = &column->values[codes[i]];
            bool passes =
                vx_condition_passes(r->condition, vx_column_cell(column, value), value->n_bytes);
            verdict = passes ? VX_PASSES : VX_FAILS;
            set_verdict(r, codes[i], verdict);
        }
        word.yes |= (uint64_t)(verdict == VX_PASSES) << i;
        word.maybe |= (uint64_t)(verdict != VX_FAILS) << i;
    }
    return word;
}

static vx_three_valued look_up(const vx_reader *r, const uint32_t *codes, uint64_t wanted) {
    uint64_t passing = 0, failing = 0;
    if (!r->verdicts || __builtin_popcountll(wanted) <= FEW_SLOTS)
        return look_up_some(r, codes, wanted);
    for (unsigned i = 0; i < 64; i++) {
        uint8_t verdict = verdict_on(r, codes[i]);
        passing |= (uint64_t)(verdict == VX_PASSES) << i;
        failing |= (uint64_t)(verdict == VX_FAILS) << i;
    }
    vx_three_valued others = look_up_some(r, codes, wanted & ~passing & ~failing);
    passing &= wanted;
    return (vx_three_valued){passing | others.yes, passing | others.maybe};
}

static vx_three_valued test_values(const vx_evaluation *e, const vx_reader *r, size_t slot,
                                   uint64_t wanted) {
    uint32_t gathered[64];
    vx_three_valued word = test_windows(e, r, slot, wanted);
    uint64_t yes = word.yes & wanted, open = word.maybe & ~word.yes & wanted;
    if (!open)
        return (vx_three_valued){yes, yes};
    word = look_up(r, codes_of(e, r, slot, open, gathered), open);
    return (vx_three_valued){yes | word.yes, yes | word.maybe};
}

vx_three_valued vx_evaluate_condition(const vx_evaluation *e, size_t condition, size_t slot,
                                      uint64_t wanted) {
    const vx_reader *r = &e->readers[condition];
    vx_interval interval = r->condition->interval;
    double gathered[64];
    if (!r->column)
        return (vx_three_valued){0, wanted};
    if (!interval.is_known || !r->column->numbers)
        return test_values(e, r, slot, wanted);
    const double *numbers = numbers_of(e, r, slot, wanted, gathered);
    vx_three_valued word = __builtin_popcountll(wanted) <= FEW_SLOTS
                               ? compare_some(numbers, interval, wanted)
                               : compare_numbers(numbers, interval);
    uint64_t yes = word.yes & wanted, open = word.maybe & ~word.yes & wanted;
    if (!open)
        return (vx_three_valued){yes, yes};
    word = test_values(e, r, slot, open);
    return (vx_three_valued){yes | word.yes, yes | word.maybe};
}

/* ---- the tree ---- */

/* Of the wanted ones; the others are anything. */
static vx_three_valued combine(const vx_evaluation *e, size_t slot, const vx_node *node,
                               uint64_t wanted) {
    const vx_node *children = e->filter->nodes + node->first;
    vx_three_valued word = {ALL, ALL}, other;
    switch (node->kind) {
    case VX_NODE_CONDITION:
        return vx_evaluate_condition(e, node->first, slot, wanted);
    case VX_NODE_NOT:
        other = combine(e, slot, children, wanted);
        return (vx_three_valued){~other.maybe, ~other.yes};
    case VX_NODE_AND:
        for (size_t i = 0; i < node->n && wanted; i++) {
            other = combine(e, slot, &children[i], wanted);
            word = (vx_three_valued){word.yes & other.yes, word.maybe & other.maybe};
            wanted &= word.maybe;
        }
        return word;
    case VX_NODE_OR:
        word = (vx_three_valued){0, 0};
        for (size_t i = 0; i < node->n && wanted; i++) {
            other = combine(e, slot, &children[i], wanted);
            word = (vx_three_valued){word.yes | (other.yes & wanted),
                                     word.maybe | (other.maybe & wanted)};
            wanted &= ~word.yes;
        }
        return word;
    }
    return word;
}

/* Which of these slots are there. */
static uint64_t there_of(const vx_evaluation *e, size_t slot, uint64_t slots) {
    size_t n = e->n_slots - slot < 64 ? e->n_slots - slot : 64;
    slots &= n < 64 ? (UINT64_C(1) << n) - 1 : ALL;
    if (!e->filter->of_clips)
        return e->columns->alive[slot / 64] & slots;
    const uint32_t *videos = e->columns->clips.videos + slot;
    uint64_t there = 0;
    for (size_t i = 0; i < n && i < 64; i++)
        there |= (uint64_t)(videos[i] != VX_NO_SLOT) << i;
    there &= slots;
    for (uint64_t left = e->below_row > 0 ? there : 0; left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        if (e->columns->rows[videos[i]] >= e->below_row)
            there &= ~(UINT64_C(1) << i);
    }
    return there;
}

vx_three_valued vx_evaluate_64(const vx_evaluation *e, size_t slot, uint64_t wanted) {
    uint64_t there = there_of(e, slot, wanted);
    vx_three_valued word = combine(e, slot, &e->filter->root, there);
    return (vx_three_valued){word.yes & there, word.maybe & there};
}

/* ---- all ---- */

typedef struct evaluating {
    const vx_evaluation *e;
    vx_three_valued *words;
    size_t n;
} evaluating;

static void evaluate_piece(void *ctx, size_t piece) {
    const evaluating *all = ctx;
    size_t end = (piece + 1) * WINDOWS_A_PIECE;
    for (size_t i = piece * WINDOWS_A_PIECE; i < end && i < all->n; i++)
        all->words[i] = vx_evaluate_64(all->e, i * 64, ALL);
}

/* Texts and arrays are tested once for each value that there is. */
static size_t work_of(const vx_evaluation *e) {
    size_t work = e->n_slots * e->filter->n_conditions;
    for (size_t i = 0; i < e->filter->n_conditions; i++) {
        const vx_reader *r = &e->readers[i];
        if (r->column && !r->condition->interval.is_known &&
            (r->condition->test != VX_TEST_IN || r->column->n_arrays))
            work += r->column->n_used * WORK_A_TEST;
    }
    return work;
}

void vx_evaluate_all(const vx_evaluation *e, vx_three_valued *ret) {
    evaluating all = {e, ret, (e->n_slots + 63) / 64};
    size_t work = work_of(e) / WORK_A_THREAD;
    int cores = vx_thread_cores();
    vx_crew_run("vx-filter", work < (size_t)cores ? (int)work + 1 : cores,
                (all.n + WINDOWS_A_PIECE - 1) / WINDOWS_A_PIECE, evaluate_piece, &all);
}
