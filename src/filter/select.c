/* select.c — the videos, or clips, that pass a filter: as a list, or as a set.
 *
 * First, under the lock, the columns are evaluated (evaluate.h). Then, without the lock, the metadata of those
 * that are not known is read and the filter decided with it.
 *
 * A list is evaluated from the newest slot on and ends where enough are found; a set at once, by several threads.
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "evaluate.h"

typedef struct undecided {
    int64_t row;   /* that of the video, or the clip if clips are asked for */
    int64_t video; /* whose metadata decides */
    size_t words;  /* where the words of the conditions are */
    int bit;       /* in each of them */
} undecided;

typedef struct selecting {
    const vx_filter_selection *selection;
    const vx_filter *filter;
    vx_evaluation evaluation; /* under the lock */
    bool of_clips;            /* rows are those of clips */
    int64_t *rows;            /* of a list: that pass, newest first */
    size_t n_rows, rows_capacity;
    vx_idset *set;   /* of a set: that pass. As an array in any order, until sort_set() */
    undecided *open; /* of a list newest first */
    size_t n_open, open_capacity;
    vx_three_valued *words; /* of the conditions, for each 64 slots among which one is undecided */
    size_t n_words, words_capacity;
} selecting;

static void selecting_done(selecting *s) {
    vx_evaluation_done(&s->evaluation);
    vx_idset_free(s->set);
    free(s->rows);
    free(s->open);
    free(s->words);
}

/* ---- what is undecided ---- */

static int64_t row_of(const selecting *s, const vx_filter_columns *columns, size_t slot) {
    if (s->of_clips)
        return columns->clips.rows[slot];
    return columns->rows[s->filter->of_clips ? columns->clips.videos[slot] : slot];
}

/* The open ones of 64 slots, the newest first, with what every condition says of them. */
static bool add_undecided(selecting *s, const vx_filter_columns *columns, size_t slot,
                          uint64_t open) {
    size_t n = s->filter->n_conditions, wanted = s->n_words + n;
    if (wanted > s->words_capacity) {
        vx_three_valued *grown = vx_regrow(s->words, 2 * wanted, sizeof *grown);
        if (!grown)
            return false;
        s->words = grown;
        s->words_capacity = 2 * wanted;
    }
    for (size_t i = 0; i < n; i++)
        s->words[s->n_words + i] = vx_evaluate_condition(&s->evaluation, i, slot, open);
    for (int bit; open; open &= ~(UINT64_C(1) << bit)) {
        bit = 63 - __builtin_clzll(open);
        size_t at = slot + (size_t)bit;
        size_t video = s->filter->of_clips ? columns->clips.videos[at] : at;
        if (!vx_make_room(s->open, s->n_open, s->open_capacity))
            return false;
        s->open[s->n_open++] =
            (undecided){row_of(s, columns, at), columns->rows[video], s->n_words, bit};
    }
    s->n_words = wanted;
    return true;
}

/* ---- a list of videos ---- */

static bool add_rows(selecting *s, const int64_t *rows, uint64_t passing) {
    for (int bit; passing; passing &= ~(UINT64_C(1) << bit)) {
        bit = 63 - __builtin_clzll(passing);
        if (!vx_make_room(s->rows, s->n_rows, s->rows_capacity))
            return false;
        s->rows[s->n_rows++] = rows[bit];
    }
    return true;
}

static bool list_videos(selecting *s, const vx_filter_columns *columns) {
    size_t max = s->selection->max, end = (s->evaluation.n_slots + 63) / 64;
    while (end > 0 && (!max || s->n_rows < max)) {
        size_t slot = --end * 64;
        vx_three_valued word = vx_evaluate_64(&s->evaluation, slot, UINT64_MAX);
        uint64_t open = word.maybe & ~word.yes;
        if (!add_rows(s, columns->rows + slot, word.yes) ||
            (open && !add_undecided(s, columns, slot, open)))
            return false;
    }
    return true;
}

/* ---- a set ---- */

static bool add_to_set(vx_idset *set, int64_t row) {
    if (!set->bits) {
        if (!vx_make_room(set->ids, set->n, set->capacity))
            return false;
        set->ids[set->n++] = row;
        return true;
    }
    uint64_t at = (uint64_t)row - (uint64_t)set->first;
    set->bits[at / 64] |= UINT64_C(1) << at % 64;
    return true;
}

