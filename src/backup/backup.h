/* backup.h — a data folder copied while a server uses it, and put back.
 *
 * A backup is a folder with catalog.db and media/, laid out as a data folder. The catalog is copied at one
 * moment, then each file that it names and the backup lacks: stored files never change, so those that are there
 * are kept. Every file is verified as it is copied. A video that is deleted meanwhile takes its file away; then the catalog is copied again. The
 * catalog gets its name last, and only then files that it does not name are removed: a backup that breaks off
 * leaves the one before whole, and the next one goes on.
 *
 * Not in it: the files of folders that are indexed in place, uploads that wait for their job, and what is derived (indexes, tables, clips as files).
 * Errs     VX_BACKUP_BAD (> 0): nothing to back up, or a folder that must not be written; -errno
 * Threads  one
 */
#pragma once

#include <stdint.h>

#include "base/err.h"

#define VX_BACKUP_BAD VX_CODES_BACKUP

typedef struct vx_backup_report {
    int64_t videos, files, copied, kept, removed; /* files: that the catalog names */
    int64_t bytes;                                /* copied */
    int64_t missing; /* files that the catalog names and the data folder has lost */
    int64_t
        in_place; /* files in folders that are indexed in place: the catalog has where they lie; not copied */
    int64_t damaged; /* files whose SHA-256 is another: logged, and not copied */
} vx_backup_report;

/* to_dir: never a data folder. */
int vx_backup_run(const char *data_dir, const char *to_dir, vx_backup_report *ret_report,
                  vx_err *err);
/* Into a folder without a catalog. The SHA-256 of every file is checked, also of those that an earlier try has left
 * there. */
int vx_backup_restore(const char *from_dir, const char *data_dir, vx_backup_report *ret_report,
                      vx_err *err);
