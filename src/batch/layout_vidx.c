/* layout_vidx.c — see the header. */
#include "layout_vidx.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hex.h"
#include "base/npy.h"
#include "output.h"

#define FAISS "video_index.faiss"
#define NPY "embeddings.npy"
#define JSONL "clips.jsonl"
#define STAGING ".vidx/staging"
#define STAMP ".vidx/written" /* for a further model "-<name>" is put behind it */

static const char *const outputs[] = {FAISS, NPY, JSONL};

typedef struct writer {
    const vx_batch_parts *parts;
    const vx_model *model;
    const vx_batch_inventory *inventory;
    const char *output, *folder; /* folder: "." or the model's name */
    char stamp[96];
    int64_t *ids; /* [n] clip rows, rising: row i of the outputs */
    size_t n;
} writer;

/* ---- embeddings.npy ---- */

static int write_npy(FILE *file, void *ctx) {
    const writer *w = ctx;
    size_t dim = (size_t)vx_index_dim(w->model->index);
    char header[VX_NPY_HEADER_BYTES];
    vx_npy_write_header(header, "<f4", (int64_t)w->n, (int64_t)dim);
    fwrite(header, sizeof header, 1, file);
    VX_AUTO_FREE float *vector = vx_new_array(dim, sizeof *vector);
    if (!vector)
        return -ENOMEM;
    for (size_t i = 0; i < w->n; i++) {
        if (vx_index_get(w->model->index, w->ids[i], vector, NULL))
            return -EIO;
        if (fwrite(vector, sizeof *vector, dim, file) != dim)
            return -errno;
    }
    return 0;
}

/* ---- clips.jsonl ---- */

static json_t *verdict_json(const writer *w, const vx_video *video, bool is_first_file) {
    vx_verdict_row row = video->duplicate;
    if (!is_first_file) {
        row = (vx_verdict_row){.kind = VX_VERDICT_EXACT,
                               .score = 1,
                               .share = 1,
                               .share_of_new = 1,
                               .share_of_stored = 1};
        strcpy(row.of, video->id);
    } else if (row.kind == VX_VERDICT_NEW || !vx_batch_inventory_has_file(w->inventory, row.of)) {
        row = vx_verdict_row_new();
    }
    return vx_verdict_json(&row);
}

/* Seconds to the microsecond: what lies behind is the noise of time base arithmetic. */
static double seconds(double value) {
    return round(value * 1e6) / 1e6;
}

/* video: with the row's clip alone. */
static int write_line(FILE *file, const writer *w, const vx_video *video, size_t row, json_t *path,
                      bool is_first_file) {
    const vx_model_info *model = w->model->info;
    const vx_clip *clip = &video->clips[0];
    char sha256[65], clip_id[VX_CLIP_ID_CHARS + 1];
    vx_hex_encode(video->sha256, 32, sha256);
    vx_clip_id_of(video->id, clip->index, clip_id);
    json_t *line = json_pack(
        "{s:I, s:O, s:s, s:s, s:i, s:f, s:f, s:s, s:s, s:s, s:o}", "row", (json_int_t)row, "file",
        path, "video_id", video->id, "clip_id", clip_id, "index", clip->index, "start_s",
        seconds(clip->start_s), "end_s", seconds(clip->end_s), "model", model->name, "model_digest",
        model->digest, "sha256", sha256, "duplicate", verdict_json(w, video, is_first_file));
    if (!line)
        return -ENOMEM;
    /* 17 digits would show a float's conversion noise; 11 hold a day to the microsecond. */
    int rc = json_dumpf(line, file, JSON_COMPACT | JSON_REAL_PRECISION(11));
    json_decref(line);
    fputc('\n', file);
    return rc ? -EIO : 0;
}

static int write_row(FILE *file, const writer *w, size_t row) {
    VX_AUTO(vx_video) video = NULL;
    vx_err err;
    if (vx_catalog_get_video_of_clip(w->parts->collection->catalog, w->ids[row], &video, &err))
        return -EIO;
    json_t *paths = vx_batch_inventory_paths(video->metadata);
    int rc = paths ? 0 : -EIO;
    for (size_t i = 0; i < json_array_size(paths) && !rc; i++)
        rc = write_line(file, w, video, row, json_array_get(paths, i), i == 0);
    json_decref(paths);
    return rc;
}

static int write_jsonl(FILE *file, void *ctx) {
    const writer *w = ctx;
    int rc = 0;
    for (size_t row = 0; row < w->n && !rc; row++)
        rc = write_row(file, w, row);
    return rc;
}

/* ---- up to date? ---- */

