/* writer.c — groups of writes, one transaction and one fsync each.
 *
 * A write is applied inside its own savepoint. What it adds to the indexes in memory it adds while the
 * transaction is still open, so that the next write of the group sees it; a search that meets such a
 * row early finds no committed video behind it and skips it. If the commit fails, `done` of every
 * write is told so and takes back what its apply did outside SQLite.
 */
#include "writer.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/log.h"
#include "base/queue.h"
#include "base/thread.h"

#define GROUP_MAX 64
#define QUEUE_CAPACITY 1024

struct vx_writer {
    vx_catalog *catalog;
    vx_store *store;
    vx_queue *queue;
    pthread_t thread;
    atomic_bool stopping;
    /* What callbacks of a group submit: in the next group. In the queue there may be no room, and the
     * writer cannot wait for itself. */
    vx_write *own[GROUP_MAX];
    size_t n_own;
};

static int apply_in_savepoint(vx_catalog *catalog, vx_write *write, vx_err *err) {
    int rc = vx_catalog_savepoint(catalog, err);
    if (rc)
        return rc;
    rc = write->apply(write, err);
    if (!rc)
        rc = vx_catalog_release(catalog, err);
    if (rc)
        vx_catalog_rollback_to(catalog);
    return rc;
}

/* Whether the write is tried again, in the next group. A commit that failed may be in doubt until a
 * restart; for a write that only deletes, both ends are right. */
static bool retry_with_ballast(vx_writer *writer, vx_write *write) {
    if (!write->makes_room || write->retried || writer->n_own == GROUP_MAX)
        return false;
    vx_store_drop_ballast(writer->store);
    write->retried = true;
    writer->own[writer->n_own++] = write;
    return true;
}

static void run_group(vx_writer *writer, vx_write **writes, size_t n) {
    int rc[GROUP_MAX];
    vx_err errs[GROUP_MAX] = {0};
    vx_err group_err = {0};
    bool in_doubt = false;
    int group_rc = vx_catalog_begin(writer->catalog, &group_err);
    for (size_t i = 0; i < n; i++)
        rc[i] = group_rc ? group_rc : apply_in_savepoint(writer->catalog, writes[i], &errs[i]);
    if (!group_rc) {
        /* A row never outlives its file: the names of the group's files become durable before the
         * transaction. What the files hold is durable already (vx_upload_seal). */
        uint8_t digests[GROUP_MAX][32];
        size_t n_published = 0;
        for (size_t i = 0; i < n; i++)
            if (!rc[i] && writes[i]->published)
                memcpy(digests[n_published++], writes[i]->published, 32);
        group_rc =
            vx_store_sync(writer->store, (const uint8_t(*)[32])digests, n_published, &group_err);
        if (group_rc)
            vx_catalog_rollback(writer->catalog);
        else
            in_doubt = (group_rc = vx_catalog_commit(writer->catalog, &group_err)) != 0;
    }
    if (group_rc)
        vx_log_failed(VX_LOG_ERROR, "commit", &group_err, "operations=%zu", n);
    for (size_t i = 0; i < n; i++) {
        bool lost = !rc[i] && group_rc;
        int end = lost ? group_rc : rc[i];
        writes[i]->in_doubt = lost && in_doubt;
        if (end == -ENOSPC && retry_with_ballast(writer, writes[i]))
            continue;
        writes[i]->done(writes[i], end, lost || !errs[i].msg[0] ? &group_err : &errs[i]);
    }
}

/* What callbacks submitted, and what waits: a long change that goes on step by step holds nobody up. */
static size_t next_group(vx_writer *writer, void **writes) {
    size_t n = writer->n_own;
    memcpy(writes, writer->own, n * sizeof *writes);
    writer->n_own = 0;
    if (n == GROUP_MAX || (n && !vx_queue_count(writer->queue)))
        return n;
    return n + vx_queue_pop_many(writer->queue, writes + n, GROUP_MAX - n);
}

