#include "crew.h"

#include <stdatomic.h>

#include "thread.h"

enum { MAX_THREADS = 64 };

typedef struct crew {
    size_t n;
    atomic_size_t next;
    void (*piece)(void *ctx, size_t i);
    void *ctx;
} crew;

static void *work(void *arg) {
    crew *c = arg;
    for (size_t i; (i = atomic_fetch_add(&c->next, 1)) < c->n;)
        c->piece(c->ctx, i);
    return NULL;
}

void vx_crew_run(const char *name, int threads, size_t n, void (*piece)(void *ctx, size_t i),
                 void *ctx) {
    pthread_t others[MAX_THREADS];
    crew c = {.n = n, .piece = piece, .ctx = ctx};
    size_t wanted = threads > MAX_THREADS ? MAX_THREADS : (size_t)(threads > 1 ? threads : 1);
    wanted = wanted < n ? wanted : n;
    size_t started = 0;
    vx_err ignored;
    while (started + 1 < wanted && !vx_thread_start(&others[started], name, work, &c, &ignored))
        started++;
    work(&c);
    while (started > 0)
        pthread_join(others[--started], NULL);
}