static int sizes_of(const char *output, const char *folder, char ret_text[96], vx_err *err) {
    long long sizes[VX_LEN(outputs)];
    for (size_t i = 0; i < VX_LEN(outputs); i++) {
        char name[128], path[PATH_MAX];
        struct stat info;
        snprintf(name, sizeof name, "%s/%s", folder, outputs[i]);
        int rc = vx_batch_join(path, output, name, err);
        if (rc)
            return rc;
        if (stat(path, &info))
            return VX_FAIL_ERRNO(err, "looking at %s", path);
        sizes[i] = info.st_size;
    }
    snprintf(ret_text, 96, "%lld %lld %lld\n", sizes[0], sizes[1], sizes[2]);
    return 0;
}

static int write_text(FILE *file, void *ctx) {
    return fputs(ctx, file) < 0 ? -errno : 0;
}

/* The three files belong together, have their sizes, and the staged clips.jsonl is the same as the one
 * in place. Each line names the bytes and the model behind its vector, so the vectors are the same. */
static bool up_to_date(const writer *w, const char *staged_jsonl) {
    char path[PATH_MAX], name[128], wanted[96] = "", found[96] = "";
    vx_err err;
    if (vx_batch_join(path, w->output, w->stamp, &err) ||
        sizes_of(w->output, w->folder, wanted, &err))
        return false;
    VX_AUTO(FILE) stamp = fopen(path, "re");
    if (!stamp || !fgets(found, sizeof found, stamp) || strcmp(found, wanted))
        return false;
    snprintf(name, sizeof name, "%s/" JSONL, w->folder);
    return !vx_batch_join(path, w->output, name, &err) && vx_batch_same_content(path, staged_jsonl);
}

/* ---- all together ---- */

static int stage_vectors(writer *w, vx_err *err) {
    char path[PATH_MAX];
    int64_t *ids = NULL;
    size_t n;
    int rc = vx_batch_join(path, w->output, STAGING "/" FAISS, err);
    if (!rc)
        rc = vx_index_write_faiss(w->model->index, path, &ids, &n, err);
    free(ids); /* the same: nothing is added or removed meanwhile */
    return rc ? rc : vx_batch_write_file(w->output, STAGING "/" NPY, write_npy, w, err);
}

/* An empty stamp: the folder is ours, but the three files in it may not belong together. */
static int clear_stamp(const writer *w, vx_err *err) {
    int rc = vx_batch_write_file(w->output, w->stamp, write_text, (void *)"", err);
    return rc ? rc : vx_batch_sync_folder(w->output, ".vidx", err);
}

static int install(const writer *w, vx_err *err) {
    char sizes[96], folder[PATH_MAX];
    int rc = sizes_of(w->output, STAGING, sizes, err);
    if (!rc)
        rc = clear_stamp(w, err);
    if (!rc)
        rc = vx_batch_join(folder, w->output, w->folder, err);
    if (!rc)
        rc = vx_batch_make_folders(folder, err);
    for (size_t i = 0; i < VX_LEN(outputs) && !rc; i++) {
        char staged[64], name[128];
        snprintf(staged, sizeof staged, STAGING "/%s", outputs[i]);
        snprintf(name, sizeof name, "%s/%s", w->folder, outputs[i]);
        rc = vx_batch_move(w->output, staged, name, err);
    }
    if (!rc)
        rc = vx_batch_sync_folder(w->output, w->folder, err);
    if (!rc)
        rc = vx_batch_sync_folder(w->output, ".", err);
    return rc ? rc : vx_batch_replace(w->output, w->stamp, write_text, sizes, err);
}

int vx_batch_write_index(const vx_batch_parts *parts, int m, const vx_batch_inventory *inventory,
                         const char *output, bool *ret_written, size_t *ret_rows, vx_err *err) {
    const vx_model *model = &parts->collection->models->items[m];
    VX_AUTO_FREE int64_t *ids = NULL;
    writer w = {.parts = parts,
                .model = model,
                .inventory = inventory,
                .output = output,
                .folder = m ? model->info->name : ".",
                .stamp = STAMP};
    char jsonl[PATH_MAX];
    if (m)
        snprintf(w.stamp, sizeof w.stamp, STAMP "-%s", model->info->name);
    int rc = vx_index_ids(model->index, &ids, &w.n, err);
    w.ids = ids;
    if (!rc)
        rc = vx_batch_open_staging(output, err);
    if (!rc)
        rc = vx_batch_join(jsonl, output, STAGING "/" JSONL, err);
    if (!rc)
        rc = vx_batch_write_file(output, STAGING "/" JSONL, write_jsonl, &w, err);
    if (rc)
        return rc;
    *ret_rows = w.n;
    *ret_written = !up_to_date(&w, jsonl);
    if (!*ret_written) {
        unlink(jsonl);
        return 0;
    }
    rc = stage_vectors(&w, err);
    return rc ? rc : install(&w, err);
}

