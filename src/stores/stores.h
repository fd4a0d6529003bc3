/* stores.h — keeps vector databases outside equal to the collection: Milvus, Qdrant, Pinecone, PostgreSQL, and folders
 * of files.
 *
 * A store is an address, a model and a place in the catalog's changes (catalog.h). A thread of its own sends
 * what changed above that place, deletions too, and then moves the place. What is sent twice is the same as
 * sent once, so kill -9 at any moment costs a repetition and nothing else. A store that is away is tried
 * again after 1, 2, 4 … 60 seconds, and catches up.
 *
 * A new store, and one for which a client asks, is compared first: every id and digest that it has is read,
 * what differs or is missing is sent, and what vidx wrote and no longer has is deleted. What vidx did not
 * write is left alone.
 *
 * Hosts are those that the operator named. Credentials are found when a connection is made, and are in no
 * answer, log or error.
 *
 * Threads  start and stop: one (main). Everything else: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/outcome.h"
#include "catalog/catalog.h"
#include "models/models.h"
#include "writer/writer.h"

#include "remote.h"

#define VX_STORES_MAX 16
#define VX_STORES_INVALID (VX_CODES_STORES + 10)
#define VX_STORES_FULL (VX_CODES_STORES + 11) /* VX_STORES_MAX are there */

typedef enum vx_store_state {
    VX_STORE_CONNECTING, /* not yet */
    VX_STORE_CHECKING,   /* is being compared */
    VX_STORE_SENDING,
    VX_STORE_EQUAL,   /* has everything */
    VX_STORE_WAITING, /* is away, and will be tried again */
    VX_STORE_BLOCKED, /* a person must do something, see last_error; is tried again, too */
} vx_store_state;
const char *vx_store_state_name(vx_store_state state);

typedef struct vx_stores vx_stores;

typedef struct vx_stores_params { /* borrows all, until stop */
    vx_catalog *catalog;
    vx_writer *writer;
    vx_models *models; /* NULL: a model's newest vectors in the catalog are taken */
    vx_store_access access;
} vx_stores_params;

/* Whether folders are NAME=DIR, and none is in the data folder. VX_STORES_INVALID. */
int vx_stores_check_access(const vx_store_access *access, const char *data_dir, vx_err *err);

/* Goes on with the stores of the catalog. */
int vx_stores_start(const vx_stores_params *params, vx_stores **ret_stores, vx_err *err);
/* From here on threads end at their next request's end or second. */
void vx_stores_begin_stop(vx_stores *stores);
/* Ends the threads; needs the writer still running. NULL-safe. */
void vx_stores_end(vx_stores *stores);
/* After the writer, which may call back until it has stopped. NULL-safe. */
vx_stores *vx_stores_free(vx_stores *stores);

typedef struct vx_store_view {
    char name[VX_STORE_NAME_CHARS + 1], model[64], kind[16], version[48];
    char url[512];
    vx_store_state state;
    int64_t waiting_videos; /* that it has yet to hear of */
    int64_t behind_us;      /* for how long there have been such; 0: there are none */
    int64_t sent, removed;  /* clips since the start */
    int64_t refused;        /* clips that it would not take since the last check */
    int64_t failures;       /* since the start */
    char last_error[400];
    int64_t last_error_us, next_try_us; /* UNIX time; 0 = none */
    int64_t equal_us;                   /* when it last had everything; 0 = not since the start */
    int64_t checked_us;                 /* 0 = never */
    bool check_due;
    int64_t points, foreign, differing, missing,
        stray; /* what the last check of this process found */
    int64_t created_us;
} vx_store_view;
/* Oldest first. Gives an array (free()). */
int vx_stores_list(vx_stores *stores, vx_store_view **ret_views, size_t *ret_n, vx_err *err);

typedef struct vx_store_spec { /* borrows */
    const char *name;          /* 1..64 letters, digits, _ - . */
    const char *url;
    const char *model; /* NULL: the default one */
} vx_store_spec;

/* Whether a store of this description may be added, by the address alone: nothing is connected. 0, or
 * VX_STORES_INVALID with what to change. */
int vx_stores_check_spec(vx_stores *stores, const vx_store_spec *spec, vx_err *err);

/* How a change ended, on the writer's thread; must be short. */
typedef void (*vx_stores_done)(void *ctx, int rc, const vx_err *err);
/* Never block; BUSY, STOPPING, INTERNAL (no memory): done is not called. */
/* done: 0, VX_CATALOG_EXISTS, VX_STORES_FULL. The spec has been checked. */
vx_outcome vx_stores_add(vx_stores *stores, const vx_store_spec *spec, vx_stores_done done,
                         void *ctx);
/* Forgets the store; what it holds stays there. done: VX_CATALOG_NOT_FOUND. */
vx_outcome vx_stores_remove(vx_stores *stores, const char *name, vx_stores_done done, void *ctx);
/* It is compared with the collection, and tried at once. done: VX_CATALOG_NOT_FOUND. */
vx_outcome vx_stores_check(vx_stores *stores, const char *name, vx_stores_done done, void *ctx);

/* For vidx sync: adds the store if there is none of that name, and returns once it has everything, or at the
 * first failure. Nothing else may use the catalog. check: compares a store that is known, too. ret_view is
 * set whatever comes back. */
int vx_stores_sync_once(const vx_stores_params *params, const vx_store_spec *spec, bool check,
                        vx_store_view *ret_view, vx_err *err);
