/* check.h — verifies a data folder: the catalog, the stored files and the vectors against each other.
 *
 * Found are: pages, tables and indexes that SQLite's integrity check refuses; rows without their other
 * half; vectors and fingerprints that are not what was stored; stored files that are missing or whose
 * SHA-256 is another; files that nothing refers to.
 *
 * Repair mends what can be derived or made again, and loses nothing that is not lost already: videos stay,
 * also those without a file. A damaged vector is dropped, so that a backfill makes it again; a damaged file
 * is set aside, so that the same bytes sent again take its place; files that nothing refers to are removed;
 * indexes and counts are made anew, and rows of before there were checksums get theirs.
 *
 * Files in folders that are indexed in place are read where the catalog says that the folders were. One that is not
 * there is counted, for it may come back; one that has other bytes behind the same size and time is damaged. Repair
 * changes nothing there.
 *
 * Opening a catalog of an older vidx brings it up to this version, as serve does.
 *
 * A server may hold the folder while it is checked, not while it is repaired; orphans are then left out
 * where they may be uploads on their way.
 *
 * Errs     VX_CHECK_* (> 0), -errno
 * Threads  any; one check of a folder at a time
 * Cost     reads everything once
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

typedef enum vx_check_outcome {
    VX_CHECK_NO_DATA = 1, /* the folder has no catalog */
    VX_CHECK_IN_USE,      /* repair, and another process holds the folder */
} vx_check_outcome;

typedef struct vx_check_problem {
    const char *kind; /* "file-missing", …: never changes */
    const char *text; /* one sentence: what is wrong, and what is lost or to be done */
    bool repaired;
} vx_check_problem;

typedef struct vx_check_params {
    const char *data_dir; /* all borrowed */
    bool repair;
    void (*on_problem)(void *ctx, const vx_check_problem *problem); /* may be NULL */
    void *ctx;
} vx_check_params;

typedef struct vx_check_report {
    bool in_use;           /* another process held the folder: checked beside it */
    int64_t videos, clips; /* in the catalog */
    int64_t files, bytes;  /* stored files that were read */
    int64_t
        in_place_away; /* videos whose file in place is not there now, or has changed: no problem */
    int64_t
        missing_vectors; /* clips without a vector of a model: no problem, a backfill makes them */
    int64_t problems, repaired;
} vx_check_report;

/* Returns 0 whether there are problems or not. */
int vx_check_run(const vx_check_params *params, vx_check_report *ret_report, vx_err *err);
