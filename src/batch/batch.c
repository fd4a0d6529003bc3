/* batch.c — the steps of `vidx embed`, one after the other; see the header. */
#include "batch.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "clip_files.h"
#include "duplicates.h"
#include "embed_files.h"
#include "layout_curator.h"
#include "layout_vidx.h"
#include "missing_vectors.h"
#include "output.h"

#define CLIP_FILES_EVERY_US 10000000 /* how often their number is told */

struct vx_batch {
    vx_batch_params p;
    char input[PATH_MAX], output[PATH_MAX], data[PATH_MAX]; /* absolute */
    vx_batch_files *files;
    vx_batch_failures *failures;
    vx_batch_parts parts;
    vx_batch_inventory *inventory;
    vx_batch_clip_files *clip_files; /* NULL: clips are not written as files */
    vx_batch_clip_list clips;        /* for duplicates */
    vx_batch_progress progress;
    vx_batch_report report;
    int64_t started_us, clip_files_told_us;
};

vx_batch *vx_batch_free(vx_batch *batch) {
    if (!batch)
        return NULL;
    vx_batch_clip_list_done(&batch->clips);
    vx_batch_clip_files_free(batch->clip_files);
    vx_batch_inventory_free(batch->inventory);
    vx_batch_failures_free(batch->failures);
    vx_batch_files_free(batch->files);
    free(batch);
    return NULL;
}

const char *vx_batch_data_dir(const vx_batch *batch) {
    return batch->data;
}

void vx_batch_print_error(const char *command, const vx_err *err) {
    vx_batch_say(NULL, "%s: %s", command, err->msg);
}

/* ---- the folders ---- */

static int find_folder(const char *path, char ret_path[PATH_MAX], vx_err *err) {
    struct stat info;
    if (!realpath(path, ret_path) || stat(ret_path, &info))
        return VX_FAIL_ERRNO(err, "cannot read the folder %s", path);
    return S_ISDIR(info.st_mode) ? 0 : VX_FAIL(err, -ENOTDIR, "%s is not a folder", path);
}

/* Of the walk: a file or folder that cannot be read or named. */
static void on_problem(void *ctx, const char *path, const char *reason) {
    vx_batch *batch = ctx;
    vx_err err;
    if (vx_batch_failures_skip(batch->failures, path, reason, &err))
        vx_batch_say(NULL, "%s", err.msg);
}

static int find_files(vx_batch *batch, vx_err *err) {
    const vx_batch_params *p = &batch->p;
    if (p->places)
        return vx_batch_find_files_at(p->places, p->n_places, on_problem, batch, &batch->files,
                                      err);
    int rc = find_folder(p->input, batch->input, err);
    return rc ? rc : vx_batch_find_files(batch->input, on_problem, batch, &batch->files, err);
}

static void say_what_is_there(const vx_batch *batch) {
    char several[32];
    snprintf(several, sizeof several, "%zu places", batch->p.n_places);
    if (batch->p.quiet)
        return;
    vx_batch_say(NULL, "%zu videos, %.1f MB in %s", batch->files->n,
                 (double)batch->files->bytes / 1e6,
                 !batch->p.places         ? batch->input
                 : batch->p.n_places == 1 ? batch->p.places[0]
                                          : several);
    if (batch->files->n_symlinks)
        vx_batch_say(NULL, "%zu symbolic links are not followed", batch->files->n_symlinks);
}

int vx_batch_open(const vx_batch_params *params, vx_batch **ret_batch, vx_err *err) {
    VX_AUTO(vx_batch) batch = vx_new(vx_batch);
    if (!batch || !(batch->failures = vx_batch_failures_new()))
        return VX_FAIL(err, -ENOMEM, "no memory");
    batch->p = *params;
    batch->progress.quiet = params->quiet;
    batch->started_us = vx_clock_monotonic_us();
    int rc = find_files(batch, err);
    if (!rc)
        rc = vx_batch_make_folders(params->output, err);
    if (!rc)
        rc = find_folder(params->output, batch->output, err);
    if (!rc)
        rc = vx_batch_join(batch->data, batch->output, ".vidx", err);
    if (rc)
        return rc;
    say_what_is_there(batch);
    *ret_batch = vx_take(batch);
    return 0;
}

/* ---- embedding ---- */

