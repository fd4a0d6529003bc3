/* feed.c — reads the files that wait, one after the other, and gives them to the write path.
 *
 * One thread reads and hashes, so that a disk is read in one stream; several videos are then decoded at once. A file
 * belongs to a vx_reading from when its row is taken until what came of it is in the catalog: the row is then written
 * in the transaction that inserts the video, or by this thread. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"
#include "folders_internal.h"

#define S_US INT64_C(1000000)
#define AGAIN_US (30 * S_US) /* after a failure of ours */
#define AFTER_FAILURE_US (5 * S_US)

typedef struct vx_reading vx_reading;
struct vx_reading {
    vx_folders *all;
    vx_folder *folder;
    vx_folder_file file; /* owned */
    struct stat facts;   /* when it was opened */
    int fd;              /* borrows from the upload */
    char *shown;         /* its name as people may read it; owned */
    atomic_bool changed; /* since it was opened */
    vx_outcome outcome;
    char id[VX_VIDEO_ID_CHARS + 1];
    vx_err err;
    vx_reading *next;
};

static void free_reading(vx_reading *r) {
    vx_folder_file_clear(&r->file);
    free(r->shown);
    free(r);
}

/* ---- what came of it, in the catalog ---- */

/* What the row told of is gone, other bytes are there: *file becomes the row of these. */
static int replace(const vx_reading *r, vx_folder_file *file, vx_err *err) {
    vx_catalog *catalog = r->all->params.catalog;
    int rc = vx_catalog_set_folder_file_missing(catalog, file, vx_clock_unix_us(), err);
    *file->video = '\0';
    file->recheck = false;
    return rc ? rc : vx_catalog_insert_folder_file(catalog, file, err);
}

/* The bytes of the row are those of a video. If they are others than they were, those are gone. */
static int write_video(vx_reading *r, vx_err *err) {
    vx_folder_file file = r->file;
    int rc = *file.video && strcmp(file.video, r->id) != 0 ? replace(r, &file, err) : 0;
    return rc ? rc
              : vx_catalog_set_folder_file_video(r->all->params.catalog, file.row, r->id, r->shown,
                                                 err);
}

static int apply_video(void *ctx, vx_err *err) {
    return write_video(ctx, err);
}

static int apply_update(void *ctx, vx_err *err) {
    const vx_reading *r = ctx;
    return vx_catalog_update_folder_file(r->all->params.catalog, &r->file, err);
}

/* Other bytes than those of the row are no video. */
static int apply_error(void *ctx, vx_err *err) {
    const vx_reading *r = ctx;
    vx_folder_file file = r->file;
    int rc = *file.video && !file.retry ? replace(r, &file, err) : 0;
    return rc ? rc : vx_catalog_update_folder_file(r->all->params.catalog, &file, err);
}

static int apply_gone(void *ctx, vx_err *err) {
    const vx_reading *r = ctx;
    return vx_catalog_set_folder_file_missing(r->all->params.catalog, &r->file, vx_clock_unix_us(),
                                              err);
}

static int run(vx_reading *r, int (*apply)(void *ctx, vx_err *err), vx_err *err) {
    return vx_writer_run(r->all->work.writer, apply, NULL, r, err);
}

/* The row says why there is no video. retry: that may pass. */
static int write_error(vx_reading *r, const char *why, bool retry, vx_err *err) {
    char quoted[512];
    r->file.error = vx_utf8_show(why);
    r->file.retry = retry;
    if (!r->file.error)
        return VX_FAIL(err, -ENOMEM, "no memory for an error");
    vx_log(VX_LOG_WARN, "folders", "folder=%s file=%s error=\"%s\"", r->folder->row.name,
           vx_log_quote(r->file.name, quoted, sizeof quoted), r->file.error);
    return run(r, apply_error, err);
}

/* It is read once it has not changed for a while. */
static int write_later(vx_reading *r, const struct stat *facts, int64_t ready_us, vx_err *err) {
    if (facts) {
        r->file.bytes = facts->st_size;
        r->file.mtime_ns = vx_time_ns(&facts->st_mtim);
        r->file.ctime_ns = vx_time_ns(&facts->st_ctim);
    }
    r->file.ready_us = ready_us;
    return run(r, apply_update, err);
}