/* 64 slots. Where their rows follow each other, as they mostly do, all at once. */
static bool add_64_to_set(selecting *s, const vx_filter_columns *columns, size_t slot,
                          uint64_t passing) {
    vx_idset *set = s->set;
    const int64_t *rows = s->of_clips ? columns->clips.rows : columns->rows;
    bool rising = s->of_clips ? columns->clips.is_rising : !s->filter->of_clips;
    if (set->bits && rising && slot + 64 <= s->evaluation.n_slots &&
        rows[slot + 63] - rows[slot] == 63) {
        uint64_t at = (uint64_t)rows[slot] - (uint64_t)set->first;
        set->bits[at / 64] |= passing << at % 64;
        set->bits[at / 64 + 1] |= passing >> 1 >> (63 - at % 64);
        return true;
    }
    for (; passing; passing &= passing - 1)
        if (!add_to_set(set, row_of(s, columns, slot + (size_t)__builtin_ctzll(passing))))
            return false;
    return true;
}

/* A bitmap, or an array where the rows lie too far apart. */
static vx_idset *new_set(const selecting *s, const vx_filter_columns *columns) {
    const vx_clip_slots *clips = &columns->clips;
    int64_t first = 0, last = 0;
    size_t n = s->of_clips ? clips->n : columns->n_slots;
    if (n) {
        first = s->of_clips ? clips->first_row : columns->rows[0];
        last = s->of_clips ? clips->last_row : columns->rows[n - 1];
    }
    vx_idset *set = vx_idset_new_bitmap(first, last, n);
    return set ? set : vx_idset_new(NULL, 0);
}

static bool fill_set(selecting *s, const vx_filter_columns *columns) {
    size_t n = (s->evaluation.n_slots + 63) / 64;
    VX_AUTO_FREE vx_three_valued *words = vx_new_array(n + 1, sizeof *words);
    if (!words || !(s->set = new_set(s, columns)))
        return false;
    vx_evaluate_all(&s->evaluation, words);
    for (size_t i = 0; i < n; i++) {
        uint64_t open = words[i].maybe & ~words[i].yes;
        if (!add_64_to_set(s, columns, i * 64, words[i].yes) ||
            (open && !add_undecided(s, columns, i * 64, open)))
            return false;
    }
    return true;
}