/* ---- models that are not used any more ---- */

static bool is_further_model(const vx_batch_parts *parts, const char *name) {
    for (int i = 1; i < parts->collection->models->n; i++)
        if (!strcmp(parts->collection->models->items[i].info->name, name))
            return true;
    return false;
}

/* The stamp goes last: if the process ends before that, the next run does the rest. */
static int remove_model(const char *output, const char *name, vx_err *err) {
    char path[128];
    int rc = 0;
    for (size_t i = 0; i < VX_LEN(outputs) && !rc; i++) {
        snprintf(path, sizeof path, "%s/%s", name, outputs[i]);
        rc = vx_batch_remove(output, path, err);
    }
    if (!rc)
        rc = vx_batch_remove(output, name, err);
    snprintf(path, sizeof path, STAMP "-%s", name);
    return rc ? rc : vx_batch_remove(output, path, err);
}

int vx_batch_remove_unused_models(const vx_batch_parts *parts, const char *output, vx_err *err) {
    static const char prefix[] = "written-";
    char path[PATH_MAX];
    int rc = vx_batch_join(path, output, ".vidx", err);
    if (rc)
        return rc;
    DIR *folder = opendir(path);
    if (!folder)
        return VX_FAIL_ERRNO(err, "reading %s", path);
    for (struct dirent *entry; !rc && (entry = readdir(folder));) {
        const char *name = entry->d_name + sizeof prefix - 1;
        if (!strncmp(entry->d_name, prefix, sizeof prefix - 1) && !is_further_model(parts, name))
            rc = remove_model(output, name, err);
    }
    closedir(folder);
    return rc;
}

/* ---- clips as files, clips as a list ---- */

int vx_batch_write_clip_files(const vx_batch_parts *parts, const vx_batch_inventory *inventory,
                              vx_batch_clip_files *files, vx_batch_failures *failures,
                              vx_err *err) {
    VX_AUTO_FREE vx_batch_file **sources = NULL;
    size_t n;
    int rc = vx_batch_inventory_files(inventory, true, &sources, &n, err);
    for (size_t i = 0; i < n && !rc; i++) {
        VX_AUTO(vx_video) video = NULL;
        rc = vx_catalog_get_video(parts->collection->catalog, sources[i]->video->id, &video, err);
        for (size_t c = 0; !rc && c < video->n_clips; c++) {
            const vx_clip *clip = &video->clips[c];
            char id[VX_CLIP_ID_CHARS + 1];
            vx_batch_clip_file ignored;
            vx_err why;
            vx_clip_id_of(video->id, clip->index, id);
            rc = vx_batch_clip_files_write(files, sources[i], id, video, clip->start_s, clip->end_s,
                                           &ignored, &why);
            if (rc > 0 && rc != VX_MEDIA_STOPPED && rc != VX_MEDIA_NO_ENCODER)
                /* it could be read when it was embedded: it loses only this file */
                rc = vx_batch_failures_skip(failures, sources[i]->path, why.msg, err);
            else if (rc)
                *err = why;
        }
    }
    return rc;
}

int vx_batch_list_clips(const vx_batch_parts *parts, const vx_batch_inventory *inventory,
                        vx_batch_clip_list *clips, vx_err *err) {
    VX_AUTO_FREE vx_batch_file **files = NULL;
    size_t n;
    int rc = vx_batch_inventory_files(inventory, true, &files, &n, err);
    for (size_t i = 0; i < n && !rc; i++) {
        VX_AUTO(vx_video) video = NULL;
        rc = vx_catalog_get_video(parts->collection->catalog, files[i]->video->id, &video, err);
        bool set_aside = true;
        for (const vx_batch_file *f = files[i]->video->files; f; f = f->next)
            set_aside &= vx_batch_file_is_set_aside(f);
        for (size_t c = 0; !rc && c < video->n_clips; c++) {
            vx_batch_clip *clip = vx_batch_clip_list_add(clips);
            if (!clip)
                return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu clips", clips->n + 1);
            vx_clip_id_of(video->id, video->clips[c].index, clip->id);
            clip->row = video->clips[c].row;
            clip->pixels = (int64_t)video->width_px * video->height_px;
            clip->set_aside = set_aside;
        }
    }
    return rc;
}