static bool is_as_opened(const vx_reading *r) {
    struct stat now;
    return !fstat(r->fd, &now) && now.st_size == r->facts.st_size &&
           vx_time_ns(&now.st_mtim) == vx_time_ns(&r->facts.st_mtim);
}

/* ---- the write path's calls ---- */

/* Looked at while the file is decoded, on the thread that does: where a network file system hangs, no other may wait
 * for it. */
static void on_phase(void *ctx, vx_phase phase, int64_t done, int64_t total) {
    vx_reading *r = ctx;
    (void)phase, (void)done, (void)total;
    if (!is_as_opened(r))
        atomic_store(&r->changed, true);
}

static bool is_abandoned(void *ctx) {
    return atomic_load(&((vx_reading *)ctx)->changed);
}

static int in_commit(void *ctx, const vx_video *video, vx_err *err) {
    vx_reading *r = ctx;
    strcpy(r->id, video->id);
    return write_video(r, err);
}

static void on_done(void *ctx, vx_ingest_result *result) {
    vx_reading *r = ctx;
    vx_folders *all = r->all;
    r->outcome = result->outcome;
    r->err = result->err;
    vx_mutex_lock(&all->mu);
    for (vx_reading **at = &all->inside; *at; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            break;
        }
    r->next = all->ended;
    all->ended = r;
    vx_cond_signal(&all->fed);
    vx_mutex_unlock(&all->mu);
}

/* ---- one file ---- */

static bool keep_reading(void *ctx, int64_t n_bytes) {
    vx_reading *r = ctx;
    vx_mutex_lock(&r->all->mu);
    r->folder->bytes_read += n_bytes;
    vx_mutex_unlock(&r->all->mu);
    return !atomic_load(&r->all->stopping);
}

/* Gives the item to the write path. BUSY: it takes no more now. */
static vx_outcome submit(vx_reading *r, vx_upload *upload_take) {
    vx_folders *all = r->all;
    VX_AUTO(vx_ingest_item) item = vx_new(vx_ingest_item);
    if (!item) {
        vx_upload_free(upload_take);
        return VX_OUTCOME_BUSY;
    }
    item->upload = upload_take;
    item->filename = strdup(r->shown);
    item->metadata = strdup("{}");
    if (!item->filename || !item->metadata)
        return VX_OUTCOME_BUSY;
    item->clip = all->work.clip;
    item->in_commit = in_commit;
    item->on_phase = on_phase;
    item->abandoned = is_abandoned;
    item->done = on_done;
    item->ctx = r;
    snprintf(item->request_id, sizeof item->request_id, "folder-%" PRId64, r->file.row);
    vx_mutex_lock(&all->mu);
    r->next = all->inside;
    all->inside = r;
    all->n_inside++;
    r->folder->reading++;
    vx_mutex_unlock(&all->mu);
    vx_outcome refused = vx_ingest_submit(all->work.ingest, vx_take(item));
    if (!refused)
        return VX_OUTCOME_OK;
    vx_mutex_lock(&all->mu);
    all->inside = r->next; /* this thread alone adds to it, and it was the first */
    all->n_inside--;
    r->folder->reading--;
    vx_mutex_unlock(&all->mu);
    return refused;
}

/* Opens the file of the row; 1: it is ready to be read, 0: it is not, and the row says so. */
static int open_file(vx_reading *r, int *ret_fd, vx_err *err) {
    VX_AUTO_FD int root = vx_below_open_root(r->folder->row.path);
    if (root < 0) /* the walk will tell */
        return VX_FAIL(err, -EAGAIN, "the folder cannot be opened: %s", strerror(-root));
    VX_AUTO_FD int fd = vx_below_open(root, r->file.dir, r->file.name, O_RDONLY);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
        return run(r, apply_gone, err);
    if (fd < 0)
        return write_error(r, strerror(-fd), true, err);
    if (fstat(fd, &r->facts))
        return VX_FAIL_ERRNO(err, "looking at a file");
    if (!S_ISREG(r->facts.st_mode))
        return run(r, apply_gone, err);
    if (!vx_folder_file_is(&r->file, &r->facts, true))
        return write_later(r, &r->facts, vx_clock_unix_us() + r->all->params.quiet_us, err);
    *ret_fd = fd;
    fd = -1;
    return 1;
}

