/* lazy_set.c — the set of what passes a filter, tested 64 slots at a time when somebody asks for one of them.
 *
 * Between two look-ups the columns may change. A video has its slot looked up by its row each time, and what was
 * tested of values, where that is kept (vx_reader.verdicts), holds as long as codes mean the same. Where they do not,
 * or a value is not known, the set is not sound.
 */
#include <errno.h>

#include "evaluate.h"

typedef struct lazy_filter {
    vx_filter_columns *columns; /* borrowed */
    vx_evaluation evaluation;
    uint64_t generation; /* of the columns, when it was made */
} lazy_filter;

static void lazy_filter_free(void *ctx) {
    lazy_filter *lazy = ctx;
    vx_evaluation_done(&lazy->evaluation);
    free(lazy);
}

static void begin(void *ctx) VX_NO_LOCK_ANALYSIS {
    vx_rwlock_read(&((lazy_filter *)ctx)->columns->lock);
}

static void end(void *ctx) VX_NO_LOCK_ANALYSIS {
    vx_rwlock_end_read(&((lazy_filter *)ctx)->columns->lock);
}

static bool holds(const lazy_filter *lazy) {
    const vx_evaluation *e = &lazy->evaluation;
    if (lazy->generation != lazy->columns->generation)
        return false;
    for (size_t i = 0; i < e->filter->n_conditions; i++)
        if (e->readers[i].verdicts && e->readers[i].version != e->readers[i].column->version)
            return false;
    return !e->filter->of_clips || lazy->columns->clips.is_rising;
}

/* What the slots from `first` to last - 1 say, which lie in one window; bit i is that of slot first + i.
 * False: a wanted one is not known. */
static bool evaluate(const vx_evaluation *e, size_t first, size_t last, uint64_t wanted,
                     uint64_t *ret_bits) {
    size_t window = first / 64 * 64;
    wanted &= UINT64_MAX >> (64 - (last - first));
    vx_three_valued word = vx_evaluate_64(e, window, wanted << (first - window));
    *ret_bits = word.yes >> (first - window);
    return word.yes == word.maybe;
}

/* Rows that follow each other without gaps: 64 slots lie in one window or two. */
static bool find_dense(const vx_evaluation *e, size_t slot, size_t last, uint64_t wanted,
                       uint64_t *ret_bits) {
    size_t middle = slot / 64 * 64 + 64;
    uint64_t more = 0;
    if (middle >= last)
        return evaluate(e, slot, last, wanted, ret_bits);
    bool fine = evaluate(e, slot, middle, wanted, ret_bits) &&
                evaluate(e, middle, last, wanted >> (middle - slot), &more);
    *ret_bits |= more << (middle - slot);
    return fine;
}

static bool find(void *ctx, int64_t first, uint64_t wanted, uint64_t *ret_bits) {
    const lazy_filter *lazy = ctx;
    const vx_filter_columns *columns = lazy->columns;
    if (!holds(lazy))
        return false;
    bool clips = lazy->evaluation.filter->of_clips;
    const int64_t *rows = clips ? columns->clips.rows : columns->rows;
    size_t n = clips ? columns->clips.n : columns->n_slots;
    size_t slot = vx_find_row(rows, n, first), last = vx_find_row(rows, n, first + 64);
    *ret_bits = 0;
    if (slot == last)
        return true;
    if (last - slot == 64)
        return find_dense(&lazy->evaluation, slot, last, wanted, ret_bits);
    uint64_t slots = 0, bits = 0; /* the wanted ones, and those of them that pass */
    for (size_t i = slot; i < last; i++)
        slots |= (wanted >> (rows[i] - first) & 1) << (i - slot);
    bool fine = find_dense(&lazy->evaluation, slot, last, slots, &bits);
    for (; bits; bits &= bits - 1) {
        size_t i = slot + (size_t)__builtin_ctzll(bits);
        *ret_bits |= UINT64_C(1) << (rows[i] - first);
    }
    return fine;
}

/* Whether every value is in the columns. */
static bool is_known(const vx_evaluation *e) {
    for (size_t i = 0; i < e->filter->n_conditions; i++)
        if (!e->readers[i].column || e->readers[i].column->n_long)
            return false;
    return true;
}

static vx_idset *new_set(lazy_filter *lazy) {
    const vx_filter_columns *columns = lazy->columns;
    bool clips = lazy->evaluation.filter->of_clips;
    const int64_t *rows = clips ? columns->clips.rows : columns->rows;
    size_t n = clips ? columns->clips.n : columns->n_slots;
    if (!n || !is_known(&lazy->evaluation) || (clips && !columns->clips.is_rising))
        return NULL;
    lazy->generation = columns->generation;
    const vx_idset_source source = {begin, end, find, lazy_filter_free, lazy};
    return vx_idset_new_lazy(rows[0], rows[n - 1], n, &source);
}

int vx_filter_columns_select_lazily(vx_filter_columns *columns, const vx_filter *filter, bool clips,
                                    vx_idset **ret_set, vx_err *err) {
    *ret_set = NULL;
    if (filter->of_clips != clips)
        return 0;
    lazy_filter *lazy = vx_new(lazy_filter);
    if (!lazy)
        return VX_FAIL(err, -ENOMEM, "no memory to select videos");
    lazy->columns = columns;
    vx_rwlock_read(&columns->lock);
    bool fine = vx_evaluation_init(&lazy->evaluation, columns, filter, 0);
    if (fine)
        *ret_set = new_set(lazy);
    vx_rwlock_end_read(&columns->lock);
    if (!*ret_set)
        lazy_filter_free(lazy);
    return fine ? 0 : VX_FAIL(err, -ENOMEM, "no memory to select videos");
}
