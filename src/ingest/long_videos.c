/* long_videos.c — long videos leave half of the workers to the others.
 *
 * Decodes take turns (extract.h), but each takes a worker with its memory from start to end. If long videos
 * could take all of them, a short one would wait until one of these has ended. So as many as
 * params.long_videos are in work, and further ones wait here, without a worker and closed. That a video is
 * long shows when it has been opened; what was read of it then is kept in its packet table.
 *
 * In the order in which they came, and none comes before those that wait: the one that ends gives its place
 * to the first of them.
 */
#include "ingest_internal.h"

bool vx_ingest_begin_long(vx_ingest_item *item) {
    vx_ingest *in = item->ingest;
    vx_ingest_work *work = item->work;
    vx_mutex_lock(&in->mu);
    if (!work->has_long_place && in->n_long < in->params.long_videos) {
        in->n_long++;
        work->has_long_place = true;
    }
    vx_mutex_unlock(&in->mu);
    return work->has_long_place;
}

bool vx_ingest_wait_as_long(vx_ingest_item *item) {
    vx_ingest *in = item->ingest;
    vx_mutex_lock(&in->mu);
    bool waits = in->n_long >= in->params.long_videos;
    if (waits) {
        vx_ingest_item **end = &in->long_waiting;
        while (*end)
            end = &(*end)->work->next_long;
        *end = item;
        item->work->next_long = NULL;
        in->n_long_waiting++;
    }
    vx_mutex_unlock(&in->mu);
    return waits;
}

void vx_ingest_end_long(vx_ingest_item *item) {
    vx_ingest *in = item->ingest;
    if (!item->work->has_long_place)
        return;
    vx_mutex_lock(&in->mu);
    vx_ingest_item *next = in->long_waiting;
    item->work->has_long_place = false;
    if (next) {
        in->long_waiting = next->work->next_long;
        in->n_long_waiting--;
        next->work->has_long_place = true;
        vx_pool_try_push(in->workers, next); /* has room for every item inside */
    } else {
        in->n_long--;
    }
    vx_mutex_unlock(&in->mu);
}

void vx_ingest_release_long_locked(vx_ingest *in) {
    for (vx_ingest_item **slot = &in->long_waiting; *slot;) {
        vx_ingest_item *item = *slot;
        if (!vx_ingest_is_void(item)) {
            slot = &item->work->next_long;
            continue;
        }
        *slot = item->work->next_long;
        in->n_long_waiting--;
        vx_pool_try_push(in->workers, item);
    }
}
