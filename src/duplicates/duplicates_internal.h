/* duplicates_internal.h — what the files of src/duplicates share. */
#pragma once

#include "base/thread.h"
#include "duplicates.h"

struct vx_scan_snapshot; /* groups.c */
struct vx_duplicates_job;

struct vx_duplicates {
    vx_duplicates_params params;
    atomic_bool stopping;
    atomic_ullong changes; /* of pairs and decisions */
    pthread_t scanner, deleter;
    bool scanner_started, deleter_started;
    vx_mutex mu;
    vx_cond work;                               /* a job is queued, or stopping */
    vx_cond due;                                /* something is to be deleted, or stopping */
    struct vx_duplicates_job *queue VX_GUARDED; /* oldest first */
    struct vx_duplicates_job *jobs VX_GUARDED;  /* waiting or running; by ->next_live; borrows */
    bool decided VX_GUARDED;                    /* there may be something to delete */
    vx_duplicates_stats stats VX_GUARDED;
    vx_mutex groups_mu;
    struct vx_scan_snapshot *snapshot VX_GUARDED; /* by groups_mu; owned */
};

/* Pairs or decisions have changed: the groups are read anew. */
static inline void vx_duplicates_note_change(vx_duplicates *duplicates) {
    atomic_fetch_add(&duplicates->changes, 1);
}

/* text.c */
void vx_groups_print_text(const vx_group_page *page, FILE *out);
void vx_groups_print_paths(const vx_group_page *page, FILE *out);

/* decide.c: the thread of deletions. */
void *vx_duplicates_run_deleter(void *duplicates);
