/* commit.c — the committer thread: groups of operations, one transaction and one fsync each.
 *
 * An operation is applied inside its own savepoint. What it adds to the in-memory indexes it adds
 * while the transaction is still open, so that the next operation of the group sees it; a search
 * that meets such a row early finds no committed video behind it and skips it. If the commit fails,
 * `done` of every operation is told so and takes back what its apply did outside SQLite.
 */
#include "writer.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/queue.h"
#include "base/thread.h"

#define GROUP_MAX 64

struct vx_commit {
    vx_queue *queue;
    pthread_t thread;
    /* What callbacks of a group submit: the next group. In the queue there may be no room, and the
     * committer cannot wait for itself. */
    vx_commit_op *own[GROUP_MAX];
    size_t n_own;
};

static int apply_in_savepoint(vx_server *server, vx_commit_op *op, vx_err *err) {
    int rc = vx_catalog_savepoint(server->catalog, err);
    if (rc)
        return rc;
    rc = op->apply(op, server, err);
    if (!rc)
        rc = vx_catalog_release(server->catalog, err);
    if (rc)
        vx_catalog_rollback_to(server->catalog);
    return rc;
}

/* Before the transaction: a row never outlives its file. What the files hold is durable already
 * (vx_upload_seal), here their names become so, those of the whole group at once. */
static int sync_published(vx_server *server, vx_commit_op **ops, const int *rc, size_t n,
                          vx_err *err) {
    uint8_t digests[GROUP_MAX][32];
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (!rc[i] && ops[i]->published)
            memcpy(digests[count++], ops[i]->published, 32);
    return vx_store_sync(server->store, (const uint8_t(*)[32])digests, count, err);
}

static void run_group(vx_server *server, vx_commit_op **ops, size_t n) {
    int rc[GROUP_MAX];
    vx_err errs[GROUP_MAX] = {0};
    vx_err group_err = {0};
    int group_rc = vx_catalog_begin(server->catalog, &group_err);
    for (size_t i = 0; i < n; i++)
        rc[i] = group_rc ? group_rc : apply_in_savepoint(server, ops[i], &errs[i]);
    if (!group_rc && (group_rc = sync_published(server, ops, rc, n, &group_err)))
        vx_catalog_rollback(server->catalog);
    if (!group_rc)
        group_rc = vx_catalog_commit(server->catalog, &group_err);
    if (group_rc)
        vx_log_failed(VX_LOG_ERROR, "commit", &group_err, "operations=%zu", n);
    for (size_t i = 0; i < n; i++) {
        bool lost = !rc[i] && group_rc;
        ops[i]->done(ops[i], server, lost ? group_rc : rc[i],
                     lost || !errs[i].msg[0] ? &group_err : &errs[i]);
    }
}

static void *run_committer(void *ctx) {
    vx_server *server = ctx;
    struct vx_commit *commit = server->commit;
    void *ops[GROUP_MAX];
    for (size_t n; (n = vx_queue_pop_many(commit->queue, ops, GROUP_MAX));) {
        do {
            run_group(server, (vx_commit_op **)ops, n);
            n = commit->n_own;
            memcpy(ops, commit->own, n * sizeof *ops);
            commit->n_own = 0;
        } while (n);
    }
    return NULL;
}

int vx_commit_start(vx_server *server, vx_err *err) {
    struct vx_commit *commit = vx_new(struct vx_commit);
    if (!commit)
        return VX_FAIL(err, -ENOMEM, "no memory for the committer");
    int rc = vx_queue_new(1024, &commit->queue, err);
    server->commit = commit;
    if (!rc)
        rc = vx_thread_start(&commit->thread, "vx-commit", run_committer, server, err);
    if (rc) {
        vx_queue_free(commit->queue);
        free(vx_take(server->commit));
    }
    return rc;
}

void vx_commit_stop(vx_server *server) {
    struct vx_commit *commit = server->commit;
    if (!commit)
        return;
    vx_queue_close(commit->queue);
    pthread_join(commit->thread, NULL);
    vx_queue_free(commit->queue);
    free(vx_take(server->commit));
}

vx_outcome vx_commit_submit(vx_server *server, vx_commit_op *op, vx_commit_when_full when_full) {
    struct vx_commit *commit = server->commit;
    if (pthread_equal(pthread_self(), commit->thread)) {
        if (commit->n_own == GROUP_MAX)
            return VX_OUTCOME_BUSY;
        commit->own[commit->n_own++] = op;
        return VX_OUTCOME_OK;
    }
    if (when_full == VX_COMMIT_WAIT)
        return vx_queue_push(commit->queue, op) ? VX_OUTCOME_OK : VX_OUTCOME_STOPPING;
    if (vx_queue_try_push(commit->queue, op))
        return VX_OUTCOME_OK;
    return atomic_load(&server->stopping) ? VX_OUTCOME_STOPPING : VX_OUTCOME_BUSY;
}

/* ---- an operation that its caller waits for ---- */

typedef struct wait_op {
    vx_commit_op op;
    int (*apply)(void *ctx, vx_server *server, vx_err *err);
    void *ctx;
    vx_mutex mu;
    vx_cond finished;
    bool done VX_GUARDED;
    int rc VX_GUARDED;
    vx_err err VX_GUARDED;
} wait_op;

static int wait_apply(vx_commit_op *op, vx_server *server, vx_err *err) {
    wait_op *w = (wait_op *)op;
    return w->apply(w->ctx, server, err);
}

static void wait_done(vx_commit_op *op, vx_server *server, int rc, const vx_err *err) {
    (void)server;
    wait_op *w = (wait_op *)op;
    vx_mutex_lock(&w->mu);
    w->rc = rc;
    w->err = *err;
    w->done = true;
    vx_cond_signal(&w->finished);
    vx_mutex_unlock(&w->mu);
}

int vx_commit_run(vx_server *server, int (*apply)(void *ctx, vx_server *server, vx_err *err),
                  void *ctx, vx_err *err) {
    wait_op w = {.op = {.apply = wait_apply, .done = wait_done}, .apply = apply, .ctx = ctx};
    int rc = 0;
    vx_mutex_init(&w.mu);
    vx_cond_init(&w.finished);
    if (!vx_commit_submit(server, &w.op, VX_COMMIT_WAIT)) {
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