static int rising(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* A video may be in an array for several clips. */
static void sort_set(vx_idset *set) {
    size_t n = 0;
    for (size_t i = 0; set->bits && i < set->n_bits; i += 64)
        n += (size_t)__builtin_popcountll(set->bits[i / 64]);
    if (!set->bits && set->n)
        qsort(set->ids, set->n, sizeof *set->ids, rising);
    for (size_t i = 0; !set->bits && i < set->n; i++)
        if (!n || set->ids[n - 1] != set->ids[i])
            set->ids[n++] = set->ids[i];
    set->n = n;
}

/* ---- what the columns left open ---- */

typedef struct decision {
    const selecting *s;
    const undecided *item;
    int64_t video; /* that `metadata` is of; 0 = none yet */
    json_t *metadata;
    size_t n_read;
    vx_cell cell;
    bool no_memory;
} decision;

static void decision_done(decision *d) {
    json_decref(d->metadata);
    vx_cell_done(&d->cell);
}

static bool passes_condition(decision *d, size_t i) {
    const vx_three_valued *word = &d->s->words[d->item->words + i];
    if (word->yes >> d->item->bit & 1)
        return true;
    if (!(word->maybe >> d->item->bit & 1))
        return false;
    const vx_condition *condition = &d->s->filter->conditions[i];
    if (!vx_field_read(&condition->field, NULL, NULL, d->metadata, &d->cell)) {
        d->no_memory = true;
        return false;
    }
    return vx_condition_passes(condition, d->cell.bytes, d->cell.n);
}

static bool passes(decision *d, const vx_node *node) {
    const vx_node *children = d->s->filter->nodes + node->first;
    bool found = node->kind == VX_NODE_AND;
    switch (node->kind) {
    case VX_NODE_CONDITION:
        return passes_condition(d, node->first);
    case VX_NODE_NOT:
        return !passes(d, children);
    case VX_NODE_AND:
    case VX_NODE_OR:
        for (size_t i = 0; i < node->n && found == (node->kind == VX_NODE_AND); i++)
            found = passes(d, &children[i]);
        return found;
    }
    return found;
}

/* Clips of one video come one after the other: its metadata is read once. */
static int read_metadata(decision *d, int64_t video, vx_err *err) {
    if (d->video == video)
        return 0;
    VX_AUTO_FREE char *text = NULL;
    int rc = d->s->selection->read_metadata(d->s->selection->ctx, video, &text, err);
    if (rc)
        return rc;
    json_decref(d->metadata);
    d->metadata = text ? json_loads(text, 0, NULL) : NULL;
    d->video = video;
    d->n_read++;
    return 0;
}

static int decide(decision *d, const undecided *item, bool *ret_passes, vx_err *err) {
    int rc = read_metadata(d, item->video, err);
    d->item = item;
    *ret_passes = !rc && d->metadata && passes(d, &d->s->filter->root);
    return d->no_memory ? VX_FAIL(err, -ENOMEM, "no memory to test a video") : rc;
}

/* The rows that pass and those of the undecided that do, newest first. */
static int merge_videos(const selecting *s, decision *d, int64_t **ret_rows, size_t *ret_n,
                        vx_err *err) {
    size_t max = s->n_rows + s->n_open, n = 0, decided = 0, open = 0;
    if (s->selection->max && max > s->selection->max)
        max = s->selection->max;
    VX_AUTO_FREE int64_t *rows = vx_new_array(max ? max : 1, sizeof *rows);
    if (!rows)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu videos", max);
    while (n < max && (decided < s->n_rows || open < s->n_open)) {
        if (open == s->n_open || (decided < s->n_rows && s->rows[decided] > s->open[open].row)) {
            rows[n++] = s->rows[decided++];
            continue;
        }
        bool found;
        int rc = decide(d, &s->open[open], &found, err);
        if (rc)
            return rc;
        rows[n] = s->open[open++].row;
        n += found;
    }
    *ret_rows = vx_take(rows);
    *ret_n = n;
    return 0;
}

static int decide_set(selecting *s, decision *d, vx_err *err) {
    for (size_t i = 0; i < s->n_open; i++) {
        bool found;
        int rc = decide(d, &s->open[i], &found, err);
        if (!rc && found && !add_to_set(s->set, s->open[i].row))
            rc = VX_FAIL(err, -ENOMEM, "no memory to select videos");
        if (rc)
            return rc;
    }
    sort_set(s->set);
    return 0;
}

/* The greatest rows of a set, falling. */
static int list_set(const vx_idset *set, size_t max, int64_t **ret_rows, size_t *ret_n,
                    vx_err *err) {
    size_t n = 0;
    max = max && max < set->n ? max : set->n;
    int64_t *rows = vx_new_array(max + 1, sizeof *rows);
    if (!rows)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu videos", max);
    for (; !set->bits && n < max; n++)
        rows[n] = set->ids[set->n - 1 - n];
    for (uint64_t at = set->n_bits; set->bits && n < max; at--)
        if (vx_idset_contains(set, set->first + (int64_t)at - 1))
            rows[n++] = set->first + (int64_t)at - 1;
    *ret_rows = rows;
    *ret_n = n;
    return 0;
}

/* ---- both ---- */

static int select_under_lock(selecting *s, vx_filter_columns *columns, bool list, vx_err *err) {
    s->filter = s->selection->filter;
    vx_rwlock_read(&columns->lock);
    bool fine = vx_evaluation_init(&s->evaluation, columns, s->filter, s->selection->below_row) &&
                (list ? list_videos(s, columns) : fill_set(s, columns));
    vx_rwlock_end_read(&columns->lock);
    return fine ? 0 : VX_FAIL(err, -ENOMEM, "no memory to select videos");
}

static int select_set(selecting *s, vx_filter_columns *columns, decision *d, vx_err *err) {
    int rc = select_under_lock(s, columns, false, err);
    return rc ? rc : decide_set(s, d, err);
}

int vx_filter_columns_select(vx_filter_columns *columns, const vx_filter_selection *selection,
                             int64_t **ret_rows, size_t *ret_n, size_t *ret_read, vx_err *err) {
    __attribute__((cleanup(selecting_done))) selecting s = {.selection = selection};
    __attribute__((cleanup(decision_done))) decision d = {.s = &s};
    int rc = 0;
    if (selection->filter->of_clips) {
        rc = select_set(&s, columns, &d, err);
        rc = rc ? rc : list_set(s.set, selection->max, ret_rows, ret_n, err);
    } else {
        rc = select_under_lock(&s, columns, true, err);
        rc = rc ? rc : merge_videos(&s, &d, ret_rows, ret_n, err);
    }
    *ret_read = d.n_read;
    return rc;
}

int vx_filter_columns_select_set(vx_filter_columns *columns, const vx_filter_selection *selection,
                                 bool clips, vx_idset **ret_set, size_t *ret_read, vx_err *err) {
    __attribute__((cleanup(selecting_done)))
    selecting s = {.selection = selection, .of_clips = clips && selection->filter->of_clips};
    __attribute__((cleanup(decision_done))) decision d = {.s = &s};
    int rc = select_set(&s, columns, &d, err);
    *ret_read = d.n_read;
    *ret_set = rc ? NULL : vx_take(s.set);
    return rc;
}
