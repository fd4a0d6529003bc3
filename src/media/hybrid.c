/* hybrid.c — one queue of clips for the card and the CPU.
 *
 * Nothing is estimated: the card is faster per clip by far, so it comes first, and a clip goes to the
 * CPU only when the card is full and a core would idle. With enough clips waiting both are busy all
 * the time, and a clip alone always has the card.
 */
#include "hybrid.h"

#include "base/clock.h"

struct vx_hybrid_waiter {
    bool card_can;
    int path; /* -1 until it has a place */
    vx_cond given;
    vx_hybrid_waiter *next;
};

void vx_hybrid_init(vx_hybrid *hybrid, int card, int cpu, bool shares) {
    *hybrid = (vx_hybrid){.room = {[VX_DECODE_CARD] = card, [VX_DECODE_CPU] = cpu < 1 ? 1 : cpu},
                          .shares = shares};
    vx_mutex_init(&hybrid->lock);
    vx_mutex_lock(&hybrid->lock);
    hybrid->last = &hybrid->first;
    vx_mutex_unlock(&hybrid->lock);
}

void vx_hybrid_done(vx_hybrid *hybrid) {
    vx_mutex_done(&hybrid->lock);
}

/* The path that the clip can take now; -1: none. What the card could decode takes half of the cores at
 * most: two are often one with two threads, and the rest feeds the card. */
static int choose_locked(const vx_hybrid *h, bool card_can) VX_REQUIRES(&h->lock) {
    int cores = h->room[VX_DECODE_CPU];
    card_can = card_can && h->room[VX_DECODE_CARD] > 0;
    if (card_can && h->busy[VX_DECODE_CARD] < h->room[VX_DECODE_CARD])
        return VX_DECODE_CARD;
    int room = !card_can ? cores : h->shares ? (cores + 1) / 2 : 0;
    return h->busy[VX_DECODE_CPU] < room ? VX_DECODE_CPU : -1;
}

/* Gives places to those who wait, in the order in which they came. */
static void give_places_locked(vx_hybrid *h) VX_REQUIRES(&h->lock) {
    for (vx_hybrid_waiter **at = &h->first; *at;) {
        vx_hybrid_waiter *w = *at;
        w->path = choose_locked(h, w->card_can);
        if (w->path < 0) {
            at = &w->next;
            continue;
        }
        h->busy[w->path]++;
        h->n_clips[w->path]++;
        h->n_waiting--;
        *at = w->next;
        if (!*at)
            h->last = at;
        vx_cond_signal(&w->given);
    }
}

static void remove_locked(vx_hybrid *h, vx_hybrid_waiter *waiter) VX_REQUIRES(&h->lock) {
    vx_hybrid_waiter **at = &h->first;
    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
    if (!*at)
        h->last = at;
    h->n_waiting--;
}

int vx_hybrid_enter(vx_hybrid *hybrid, bool card_can, bool (*keep_going)(void *ctx), void *ctx) {
    enum { POLL_US = 50000 };
    vx_hybrid_waiter waiter = {.card_can = card_can, .path = -1};
    vx_cond_init(&waiter.given);
    vx_mutex_lock(&hybrid->lock);
    *hybrid->last = &waiter;
    hybrid->last = &waiter.next;
    hybrid->n_waiting++;
    give_places_locked(hybrid);
    for (bool on = true; on && waiter.path < 0;) {
        vx_cond_wait_until(&waiter.given, &hybrid->lock, vx_clock_monotonic_us() + POLL_US);
        vx_mutex_unlock(&hybrid->lock);
        on = !keep_going || keep_going(ctx);
        vx_mutex_lock(&hybrid->lock);
        if (!on && waiter.path < 0)
            remove_locked(hybrid, &waiter);
    }
    vx_mutex_unlock(&hybrid->lock);
    vx_cond_done(&waiter.given);
    return waiter.path;
}

void vx_hybrid_leave(vx_hybrid *hybrid, vx_decode_path path) {
    vx_mutex_lock(&hybrid->lock);
    hybrid->busy[path]--;
    give_places_locked(hybrid);
    vx_mutex_unlock(&hybrid->lock);
}

int vx_hybrid_count(vx_hybrid *hybrid) {
    vx_mutex_lock(&hybrid->lock);
    int n = hybrid->busy[VX_DECODE_CPU] + hybrid->busy[VX_DECODE_CARD] + hybrid->n_waiting;
    vx_mutex_unlock(&hybrid->lock);
    return n;
}