static void *run(void *ctx) {
    vx_writer *writer = ctx;
    void *writes[GROUP_MAX];
    for (size_t n; (n = next_group(writer, writes));)
        run_group(writer, (vx_write **)writes, n);
    return NULL;
}

int vx_writer_start(vx_catalog *catalog, vx_store *store, vx_writer **ret_writer, vx_err *err) {
    vx_writer *writer = vx_new(vx_writer);
    if (!writer)
        return VX_FAIL(err, -ENOMEM, "no memory for the writer");
    writer->catalog = catalog;
    writer->store = store;
    int rc = vx_queue_new(QUEUE_CAPACITY, &writer->queue, err);
    if (!rc)
        rc = vx_thread_start(&writer->thread, "vx-writer", run, writer, err);
    if (rc) {
        vx_queue_free(writer->queue);
        free(writer);
        return rc;
    }
    *ret_writer = writer;
    return 0;
}

void vx_writer_begin_stop(vx_writer *writer) {
    atomic_store(&writer->stopping, true);
}

vx_writer *vx_writer_stop(vx_writer *writer) {
    if (!writer)
        return NULL;
    vx_queue_close(writer->queue);
    pthread_join(writer->thread, NULL);
    vx_queue_free(writer->queue);
    free(writer);
    return NULL;
}

vx_outcome vx_writer_submit(vx_writer *writer, vx_write *write, vx_when_full when_full) {
    if (pthread_equal(pthread_self(), writer->thread)) {
        if (writer->n_own == GROUP_MAX)
            return VX_OUTCOME_BUSY;
        writer->own[writer->n_own++] = write;
        return VX_OUTCOME_OK;
    }
    if (when_full == VX_WRITER_WAIT)
        return vx_queue_push(writer->queue, write) ? VX_OUTCOME_OK : VX_OUTCOME_STOPPING;
    if (vx_queue_try_push(writer->queue, write))
        return VX_OUTCOME_OK;
    return atomic_load(&writer->stopping) ? VX_OUTCOME_STOPPING : VX_OUTCOME_BUSY;
}

/* ---- a write that its caller waits for ---- */

typedef struct waiting_write {
    vx_write write;
    int (*apply)(void *ctx, vx_err *err);
    void (*undo)(void *ctx);
    void *ctx;
    bool applied; /* on the writer's thread alone */
    vx_mutex mu;
    vx_cond finished;
    bool done VX_GUARDED;
    int rc VX_GUARDED;
    vx_err err VX_GUARDED;
} waiting_write;

static int apply_waiting(vx_write *write, vx_err *err) {
    waiting_write *w = VX_CONTAINER_OF(write, waiting_write, write);
    w->applied = true;
    return w->apply(w->ctx, err);
}

static void finish_waiting(vx_write *write, int rc, const vx_err *err) {
    waiting_write *w = VX_CONTAINER_OF(write, waiting_write, write);
    if (rc && w->applied && w->undo)
        w->undo(w->ctx);
    vx_mutex_lock(&w->mu);
    w->rc = rc;
    w->err = *err;
    w->done = true;
    vx_cond_signal(&w->finished);
    vx_mutex_unlock(&w->mu);
}

int vx_writer_run(vx_writer *writer, int (*apply)(void *ctx, vx_err *err), void (*undo)(void *ctx),
                  void *ctx, vx_err *err) {
    waiting_write w = {.write = {.apply = apply_waiting, .done = finish_waiting},
                       .apply = apply,
                       .undo = undo,
                       .ctx = ctx};
    int rc = 0;
    vx_mutex_init(&w.mu);
    vx_cond_init(&w.finished);
    if (!vx_writer_submit(writer, &w.write, VX_WRITER_WAIT)) {
        vx_mutex_lock(&w.mu);
        while (!w.done)
            vx_cond_wait(&w.finished, &w.mu);
        rc = w.rc;
        if (err)
            *err = w.err;
        vx_mutex_unlock(&w.mu);
    } else {
        rc = VX_FAIL(err, -ESHUTDOWN, "the server is shutting down");
    }
    vx_cond_done(&w.finished);
    vx_mutex_done(&w.mu);
    return rc;
}
