/* check.c — see the header. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/hex.h"
#include "catalog/catalog.h"
#include "catalog/folder_rows.h"
#include "folders/folders.h"
#include "store/store.h"

/* A file this young beside a running server may be an upload whose row is not committed yet. */
#define YOUNG_US (INT64_C(600) * 1000000)

typedef struct run {
    const vx_check_params *params;
    vx_check_report *report;
    vx_catalog *catalog; /* NULL: it cannot be opened */
    vx_store *store;
    vx_flaw *flaws;
    size_t n_flaws, flaws_capacity;
    vx_job_row *jobs; /* unfinished ones */
    size_t n_jobs;
    vx_folder_row *folders; /* in place */
    size_t n_folders;
} run;

__attribute__((format(printf, 4, 5))) static void tell(run *r, const char *kind, bool repaired,
                                                       const char *fmt, ...) {
    char text[PATH_MAX + 512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    r->report->problems++;
    r->report->repaired += repaired;
    if (r->params->on_problem)
        r->params->on_problem(r->params->ctx, &(vx_check_problem){kind, text, repaired});
}

/* ---- the catalog ---- */

static int add_flaw(void *ctx, const vx_flaw *flaw, vx_err *err) {
    run *r = ctx;
    if (!vx_make_room(r->flaws, r->n_flaws, r->flaws_capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu problems", r->n_flaws + 1);
    r->flaws[r->n_flaws++] = *flaw;
    return 0;
}

static void tell_flaw(run *r, const vx_flaw *flaw) {
    static const char *const kinds[] = {
        [VX_FLAW_STRUCTURE] = "catalog-structure",
        [VX_FLAW_REFERENCE] = "catalog-reference",
        [VX_FLAW_VECTOR] = "vector-damaged",
        [VX_FLAW_VECTOR_ORPHANED] = "vector-orphaned",
        [VX_FLAW_FINGERPRINT] = "fingerprint-damaged",
        [VX_FLAW_PICTURES] = "pictures-damaged",
        [VX_FLAW_COUNT] = "vector-count",
    };
    const char *advice = "";
    if (flaw->kind == VX_FLAW_STRUCTURE && r->params->repair && !flaw->repaired)
        advice = "; restore a backup, or save what is readable with `sqlite3 FILE .recover`";
    else if (flaw->kind == VX_FLAW_VECTOR && flaw->repaired)
        advice = "; it was dropped, a backfill of the model computes it again";
    else if (flaw->kind == VX_FLAW_FINGERPRINT && flaw->repaired)
        advice = "; it was dropped and is lost: copies of this video are no longer recognised by "
                 "their frames";
    else if (flaw->kind == VX_FLAW_PICTURES && flaw->repaired)
        advice = "; it was dropped, the next start with this copy model makes it again";
    tell(r, kinds[flaw->kind], flaw->repaired, "%s%s", flaw->text, advice);
}

/* What was stored before there were checksums gets its own once it is known to be as right as can be told. */
static int add_checksums(run *r, vx_err *err) {
    int rc = 0;
    for (bool more = true; more && !rc;) {
        rc = vx_catalog_begin(r->catalog, err);
        if (!rc && (rc = vx_catalog_add_checksums(r->catalog, 1000, &more, err)))
            vx_catalog_rollback(r->catalog);
        else if (!rc)
            rc = vx_catalog_commit(r->catalog, err);
    }
    return rc;
}

static int count(run *r, vx_err *err) {
    VX_AUTO_FREE vx_vector_space *spaces = NULL;
    size_t n;
    int rc = vx_catalog_count_videos(r->catalog, &r->report->videos, err);
    if (!rc)
        rc = vx_catalog_count_clips(r->catalog, &r->report->clips, err);
    if (!rc)
        rc = vx_catalog_list_vector_spaces(r->catalog, &spaces, &n, err);
    for (size_t i = 0; !rc && i < n; i++)
        if (!spaces[i].retired && spaces[i].vectors < r->report->clips)
            r->report->missing_vectors += r->report->clips - spaces[i].vectors;
    return rc;
}

static int check_catalog(run *r, vx_err *err) {
    int rc = vx_catalog_check(r->catalog, add_flaw, r, err);
    bool sound = true;
    for (size_t i = 0; i < r->n_flaws; i++)
        sound = sound && r->flaws[i].kind != VX_FLAW_STRUCTURE;
    vx_err failure; /* of a repair: what it could not mend is told as it was found */
    if (!rc && r->params->repair && r->n_flaws)
        vx_catalog_repair(r->catalog, r->flaws, r->n_flaws, &failure);
    if (!rc && r->params->repair && sound)
        rc = add_checksums(r, err);
    for (size_t i = 0; i < r->n_flaws; i++)
        tell_flaw(r, &r->flaws[i]);
    if (rc || !sound)
        return rc;
    return count(r, err);
}

/* ---- the stored files ---- */

typedef enum file_state { FILE_RIGHT, FILE_MISSING, FILE_WRONG, FILE_UNREADABLE } file_state;

/* bytes: -1 = not known. detail says why a file cannot be read. */
static file_state read_open(run *r, int fd, const uint8_t sha256[32], int64_t bytes,
                            vx_err *detail) {
    char found[VX_DIGEST_HEX_BYTES], expected[VX_DIGEST_HEX_BYTES];
    struct stat facts;
    if (fstat(fd, &facts))
        return VX_FAIL_ERRNO(detail, "opening it"), FILE_UNREADABLE;
    r->report->files++;
    r->report->bytes += facts.st_size;
    if (bytes >= 0 && facts.st_size != bytes)
        return FILE_WRONG;
    if (vx_digest_file(fd, found, detail))
        return FILE_UNREADABLE;
    vx_hex_encode(sha256, 32, expected);
    return strcmp(found, expected) ? FILE_WRONG : FILE_RIGHT;
}

static file_state read_file(run *r, const uint8_t sha256[32], int64_t bytes, vx_err *detail) {
    char path[PATH_MAX];
    vx_store_path(r->store, sha256, path, sizeof path);
    VX_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return FILE_MISSING;
    return fd < 0 ? (VX_FAIL_ERRNO(detail, "opening it"), FILE_UNREADABLE)
                  : read_open(r, fd, sha256, bytes, detail);
}

/* Its folder is read where it was at the last start. */
static void check_in_place(run *r, const vx_video *video) {
    VX_AUTO_FD int fd = -1;
    vx_err detail = {0};
    int rc = vx_folders_open_file(r->catalog, r->folders, r->n_folders, video->id, &fd, &detail);
    if (rc == -ENOENT) {
        r->report->in_place_away++;
        return;
    }
    file_state state =
        rc ? FILE_UNREADABLE : read_open(r, fd, video->sha256, video->bytes, &detail);
    if (state == FILE_UNREADABLE)
        tell(r, "file-unreadable", false, "the file of video %s (%s), in place, cannot be read: %s",
             video->id, video->filename, detail.msg);
    else if (state == FILE_WRONG)
        tell(r, "file-damaged", false,
             "the file of video %s (%s), in place, is not what was indexed, although its size and "
             "time are: put it back from a backup, or touch it so that it is indexed as it is",
             video->id, video->filename);
}

static void check_file(run *r, const vx_video *video) {
    vx_err detail = {0};
    char aside[96] = "";
    switch (read_file(r, video->sha256, video->bytes, &detail)) {
    case FILE_RIGHT:
        return;
    case FILE_MISSING:
        tell(r, "file-missing", false,
             "the file of video %s (%s) is missing: it is lost here; send the same file again to "
             "put it back, or delete the video",
             video->id, video->filename);
        return;
    case FILE_UNREADABLE:
        tell(r, "file-unreadable", false, "the file of video %s (%s) cannot be read: %s", video->id,
             video->filename, detail.msg);
        return;
    case FILE_WRONG:
        if (r->params->repair && !vx_store_set_aside(r->store, video->sha256, &detail)) {
            char hex[65];
            vx_hex_encode(video->sha256, 32, hex);
            snprintf(aside, sizeof aside, " (set aside as %s.damaged)", hex);
        }
        tell(r, "file-damaged", false,
             "the file of video %s (%s) is not what was stored%s: send the same file again to "
             "replace it, or delete the video",
             video->id, video->filename, aside);
        return;
    }
}

static int check_files(run *r, vx_err *err) {
    vx_video_query query = {.limit = 100};
    for (;;) {
        vx_video **videos = NULL;
        size_t n = 0;
        int rc = vx_catalog_list_videos(r->catalog, &query, &videos, &n, err);
        if (rc)
            return rc;
        for (size_t i = 0; i < n; i++) {
            if (!videos[i]->source_path)
                check_file(r, videos[i]);
            else if (vx_video_is_in_place(videos[i]))
                check_in_place(r, videos[i]);
            query.before_row = videos[i]->row;
            vx_video_free(videos[i]);
        }
        free(videos);
        if (n < query.limit)
            return 0;
    }
}

/* ---- files that nothing refers to ---- */

static bool is_needed(const run *r, const char *name) {
    for (size_t i = 0; i < r->n_jobs; i++)
        if (!r->jobs[i].finished_us &&
            strstr(r->jobs[i].request, name)) /* queued, running or parked */
            return true;
    return false;
}

static int check_orphan(void *ctx, const vx_store_file *file, vx_err *err) {
    run *r = ctx;
    bool young = vx_clock_unix_us() - file->modified_us < YOUNG_US;
    if (r->report->in_use && (file->incoming || young))
        return 0;
    bool known = file->incoming && is_needed(r, file->name);
    int rc = file->incoming ? 0 : vx_catalog_has_sha256(r->catalog, file->sha256, &known, err);
    if (rc || known)
        return rc;
    bool removed =
        r->params->repair && !(file->incoming ? vx_store_remove_incoming(r->store, file->name, NULL)
                                              : vx_store_remove(r->store, file->sha256, NULL));
    tell(r, file->incoming ? "upload-orphaned" : "file-orphaned", removed, "%s %s%s",
         file->incoming ? "no job waits for the upload" : "no video has the stored file",
         file->name, removed ? "; it was removed" : "");
    return 0;
}

/* Without a catalog a file can still be compared with its own name. */
static int check_by_name(void *ctx, const vx_store_file *file, vx_err *err) {
    run *r = ctx;
    vx_err detail = {0};
    (void)err;
    file_state state = file->incoming ? FILE_RIGHT : read_file(r, file->sha256, -1, &detail);
    if (state == FILE_WRONG)
        tell(r, "file-damaged", false, "the stored file %s is not what was stored", file->name);
    else if (state == FILE_UNREADABLE)
        tell(r, "file-unreadable", false, "the stored file %s cannot be read: %s", file->name,
             detail.msg);
    return 0;
}

/* ---- the whole ---- */

static int open_catalog(run *r, vx_err *err) {
    char path[PATH_MAX];
    struct stat facts;
    if (snprintf(path, sizeof path, "%s/catalog.db", r->params->data_dir) >= (int)sizeof path)
        return VX_FAIL(err, -ENAMETOOLONG, "%s is too long a path", r->params->data_dir);
    if (stat(path, &facts))
        return VX_FAIL(err, VX_CHECK_NO_DATA, "%s is no data folder of vidx: it has no catalog.db",
                       r->params->data_dir);
    int rc = vx_catalog_open(path, 1, &r->catalog, err);
    if (rc == -EBUSY && r->params->repair)
        return err->code = VX_CHECK_IN_USE;
    if (rc == -EBUSY) {
        r->report->in_use = true;
        rc = vx_catalog_open_to_read(path, &r->catalog, err);
    }
    if (rc == VX_CATALOG_TOO_NEW)
        return err->code = -EINVAL;
    if (rc != -EIO)
        return rc;
    tell(r, "catalog-unreadable", false, "%s", err->msg);
    return 0;
}

static int check_all(run *r, vx_err *err) {
    int rc = open_catalog(r, err);
    if (!rc)
        rc = vx_store_open(&(vx_store_params){.data_dir = r->params->data_dir}, &r->store, err);
    if (!rc && !r->catalog)
        return vx_store_list(r->store, check_by_name, r, err);
    if (!rc)
        rc = check_catalog(r, err);
    if (!rc)
        rc = vx_catalog_list_folders(r->catalog, &r->folders, &r->n_folders, err);
    if (!rc)
        rc = check_files(r, err);
    if (!rc)
        rc = vx_catalog_list_jobs(r->catalog, SIZE_MAX, 0, NULL, VX_JOBS_ANY, &r->jobs, &r->n_jobs,
                                  err);
    if (!rc)
        rc = vx_store_list(r->store, check_orphan, r, err);
    if (rc != -EIO || !r->n_flaws)
        return rc;
    return 0; /* the catalog cannot be read any further, which was told */
}

int vx_check_run(const vx_check_params *params, vx_check_report *ret_report, vx_err *err) {
    vx_err unread;
    run r = {.params = params, .report = ret_report};
    *ret_report = (vx_check_report){0};
    int rc = check_all(&r, err ? err : &unread);
    vx_catalog_close(r.catalog);
    vx_store_close(r.store);
    for (size_t i = 0; i < r.n_jobs; i++)
        vx_job_row_clear(&r.jobs[i]);
    free(r.jobs);
    for (size_t i = 0; i < r.n_folders; i++)
        free(r.folders[i].path);
    free(r.folders);
    free(r.flaws);
    return rc;
}
