#include "queue.h"

#include <errno.h>

#include "thread.h"

struct vx_queue {
    vx_mutex mu;
    vx_cond not_empty, not_full;
    size_t capacity;
    size_t first VX_GUARDED, count VX_GUARDED;
    bool closed VX_GUARDED;
    void *items[];
};

int vx_queue_new(size_t capacity, vx_queue **ret_queue, vx_err *err) {
    size_t bytes;
    if (!capacity || !vx_mul(capacity, sizeof(void *), &bytes) ||
        !vx_add(bytes, sizeof(vx_queue), &bytes))
        return VX_FAIL(err, -EINVAL, "a queue cannot hold %zu items", capacity);
    vx_queue *queue = calloc(1, bytes);
    if (!queue)
        return VX_FAIL(err, -ENOMEM, "no memory for a queue of %zu items", capacity);
    vx_mutex_init(&queue->mu);
    vx_cond_init(&queue->not_empty);
    vx_cond_init(&queue->not_full);
    queue->capacity = capacity;
    *ret_queue = queue;
    return 0;
}

vx_queue *vx_queue_free(vx_queue *queue) {
    if (!queue)
        return NULL;
    vx_cond_done(&queue->not_full);
    vx_cond_done(&queue->not_empty);
    vx_mutex_done(&queue->mu);
    free(queue);
    return NULL;
}

static void push_locked(vx_queue *queue, void *item) VX_REQUIRES(&queue->mu) {
    queue->items[(queue->first + queue->count++) % queue->capacity] = item;
    vx_cond_signal(&queue->not_empty);
}

static void *pop_locked(vx_queue *queue) VX_REQUIRES(&queue->mu) {
    void *item = queue->items[queue->first];
    queue->first = (queue->first + 1) % queue->capacity;
    queue->count--;
    vx_cond_signal(&queue->not_full);
    return item;
}

bool vx_queue_try_push(vx_queue *queue, void *item) {
    vx_mutex_lock(&queue->mu);
    bool room = !queue->closed && queue->count < queue->capacity;
    if (room)
        push_locked(queue, item);
    vx_mutex_unlock(&queue->mu);
    return room;
}

bool vx_queue_push(vx_queue *queue, void *item) {
    vx_mutex_lock(&queue->mu);
    while (!queue->closed && queue->count == queue->capacity)
        vx_cond_wait(&queue->not_full, &queue->mu);
    bool open = !queue->closed;
    if (open)
        push_locked(queue, item);
    vx_mutex_unlock(&queue->mu);
    return open;
}

void *vx_queue_pop(vx_queue *queue) {
    void *item = NULL;
    vx_queue_pop_many(queue, &item, 1);
    return item;
}

size_t vx_queue_pop_many(vx_queue *queue, void **ret_items, size_t max) {
    size_t n = 0;
    vx_mutex_lock(&queue->mu);
    while (!queue->closed && !queue->count)
        vx_cond_wait(&queue->not_empty, &queue->mu);
    while (n < max && queue->count)
        ret_items[n++] = pop_locked(queue);
    vx_mutex_unlock(&queue->mu);
    return n;
}

void vx_queue_close(vx_queue *queue) {
    vx_mutex_lock(&queue->mu);
    queue->closed = true;
    vx_cond_broadcast(&queue->not_empty);
    vx_cond_broadcast(&queue->not_full);
    vx_mutex_unlock(&queue->mu);
}

size_t vx_queue_count(vx_queue *queue) {
    vx_mutex_lock(&queue->mu);
    size_t n = queue->count;
    vx_mutex_unlock(&queue->mu);
    return n;
}