/* A disk that is not mounted looks like a folder without videos. */
static int check_not_emptied(const vx_batch *batch, vx_err *err) {
    const char *emptied = batch->p.input;
    size_t stored = vx_batch_inventory_count(batch->inventory);
    bool gone = !batch->p.places && !batch->files->n && stored;
    for (size_t i = 0; i < batch->p.n_places && !gone; i++) {
        emptied = batch->p.places[i];
        stored = vx_batch_inventory_count_gone(batch->inventory, emptied);
        gone = stored && !vx_batch_files_below(batch->files, emptied);
    }
    if (!gone || !batch->files->complete)
        return 0;
    return VX_FAIL(err, -ENOENT,
                   "%s has no videos any more, but %s has %zu: is a disk not mounted? "
                   "Remove %s to start over",
                   emptied, batch->p.output, stored, batch->data);
}

static int embed(vx_batch *batch, vx_err *err) {
    for (int m = 0; m < batch->parts.collection->models->n && !batch->p.quiet; m++) {
        const vx_model_info *info = batch->parts.collection->models->items[m].info;
        vx_batch_say(NULL, "%s on %s, %s, from %s", info->name, info->device, info->dtype,
                     batch->p.models_dir);
    }
    int rc = vx_batch_inventory_open(&batch->parts, batch->files, &batch->inventory, err);
    if (rc)
        return VX_WRAP(err, "%s", batch->p.output), rc;
    rc = check_not_emptied(batch, err);
    if (rc)
        return rc;
    vx_batch_run_context context = {
        .parts = &batch->parts,
        .input = batch->p.places ? NULL : batch->input,
        .files = batch->files,
        .inventory = batch->inventory,
        .failures = batch->failures,
        .progress = &batch->progress,
        .interrupted = batch->p.interrupted,
    };
    rc = vx_batch_embed_files(&context, &batch->report, err);
    if (!rc && !batch->report.interrupted)
        rc = vx_batch_fill_missing_vectors(&context, &batch->report, err);
    return rc;
}

/* ---- the outputs ---- */

static void on_clip_file(void *ctx, size_t n_written) {
    vx_batch *batch = ctx;
    int64_t now_us = vx_clock_monotonic_us();
    if (batch->p.quiet || now_us - batch->clip_files_told_us < CLIP_FILES_EVERY_US)
        return;
    batch->clip_files_told_us = now_us;
    vx_batch_say(NULL, "%zu clips written to %s/clips", n_written, batch->output);
}

static int open_clip_files(vx_batch *batch, vx_err *err) {
    vx_batch_clip_files_params params = {
        .input = batch->input,
        .output = batch->output,
        .encoder = batch->p.encoder,
        .limits = &batch->parts.extractor->limits,
        .interrupted = batch->p.interrupted,
        .on_written = on_clip_file,
        .ctx = batch,
    };
    batch->clip_files_told_us = vx_clock_monotonic_us();
    int rc = vx_batch_open_staging(batch->output, err);
    return rc ? rc : vx_batch_clip_files_open(&params, &batch->clip_files, err);
}

static int finish_clip_files(vx_batch *batch, vx_err *err) {
    size_t written, removed;
    int rc = vx_batch_clip_files_finish(batch->clip_files, &written, &removed, err);
    if (!rc && !batch->p.quiet)
        vx_batch_say(NULL, "%zu clips written to %s/clips, %zu removed", written, batch->output,
                     removed);
    return rc;
}

static int write_vidx(vx_batch *batch, vx_err *err) {
    const vx_batch_parts *parts = &batch->parts;
    int rc = batch->clip_files ? vx_batch_write_clip_files(parts, batch->inventory,
                                                           batch->clip_files, batch->failures, err)
                               : 0;
    for (int m = 0; m < parts->collection->models->n && !rc; m++) {
        bool written;
        size_t rows;
        rc = vx_batch_write_index(parts, m, batch->inventory, batch->output, &written, &rows, err);
        if (!rc && !batch->p.quiet)
            vx_batch_say(NULL, "%zu rows in %s%s%s%s", rows, batch->output, m ? "/" : "",
                         m ? parts->collection->models->items[m].info->name : "",
                         written ? "" : ", unchanged");
    }
    if (!rc)
        rc = vx_batch_remove_unused_models(parts, batch->output, err);
    if (!rc && batch->p.dedup_threshold > 0)
        rc = vx_batch_list_clips(parts, batch->inventory, &batch->clips, err);
    return rc;
}

/* The name by which documents call a folder: as it was typed, so that names made from paths are the
 * same as those that another program makes from the same words; for a relative path the real one. */
static void name_folder(const char *typed, const char *real, char ret_path[PATH_MAX]) {
    snprintf(ret_path, PATH_MAX, "%s", typed[0] == '/' ? typed : real);
    for (size_t n = strlen(ret_path); n && ret_path[n - 1] == '/'; n--)
        ret_path[n - 1] = '\0';
}

