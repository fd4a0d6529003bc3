/* evaluate.h — which slots of the columns pass a filter, 64 at a time (private to src/filter).
 *
 * For each slot a condition, and so the filter, is true, false or not known (the column does not know the
 * video, or there is none). Three values combine as Kleene's do: false and unknown is false.
 *
 * How a condition reads its column, the cheapest first:
 *   an order of a number    the column's numbers, which lie side by side: no value is looked at
 *   $eq, $in, $exists       the codes of the operands, found by their hash, mark what passes
 *   $prefix, an order       of many texts: by how they begin, side by side (starts.c)
 *   the others              each value is tested once, when the first slot that matters has it; where most slots
 *                           have another one, whenever a slot is asked for. Of many lists, and
 *                           of many texts that are to contain something, most fail by their marks, side by side
 *                           (filter_internal.h)
 * In $and and $or what others have decided already is not looked at, and cheap conditions come first
 * (parse.c).
 *
 * Threads: external read lock of the columns. vx_evaluate_all() uses threads of its own.
 */
#pragma once

#include "columns.h"

/* 64 slots: for which it is surely true, and for which it may be. */
typedef struct vx_three_valued {
    uint64_t yes, maybe;
} vx_three_valued;

/* What a condition says of a code. */
enum vx_verdict_on_value { VX_NOT_TESTED, VX_FAILS, VX_PASSES, VX_NOT_KNOWN };

/* One condition and its column. */
typedef struct vx_reader {
    const vx_condition *condition;
    const vx_column *column; /* NULL: none */
    _Atomic uint8_t
        *verdicts;    /* [column->values_capacity] vx_verdict_on_value; owned. NULL: none is kept */
    bool by_video;    /* of a filter of clips: its slots are those of the clips' videos */
    uint64_t version; /* of the column, for which the verdicts hold */
} vx_reader;

typedef struct vx_evaluation {
    const vx_filter_columns *columns;
    const vx_filter *filter;
    int64_t below_row;  /* only videos below it; 0 = all */
    vx_reader *readers; /* [n_conditions]; owned */
    size_t n_slots;     /* to be looked at: of videos, or of clips if the filter is of clips */
} vx_evaluation;

/* False: no memory. */
bool vx_evaluation_init(vx_evaluation *e, const vx_filter_columns *columns, const vx_filter *filter,
                        int64_t below_row);
void vx_evaluation_done(vx_evaluation *e);

/* The wanted slots from `slot` (a multiple of 64) on; the others are false, as are empty slots. */
vx_three_valued vx_evaluate_64(const vx_evaluation *e, size_t slot, uint64_t wanted);
/* One condition, of the wanted slots; the others are false. */
vx_three_valued vx_evaluate_condition(const vx_evaluation *e, size_t condition, size_t slot,
                                      uint64_t wanted);
/* All: ret [(n_slots + 63) / 64]. */
void vx_evaluate_all(const vx_evaluation *e, vx_three_valued *ret);
