/* writer.h — the one thread that changes the catalog: many changes, one transaction, one fsync.
 *
 * The writer takes the writes that wait, gives each a savepoint of its own inside one transaction (in
 * which the write also enters what it adds into the indexes in memory), commits once, then calls back.
 * So a verdict sees every video before it, those of its own group too; and a reply is sent only after
 * the data is on the disk and searchable.
 *
 * Threads  start and stop: one (main). Submit: any. Callbacks run on the writer's thread and must be
 *          short; each may submit one more write, which never waits.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/outcome.h"
#include "catalog/catalog.h"
#include "store/store.h"

typedef struct vx_writer vx_writer;

/* One change: `apply` inside the transaction, `done` after the commit. A caller embeds it in a struct
 * of its own.
 *   apply  0 = keep; anything else undoes this write alone (rc and err go to done)
 *   done   called once, on the writer's thread; rc 0 = durable; frees the write */
typedef struct vx_write {
    int (*apply)(struct vx_write *write, vx_err *err);
    void (*done)(struct vx_write *write, int rc, const vx_err *err);
    /* Set before done, with rc not 0: the commit itself failed. The row is gone now, but until something
     * else is committed a crash may bring it back out of the log: what it names must stay. */
    bool in_doubt;
    const uint8_t
        *published; /* set by apply: the digest of a file it moved into the store, whose name
                                 becomes durable before the row that names it; borrows */
    /* Deletes, or ends work that takes room. If the disk is full, the store's ballast is given up and
     * the write is tried once more: apply may be called twice. */
    bool makes_room;
    bool retried; /* writer.c */
} vx_write;

/* Borrows both until stop. */
int vx_writer_start(vx_catalog *catalog, vx_store *store, vx_writer **ret_writer, vx_err *err);
/* From here on a full queue means that the process stops. */
void vx_writer_begin_stop(vx_writer *writer);
/* Carries out what was submitted, then ends the thread. NULL-safe. */
vx_writer *vx_writer_stop(vx_writer *writer);
VX_DEFINE_AUTO(vx_writer, vx_writer_stop)

typedef enum vx_when_full {
    VX_WRITER_WAIT,   /* for threads that may block, with work behind them */
    VX_WRITER_REFUSE, /* for HTTP threads: the client is told to come back */
} vx_when_full;

/* VX_OUTCOME_OK: takes write. BUSY (only with VX_WRITER_REFUSE, while a thousand writes wait) or
 * STOPPING: nothing was called. */
vx_outcome vx_writer_submit(vx_writer *writer, vx_write *write, vx_when_full when_full);

/* Submits a write and waits for its end: for threads that may block.
 *   apply  inside the transaction
 *   undo   NULL, or called on the writer's thread if the transaction failed after apply had begun: takes
 *          back what apply did outside the catalog
 * Returns apply's or the commit's rc; -ESHUTDOWN: the writer has stopped. */
int vx_writer_run(vx_writer *writer, int (*apply)(void *ctx, vx_err *err), void (*undo)(void *ctx),
                  void *ctx, vx_err *err);
