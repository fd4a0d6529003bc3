/* spaces.h — the end of stored vectors that no loaded model can use.
 *
 * A space whose model is not loaded, or with another digest, stays until it is given up: one short
 * transaction, after which nobody finds it. Its vectors are then deleted by the housekeeper, a few
 * thousand in a transaction, so that uploads commit in between; after a restart it goes on.
 */
#pragma once

#include "base/outcome.h"
#include "server/server.h"

/* Whether a loaded model has this space now. */
bool vx_spaces_is_loaded(const vx_server *server, const vx_vector_space *space);

/* On the committer's thread; must be short. rc 0: it is durable; n spaces were given up, perhaps none;
 * they are borrowed. */
typedef void (*vx_spaces_given_up)(void *ctx, int rc, const vx_vector_space *spaces, size_t n,
                                   const vx_err *err);
/* Gives up the spaces of that name, or the one of that digest (NULL: all), but none that is loaded.
 * Not OK (BUSY, STOPPING, INTERNAL: no memory): done is not called. Threads: any. */
vx_outcome vx_spaces_give_up(vx_server *server, const char *model, const char *digest,
                             vx_spaces_given_up done, void *ctx);
/* Gives up those of a loaded model's other digests. Waits. */
int vx_spaces_give_up_old(vx_server *server, const vx_model *model, vx_err *err);

/* Deletes what was given up; ends early when the server stops. Waits: for the housekeeper. */
int vx_spaces_drop(vx_server *server, vx_err *err);
