/* turns.c — items that are stored in the order in which they were submitted.
 *
 * Workers end in any order. An item with in_order waits here until all such items that were submitted
 * before it have been handed to the writer or have ended; the writer keeps that order. Whoever brings
 * the item whose turn it is also sends those on that waited for it.
 */
#include "ingest_internal.h"

/* Sorted by turn: nearly always the new one belongs near the end. */
static void insert_locked(vx_ingest *in, vx_ingest_item *item) VX_REQUIRES(&in->mu) {
    vx_ingest_item **slot = &in->waiting;
    while (*slot && (*slot)->turn < item->turn)
        slot = &(*slot)->next;
    item->next = *slot;
    *slot = item;
}

void vx_ingest_wait_for_turn(vx_ingest_item *item, void (*go_on)(vx_ingest_item *item)) {
    vx_ingest *in = item->ingest;
    vx_mutex_lock(&in->mu);
    insert_locked(in, item);
    bool leads = !in->passing_turns;
    in->passing_turns = true;
    while (leads && in->waiting && in->waiting->turn == in->turn) {
        vx_ingest_item *next = in->waiting;
        in->waiting = next->next;
        next->next = NULL;
        vx_mutex_unlock(&in->mu);
        go_on(next);
        vx_mutex_lock(&in->mu);
        in->turn++;
    }
    if (leads)
        in->passing_turns = false;
    vx_mutex_unlock(&in->mu);
}
