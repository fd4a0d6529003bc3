/* library_internal.h — what the parts of library/ share. */
#pragma once

#include "base/thread.h"
#include "jobs/sweep.h"
#include "library.h"

struct vx_library {
    vx_library_params params;
    atomic_bool stopping;
    pthread_t thread;
    bool started;
    vx_mutex mu;
    vx_cond wake;
    bool asked VX_GUARDED; /* a round is wanted now */
    vx_sweep *rejudge;     /* rejudge.c */
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
int vx_library_new_rejudge(vx_library *library, vx_err *err);

/* missing_files.c: notes in the collection, and logs, whose file is gone or cut off; ends early when the
 * library stops. Waits. */
int vx_library_find_missing_files(vx_library *library, vx_err *err);
/* vector_spaces.c: deletes the vectors of retired spaces; ends early when the library stops. Waits. */
int vx_library_delete_retired(vx_library *library, vx_err *err);