/* 1: the write path has it; 0: the row says what it is. */
static int read_file(vx_reading *r, vx_err *err) {
    VX_AUTO(vx_upload) upload = NULL;
    vx_err why;
    bool is_forgotten = false;
    int fd = -1;
    int rc = open_file(r, &fd, err);
    if (rc <= 0)
        return rc;
    rc = vx_upload_in_place(fd, keep_reading, r, &upload, &why);
    if (rc == -ECANCELED)
        return VX_FAIL(err, -ESHUTDOWN, "the server is shutting down");
    if (rc)
        return write_error(r, strerror(-rc), true, err);
    r->fd = vx_upload_in_place_fd(upload);
    vx_video_id_of(vx_upload_sha256(upload), r->id);
    if (!is_as_opened(r))
        return write_later(r, NULL, vx_clock_unix_us() + r->all->params.quiet_us, err);
    rc = vx_catalog_is_forgotten(r->all->params.catalog, r->id, &is_forgotten, err);
    if (rc)
        return rc;
    if (is_forgotten || (*r->file.video && !strcmp(r->file.video, r->id)))
        return run(r, apply_video, err);
    if (!vx_upload_bytes(upload))
        return write_error(r, "the file is empty", false, err);
    vx_outcome refused = submit(r, vx_take(upload));
    return refused ? VX_FAIL(err, refused == VX_OUTCOME_STOPPING ? -ESHUTDOWN : -EAGAIN,
                             "no more videos can be processed now")
                   : 1;
}

/* ---- what came back ---- */

static int settle(vx_reading *r, vx_err *err) {
    int64_t now_us = vx_clock_unix_us();
    if (r->outcome == VX_OUTCOME_OK)
        return 0; /* written with the video */
    if (atomic_load(&r->changed))
        return write_later(r, NULL, now_us + r->all->params.quiet_us, err);
    if (r->outcome == VX_OUTCOME_CANCELLED || r->outcome == VX_OUTCOME_STOPPING)
        return 0; /* waits for the next start */
    if (r->outcome == VX_OUTCOME_EXISTING)
        return run(r, apply_video, err);
    if (r->outcome == VX_OUTCOME_BUSY || r->outcome == VX_OUTCOME_NO_SPACE)
        return write_later(r, NULL, now_us + AGAIN_US, err);
    return write_error(r, r->err.msg, vx_outcome_is_our_fault(r->outcome), err);
}

/* Those that have ended, off the list. */
static void settle_all(vx_folders *all) {
    vx_mutex_lock(&all->mu);
    vx_reading *ended = all->ended;
    all->ended = NULL;
    for (const vx_reading *r = ended; r; r = r->next) {
        all->n_inside--;
        r->folder->reading--;
    }
    vx_mutex_unlock(&all->mu);
    while (ended) {
        vx_reading *r = ended;
        vx_err err;
        ended = r->next;
        int rc = settle(r, &err);
        if (rc && rc != -ESHUTDOWN)
            vx_log_failed(VX_LOG_ERROR, "folders", &err, "folder=%s", r->folder->row.name);
        free_reading(r);
    }
}

/* ---- which is next ---- */

static bool is_in_work(vx_folders *all, int64_t row) {
    bool found = false;
    vx_mutex_lock(&all->mu);
    for (const vx_reading *r = all->inside; r && !found; r = r->next)
        found = r->file.row == row;
    for (const vx_reading *r = all->ended; r && !found; r = r->next)
        found = r->file.row == row;
    vx_mutex_unlock(&all->mu);
    return found;
}

