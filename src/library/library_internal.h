/* library_internal.h — what the parts of library/ share. */
#pragma once

#include "base/thread.h"
#include "library.h"

struct vx_library {
    vx_library_params params;
    atomic_bool stopping;
    pthread_t thread;
    bool started;
    vx_mutex mu;
    vx_cond wake;
    bool asked VX_GUARDED;      /* a round is wanted now */
    vx_job *rejudge VX_GUARDED; /* that waits or runs; owned */
    vx_cond rejudge_ended;
    bool rejudge_durable VX_GUARDED; /* its row is committed */
    bool
        rejudge_again; /* videos were marked while a cancelled job had not ended; the writer's thread's */
};

/* The upkeep thread runs a round soon. */
static inline void vx_library_wake_upkeep(vx_library *library) {
    vx_mutex_lock(&library->mu);
    library->asked = true;
    vx_cond_signal(&library->wake);
    vx_mutex_unlock(&library->mu);
}

/* rejudge.c: judges all that wait; ends early when the library stops. Waits. */
int vx_library_rejudge(vx_library *library, vx_err *err);
void vx_library_add_rejudge_kind(vx_library *library);

/* missing_files.c: notes in the collection, and logs, whose file is gone or cut off; ends early when the
 * library stops. Waits. */
int vx_library_find_missing_files(vx_library *library, vx_err *err);
/* vector_spaces.c: deletes the vectors of retired spaces; ends early when the library stops. Waits. */
int vx_library_delete_retired(vx_library *library, vx_err *err);
