#include "first_pass.h"

#include <math.h>

bool vx_probe_can_hold(size_t k, bool by_group, float max_score) {
    return k > 0 && k <= VX_HELD_MAX_K && !by_group && max_score == INFINITY;
}

void vx_probe_raise_bar(vx_probe *probe, float bar) {
    float now = atomic_load_explicit(probe->shared_bar, memory_order_relaxed);
    while (bar > now && !atomic_compare_exchange_weak(probe->shared_bar, &now, bar))
        ;
}

void vx_probe_offer(vx_probe *probe, const vx_rows *rows, size_t row) {
    int64_t id = rows->ids[row];
    if (!vx_probe_may_take(probe, id))
        return;
    float score = vx_score_dot(probe->query, rows->vectors + row * rows->dim, rows->dim);
    probe->work.rows_rescored++;
    if (score >= probe->bound && score <= probe->max_score) { /* false for NaN */
        vx_topk *top = &probe->top;
        vx_topk_push(top, (vx_neighbour){id, rows->groups[row], score});
        if (top->n == top->k && top->k > 0)
            vx_probe_raise_bar(probe, top->items[0].score);
    }
}

/* ---- rows that are held back ---- */

/* The k-th highest of n numbers, which change places; 1 <= k <= n, none is NaN. Hoare's algorithm FIND. */
static float kth_highest(float *numbers, size_t n, size_t k) {
    ptrdiff_t low = 0, high = (ptrdiff_t)n - 1, at = (ptrdiff_t)k - 1;
    while (low < high) {
        float pivot = numbers[at];
        ptrdiff_t i = low, j = high;
        while (i <= j) {
            while (numbers[i] > pivot)
                i++;
            while (pivot > numbers[j])
                j--;
            if (i <= j) {
                float kept = numbers[i];
                numbers[i++] = numbers[j];
                numbers[j--] = kept;
            }
        }
        if (j < at)
            low = i;
        if (at < i)
            high = j;
    }
    return numbers[at];
}

size_t vx_held_drop(vx_held *held, size_t n, size_t k, float *scratch, float *bar) {
    for (size_t i = 0; i < n; i++)
        scratch[i] = held[i].least;
    float least = kth_highest(scratch, n, k);
    *bar = least > *bar ? least : *bar;
    size_t n_left = 0;
    for (size_t i = 0; i < n; i++)
        if (held[i].most >= *bar)
            held[n_left++] = held[i];
    return n_left;
}

static void sift_down(vx_held *held, size_t n, size_t at) {
    vx_held moving = held[at];
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && held[child + 1].most > held[child].most)
            child++;
        if (moving.most >= held[child].most)
            break;
        held[at] = held[child];
    }
    held[at] = moving;
}

void vx_held_order(vx_held *held, size_t n) {
    for (size_t at = n / 2; at-- > 0;)
        sift_down(held, n, at);
}

vx_held vx_held_take(vx_held *held, size_t *n) {
    vx_held first = held[0];
    held[0] = held[--*n];
    if (*n)
        sift_down(held, *n, 0);
    return first;
}

void vx_probe_settle(vx_probe *probe, const vx_rows *rows) {
    vx_held_order(probe->held, probe->n_held);
    while (probe->n_held && probe->held[0].most >= vx_probe_bar(probe))
        vx_probe_offer(probe, rows, vx_held_take(probe->held, &probe->n_held).row);
    probe->n_held = 0;
}

/* Where little can be dropped, since the rows are too much alike for the bounds, the rest is settled. */
static void make_room(vx_probe *probe, const vx_rows *rows) {
    size_t room = VX_HELD_ROOM(probe->top.k);
    float bar = vx_probe_bar(probe);
    probe->n_held = vx_held_drop(probe->held, probe->n_held, probe->top.k, probe->scratch, &bar);
    vx_probe_raise_bar(probe, bar);
    if (probe->n_held > room / 4 * 3)
        vx_probe_settle(probe, rows);
}

/* Whether a row that scores this at most can be better than the best one of its group. Without this each of
 * a film's 10,000 clips would be scored exactly where the film is a result. */
static bool can_lead_its_group(const vx_probe *probe, int64_t group, float most) {
    const vx_neighbour *best = probe->top.by_group ? vx_topk_of_group(&probe->top, group) : NULL;
    return !best || most >= best->score;
}

void vx_probe_consider(vx_probe *probe, const vx_rows *rows, size_t row, float score, float off) {
    bool is_near = off < INFINITY; /* false for NaN */
    float most = is_near ? score + off : INFINITY;
    if (!probe->held) {
        if (most >= vx_probe_bar(probe) && can_lead_its_group(probe, rows->groups[row], most))
            vx_probe_offer(probe, rows, row);
        return;
    }
    int64_t id = rows->ids[row];
    if (!vx_probe_may_take(probe, id))
        return;
    probe->held[probe->n_held++] = (vx_held){.most = most,
                                             .least = is_near ? score - off : -INFINITY,
                                             .segment = probe->segment,
                                             .row = (uint32_t)row,
                                             .id = id};
    if (probe->n_held == VX_HELD_ROOM(probe->top.k))
        make_room(probe, rows);
}