/* The next row of a folder that is ready, past those in work. VX_CATALOG_NOT_FOUND: there is none now. */
static int find_next(vx_folders *all, vx_folder *folder, vx_folder_file *ret_file,
                     int64_t *ret_next_us, vx_err *err) {
    for (;;) {
        int rc =
            vx_catalog_find_folder_file(all->params.catalog, folder->row.name, folder->last_row,
                                        vx_clock_unix_us(), ret_file, ret_next_us, err);
        if (rc == VX_CATALOG_NOT_FOUND && folder->last_row) {
            folder->last_row = 0; /* from the beginning again, the next time */
            *ret_next_us = vx_clock_unix_us() + S_US;
            return rc;
        }
        if (rc)
            return rc;
        folder->last_row = ret_file->row;
        if (!is_in_work(all, ret_file->row))
            return 0;
        vx_folder_file_clear(ret_file);
    }
}

static void note_busy(vx_folders *all, vx_folder *folder, bool busy) {
    vx_mutex_lock(&all->mu);
    busy |= folder->reading > 0;
    if (busy && !folder->busy_since_us)
        folder->busy_since_us = vx_clock_monotonic_us();
    if (!busy)
        folder->busy_since_us = folder->bytes_read = 0;
    vx_mutex_unlock(&all->mu);
}

/* Reads one file of the folder. VX_CATALOG_NOT_FOUND: there is none to read now. */
static int feed_one(vx_folders *all, vx_folder *folder, int64_t *ret_next_us, vx_err *err) {
    vx_reading *r = vx_new(vx_reading);
    if (!r)
        return VX_FAIL(err, -ENOMEM, "no memory to read a file");
    *r = (vx_reading){.all = all, .folder = folder, .fd = -1};
    int rc = find_next(all, folder, &r->file, ret_next_us, err);
    if (!rc)
        note_busy(all, folder, true);
    else if (rc == VX_CATALOG_NOT_FOUND && !*ret_next_us)
        note_busy(all, folder, false);
    if (!rc && !(r->shown = vx_utf8_show(r->file.name)))
        rc = VX_FAIL(err, -ENOMEM, "no memory to read a file");
    if (!rc)
        rc = read_file(r, err);
    if (rc == 1)
        return 0;
    free_reading(r);
    return rc;
}

/* ---- the thread ---- */

void vx_folders_feed(vx_folders *all) {
    vx_mutex_lock(&all->mu);
    all->more = true;
    vx_cond_signal(&all->fed);
    vx_mutex_unlock(&all->mu);
}

/* A file of each folder in turn. ret_due_us: when there is more to do, monotonic. */
static void feed(vx_folders *all, int64_t *ret_due_us) {
    bool any = true;
    while (any && !atomic_load(&all->stopping)) {
        any = false;
        for (size_t i = 0; i < all->n; i++) {
            int64_t next_us = 0, now_us = vx_clock_unix_us();
            vx_err err;
            settle_all(all);
            vx_mutex_lock(&all->mu);
            bool full = all->n_inside >= all->work.n_at_once;
            vx_mutex_unlock(&all->mu);
            if (full || atomic_load(&all->stopping))
                return;
            int rc = feed_one(all, &all->items[i], &next_us, &err);
            any |= !rc;
            if (rc && rc != VX_CATALOG_NOT_FOUND && rc != -ESHUTDOWN && rc != -EAGAIN)
                vx_log_failed(VX_LOG_ERROR, "folders", &err, "folder=%s", all->items[i].row.name);
            if (rc && rc != VX_CATALOG_NOT_FOUND)
                next_us = now_us + AFTER_FAILURE_US;
            int64_t due_us = vx_clock_monotonic_us() + (next_us > now_us ? next_us - now_us : 0);
            if (next_us && due_us < *ret_due_us)
                *ret_due_us = due_us;
        }
    }
}

void vx_readings_free(vx_reading *readings) {
    while (readings) {
        vx_reading *next = readings->next;
        free_reading(readings);
        readings = next;
    }
}

void *vx_folders_run_feeder(void *ctx) {
    vx_folders *all = ctx;
    while (!atomic_load(&all->stopping)) {
        int64_t due_us = vx_clock_monotonic_us() + 60 * S_US;
        feed(all, &due_us);
        vx_mutex_lock(&all->mu);
        while (!atomic_load(&all->stopping) && !all->more && !all->ended &&
               vx_cond_wait_until(&all->fed, &all->mu, due_us))
            continue;
        all->more = false;
        vx_mutex_unlock(&all->mu);
    }
    return NULL;
}
