#include "slot_pool.h"

#include <errno.h>
#include <string.h>

#include "base/thread.h"
#include "torch/torch_shim.h"

struct vx_slot {
    float *clip;
    vx_slot_pool *pool;
    vx_torch_host_memory *pinned; /* NULL: clip is from malloc */
    bool sent, extra;
    vx_slot *next; /* of the free ones */
};

struct vx_slot_pool {
    vx_slot_pool_params params;
    bool pinned;
    vx_mutex lock;
    vx_cond changed;
    vx_slot *free VX_GUARDED;
    int n_made VX_GUARDED; /* without the extra ones */
    int n_out VX_GUARDED, n_sent VX_GUARDED, most_out VX_GUARDED;
    bool closing VX_GUARDED;
};

float *vx_slot_clip(vx_slot *slot) {
    return slot->clip;
}

bool vx_slot_is_pinned(const vx_slot *slot) {
    return slot->pinned != NULL;
}

static void destroy(vx_slot *slot) {
    if (slot->pinned)
        vx_torch_host_free(slot->pinned);
    else
        free(slot->clip);
    free(slot);
}

static vx_slot *make(vx_slot_pool *pool, bool extra) {
    vx_slot *slot = vx_new(vx_slot);
    if (!slot)
        return NULL;
    slot->pool = pool;
    slot->extra = extra;
    /* Without page-locked memory the copy to the GPU is slower, no more; for a single use it is not
     * worth the locking. */
    if (pool->pinned && !extra)
        vx_torch_host_alloc(pool->params.slot_bytes, &slot->pinned, (void **)&slot->clip, NULL);
    if (!slot->clip)
        slot->clip = malloc(pool->params.slot_bytes);
    if (slot->clip)
        return slot;
    free(slot);
    return NULL;
}

/* A free slot, or leave to make one: true with *ret_slot NULL. False: all of the pool are out. */
static bool take_locked(vx_slot_pool *pool, vx_slot **ret_slot) VX_REQUIRES(pool->lock) {
    *ret_slot = pool->free;
    if (*ret_slot) {
        pool->free = (*ret_slot)->next;
        return true;
    }
    if (pool->n_made == pool->params.n_slots)
        return false;
    pool->n_made++;
    return true;
}

int vx_slot_pool_claim(vx_slot_pool *pool, vx_slot **ret_slot, vx_err *err) {
    vx_slot *slot = NULL;
    bool taken = false;
    vx_mutex_lock(&pool->lock);
    while (!pool->closing && !(taken = take_locked(pool, &slot)) && pool->n_sent > 0)
        vx_cond_wait(&pool->changed, &pool->lock);
    bool closing = pool->closing;
    pool->n_out += !closing;
    pool->most_out = pool->n_out > pool->most_out ? pool->n_out : pool->most_out;
    vx_mutex_unlock(&pool->lock);
    if (closing)
        return VX_FAIL(err, VX_EMBED_CLOSED, "model %s is shutting down", pool->params.model);
    if (!slot)
        slot = make(pool, !taken);
    if (slot) {
        *ret_slot = slot;
        return 0;
    }
    vx_mutex_lock(&pool->lock);
    pool->n_out--;
    pool->n_made -= taken;
    vx_cond_broadcast(&pool->changed);
    vx_mutex_unlock(&pool->lock);
    return VX_FAIL(err, -ENOMEM, "no memory for a clip of %s", pool->params.model);
}

void vx_slot_pool_send(vx_slot *slot) {
    vx_mutex_lock(&slot->pool->lock);
    slot->sent = true;
    slot->pool->n_sent++;
    vx_mutex_unlock(&slot->pool->lock);
}

vx_slot *vx_slot_free(vx_slot *slot) {
    if (!slot)
        return NULL;
    vx_slot_pool *pool = slot->pool;
    if (slot->extra)
        free(vx_take(slot->clip));
    vx_mutex_lock(&pool->lock);
    pool->n_sent -= slot->sent;
    slot->sent = false;
    if (slot->extra) {
        free(slot);
    } else {
        slot->next = pool->free;
        pool->free = slot;
    }
    pool->n_out--;
    vx_cond_broadcast(&pool->changed);
    vx_mutex_unlock(&pool->lock);
    return NULL;
}

int vx_slot_pool_new(const vx_slot_pool_params *params, vx_slot_pool **ret_pool, vx_err *err) {
    vx_slot_pool *pool = vx_new(vx_slot_pool);
    if (!pool)
        return VX_FAIL(err, -ENOMEM, "no memory for the clips of %s", params->model);
    pool->params = *params;
    pool->pinned = strcmp(params->device, "cpu") != 0;
    vx_mutex_init(&pool->lock);
    vx_cond_init(&pool->changed);
    *ret_pool = pool;
    return 0;
}

void vx_slot_pool_close(vx_slot_pool *pool) {
    vx_mutex_lock(&pool->lock);
    pool->closing = true;
    vx_cond_broadcast(&pool->changed);
    vx_mutex_unlock(&pool->lock);
}

vx_slot_pool *vx_slot_pool_free(vx_slot_pool *pool) {
    if (!pool)
        return NULL;
    vx_mutex_lock(&pool->lock);
    while (pool->n_out > 0)
        vx_cond_wait(&pool->changed, &pool->lock);
    vx_slot *next = pool->free;
    vx_mutex_unlock(&pool->lock);
    for (vx_slot *slot; (slot = next);) {
        next = slot->next;
        destroy(slot);
    }
    vx_cond_done(&pool->changed);
    vx_mutex_done(&pool->lock);
    free(pool);
    return NULL;
}

int vx_slot_pool_most(vx_slot_pool *pool) {
    vx_mutex_lock(&pool->lock);
    int most = pool->most_out;
    vx_mutex_unlock(&pool->lock);
    return most;
}
