/* slot_pool.h — the memory for clips that an embedder lends; private to src/embed/.
 *
 * A slot is free, held (its holder writes the clip) or sent (it waits for the worker, or is in a run).
 * A claim takes a free slot. Without one it waits while any slot is sent; where none is, all are held,
 * and it gets an extra slot, which is freed after use.
 *
 *   No deadlock   A claim waits for sent slots only. These the worker finishes, which waits for
 *                 nobody, so a claim ends whatever the holders do: a video may hold slots of several
 *                 clips and of several models and sleep meanwhile.
 *   Bounded       An extra slot is made only while every slot there is is held. So there are never
 *                 more than the pool's and, beyond these, one for each clip that is being written.
 *
 * Memory is page-locked where the model runs on a GPU, so that a copy to it needs no detour. Slots are
 * made when they are first needed and kept. Threads: any.
 */
#pragma once

#include "embed.h"

typedef struct vx_slot_pool vx_slot_pool;

typedef struct vx_slot_pool_params {
    const char *model,
        *device; /* for messages; where the model runs. Borrows, for the pool's life */
    size_t slot_bytes;
    int n_slots; /* >= 1 */
} vx_slot_pool_params;

int vx_slot_pool_new(const vx_slot_pool_params *params, vx_slot_pool **ret_pool, vx_err *err);
/* Claims from here on get VX_EMBED_CLOSED, also those that wait. */
void vx_slot_pool_close(vx_slot_pool *pool);
/* After vx_slot_pool_close(): waits until the last slot is back. */
vx_slot_pool *vx_slot_pool_free(vx_slot_pool *pool);

/* As vx_embedder_claim(). */
int vx_slot_pool_claim(vx_slot_pool *pool, vx_slot **ret_slot, vx_err *err);
/* held → sent. vx_slot_free() ends both. */
void vx_slot_pool_send(vx_slot *slot);
/* How many slots are made and kept. */
int vx_slot_pool_made(vx_slot_pool *pool);
/* The most slots that were there at once, for tests of the bound. */
int vx_slot_pool_most(vx_slot_pool *pool);