static int write_curator(vx_batch *batch, vx_err *err) {
    char source[PATH_MAX], location[PATH_MAX];
    name_folder(batch->p.input, batch->input, source);
    name_folder(batch->p.output, batch->output, location);
    vx_batch_curator_params params = {
        .parts = &batch->parts,
        .inventory = batch->inventory,
        .failures = batch->failures,
        .clip_files = batch->clip_files,
        .input = batch->input,
        .output = batch->output,
        .source = source,
        .location = location,
    };
    vx_batch_curator_result r;
    int rc = vx_batch_write_curator_tree(&params, &batch->clips, &r, err);
    if (!rc && !batch->p.quiet)
        vx_batch_say(NULL, "%zu clips of %zu videos in %s: %zu files written, %zu removed",
                     r.n_clips, r.n_videos, batch->output, r.n_written, r.n_removed);
    return rc;
}

static int write_duplicates(vx_batch *batch, vx_err *err) {
    size_t removed;
    if (batch->p.layout == VX_BATCH_LAYOUT_NONE)
        return 0;
    if (!(batch->p.dedup_threshold > 0))
        return vx_batch_remove_duplicates(batch->output, err);
    int rc = vx_batch_write_duplicates(batch->parts.collection->models->items[0].index,
                                       &batch->clips, (float)batch->p.dedup_threshold,
                                       batch->output, batch->p.interrupted, &removed, err);
    if (!rc && !batch->p.quiet)
        vx_batch_say(NULL, "%zu of %zu clips are near-duplicates of kept ones: %s/duplicates",
                     removed, batch->clips.n, batch->output);
    return rc;
}

static void print_summary(const vx_batch *batch, size_t n_removed) {
    const vx_batch_report *r = &batch->report;
    size_t n_failed = vx_batch_failures_count(batch->failures);
    if (r->n_filled)
        vx_batch_say(NULL, "%zu videos got missing vectors", r->n_filled);
    vx_batch_say(NULL,
                 "Done in %.1f s: %zu new, %zu unchanged, %zu identical files, %zu removed, %zu "
                 "failed%s%s%s",
                 (double)(vx_clock_monotonic_us() - batch->started_us) / 1e6, r->n_new,
                 r->n_unchanged, r->n_identical, n_removed, n_failed, n_failed ? " (see " : "",
                 n_failed ? batch->output : "", n_failed ? "/failed.jsonl)" : "");
}

/* ret_stopped: it was interrupted; which step that was has been said. */
static int write_outputs(vx_batch *batch, bool *ret_stopped, vx_err *err) {
    size_t n_removed = 0;
    int rc = vx_batch_inventory_prune(batch->inventory, &n_removed, err);
    if (!rc && batch->p.layout != VX_BATCH_LAYOUT_NONE)
        rc = vx_library_check_pictures(batch->parts.library, err);
    if (!rc && batch->p.write_clips)
        rc = open_clip_files(batch, err);
    if (!rc)
        rc = batch->p.layout == VX_BATCH_LAYOUT_CURATOR ? write_curator(batch, err)
             : batch->p.layout == VX_BATCH_LAYOUT_VIDX  ? write_vidx(batch, err)
                                                        : 0;
    if (!rc && batch->clip_files)
        rc = finish_clip_files(batch, err);
    if (rc == VX_MEDIA_STOPPED) {
        vx_batch_say(NULL, "interrupted while clips were written: run the same command to go on");
        *ret_stopped = true;
        return 0;
    }
    if (!rc)
        rc = write_duplicates(batch, err);
    if (rc == VX_DEDUP_STOPPED) {
        vx_batch_say(NULL, "interrupted while clips were compared: run the same command to go on");
        *ret_stopped = true;
        return 0;
    }
    if (!rc)
        rc = vx_batch_failures_write(batch->failures, batch->output, err);
    if (!rc && !batch->p.quiet)
        print_summary(batch, n_removed);
    return rc;
}

int vx_batch_run(vx_batch *batch, const vx_batch_parts *parts, vx_batch_end *ret_end, vx_err *err) {
    batch->parts = *parts;
    int rc = embed(batch, err);
    if (rc)
        return rc;
    const vx_batch_report *r = &batch->report;
    bool stopped = r->interrupted;
    if (stopped)
        vx_batch_say(NULL, "interrupted with %zu of %zu videos done: run the same command to go on",
                     r->n_unchanged + r->n_new + r->n_identical - r->n_still_missing,
                     batch->files->n);
    else
        rc = write_outputs(batch, &stopped, err);
    *ret_end = stopped                                    ? VX_BATCH_INTERRUPTED
               : r->n_internal                            ? VX_BATCH_SOME_FAILED
               : vx_batch_failures_count(batch->failures) ? VX_BATCH_SOME_SKIPPED
                                                          : VX_BATCH_DONE;
    return rc;
}
