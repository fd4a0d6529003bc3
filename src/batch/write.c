/* batch_write.c — see the header. */
#include "write.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hex.h"
#include "store.h"

#define FAISS "video_index.faiss"
#define NPY "embeddings.npy"
#define JSONL "clips.jsonl"
#define STAGING ".vidx/staging"
#define STAMP ".vidx/written" /* and, of a further model, "-<name>" behind it */

static const char *const outputs[] = {FAISS, NPY, JSONL};

typedef struct writer {
    vx_server *server;
    const vx_model *model;
    const vx_batch_library *library;
    const char *output, *folder; /* folder: "." or the model's name */
    char stamp[96];
    int64_t *ids; /* [n] clip rows, rising: row i of the outputs */
    size_t n;
} writer;

/* ---- embeddings.npy ---- */

/* NPY format 1.0: magic, version, length of the text, the text padded so that the data is aligned
 * to 64 bytes. */
static int fill_npy(FILE *file, void *ctx) {
    const writer *w = ctx;
    size_t dim = (size_t)vx_index_dim(w->model->index);
    char header[128];
    int n = snprintf(header + 10, sizeof header - 10,
                     "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", w->n, dim);
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = (char)(sizeof header - 10);
    header[9] = 0;
    memset(header + 10 + n, ' ', sizeof header - 11 - (size_t)n);
    header[sizeof header - 1] = '\n';
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

static json_t *verdict(const writer *w, const vx_video *video, bool is_first) {
    vx_verdict_row row = video->duplicate;
    if (!is_first) {
        row = (vx_verdict_row){.kind = VX_VERDICT_EXACT, .score = 1, .share = 1};
        strcpy(row.of, video->id);
    } else if (row.kind == VX_VERDICT_NEW || !vx_batch_library_has(w->library, row.of)) {
        row = (vx_verdict_row){.kind = VX_VERDICT_NEW, .score = NAN, .share = NAN, .offset_s = NAN};
    }
    return vx_verdict_json(&row);
}

/* Seconds to the microsecond: what lies behind is the noise of time base arithmetic. */
static double seconds(double value) {
    return round(value * 1e6) / 1e6;
}

/* video: with the row's clip alone. */
static int write_line(FILE *file, const writer *w, const vx_video *video, size_t row, json_t *path,
                      bool is_first) {
    const vx_model_info *model = w->model->info;
    const vx_clip *clip = &video->clips[0];
    char sha256[65], clip_id[VX_CLIP_ID_CHARS + 1];
    vx_hex_encode(video->sha256, 32, sha256);
    vx_clip_id_of(video->id, clip->index, clip_id);
    json_t *line = json_pack(
        "{s:I, s:O, s:s, s:s, s:i, s:f, s:f, s:s, s:s, s:s, s:o}", "row", (json_int_t)row, "file",
        path, "video_id", video->id, "clip_id", clip_id, "index", clip->index, "start_s",
        seconds(clip->start_s), "end_s", seconds(clip->end_s), "model", model->name, "model_digest",
        model->digest, "sha256", sha256, "duplicate", verdict(w, video, is_first));
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
    if (vx_catalog_get_video_of_clip(w->server->catalog, w->ids[row], &video, &err))
        return -EIO;
    json_t *paths = vx_batch_library_paths(video->metadata);
    int rc = paths ? 0 : -EIO;
    for (size_t i = 0; i < json_array_size(paths) && !rc; i++)
        rc = write_line(file, w, video, row, json_array_get(paths, i), i == 0);
    json_decref(paths);
    return rc;
}

static int fill_jsonl(FILE *file, void *ctx) {
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

static int fill_text(FILE *file, void *ctx) {
    return fputs(ctx, file) < 0 ? -errno : 0;
}

/* The three are whole and untouched, and say what the staged clips.jsonl says: as every line names
 * the bytes and the model behind its vector, the vectors are the same too. */
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
    return rc ? rc : vx_batch_write_file(w->output, STAGING "/" NPY, fill_npy, w, err);
}

/* An empty stamp says that the folder is ours, but not that the three in it belong together. */
static int void_stamp(const writer *w, vx_err *err) {
    int rc = vx_batch_write_file(w->output, w->stamp, fill_text, (void *)"", err);
    return rc ? rc : vx_batch_sync_folder(w->output, ".vidx", err);
}

static int install(const writer *w, vx_err *err) {
    char sizes[96], folder[PATH_MAX];
    int rc = sizes_of(w->output, STAGING, sizes, err);
    if (!rc)
        rc = void_stamp(w, err);
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
    return rc ? rc : vx_batch_replace(w->output, w->stamp, fill_text, sizes, err);
}

int vx_batch_write(vx_server *server, const vx_model *model, const vx_batch_library *library,
                   const char *output, bool *ret_written, size_t *ret_rows, vx_err *err) {
    VX_AUTO_FREE int64_t *ids = NULL;
    writer w = {.server = server,
                .model = model,
                .library = library,
                .output = output,
                .folder = model == server->models->items ? "." : model->info->name,
                .stamp = STAMP};
    char jsonl[PATH_MAX];
    if (model != server->models->items)
        snprintf(w.stamp, sizeof w.stamp, STAMP "-%s", model->info->name);
    int rc = vx_index_ids(model->index, &ids, &w.n, err);
    w.ids = ids;
    if (!rc)
        rc = vx_batch_open_staging(output, err);
    if (!rc)
        rc = vx_batch_join(jsonl, output, STAGING "/" JSONL, err);
    if (!rc)
        rc = vx_batch_write_file(output, STAGING "/" JSONL, fill_jsonl, &w, err);
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

/* ---- models that are not named any more ---- */

static bool is_further_model(const vx_server *server, const char *name) {
    for (int i = 1; i < server->models->n; i++)
        if (!strcmp(server->models->items[i].info->name, name))
            return true;
    return false;
}

/* The stamp goes last: a kill before leaves it, and so the rest to the next run. */
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

int vx_batch_forget_models(const vx_server *server, const char *output, vx_err *err) {
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
        if (!strncmp(entry->d_name, prefix, sizeof prefix - 1) && !is_further_model(server, name))
            rc = remove_model(output, name, err);
    }
    closedir(folder);
    return rc;
}

/* ---- clips as files, clips as a list ---- */

/* A video that was read when it was embedded and cannot be now costs its own clips. */
static int cut_clip(vx_batch_cuts *cuts, const vx_batch_file *file, const vx_video *video,
                    const vx_clip *clip, vx_batch_on_problem on_skipped, void *ctx, vx_err *err) {
    char id[VX_CLIP_ID_CHARS + 1];
    vx_batch_cut ignored;
    vx_clip_id_of(video->id, clip->index, id);
    int rc =
        vx_batch_cuts_make(cuts, file, id, video->id, clip->start_s, clip->end_s, &ignored, err);
    if (rc <= 0 || rc == VX_MEDIA_STOPPED || rc == VX_MEDIA_NO_ENCODER)
        return rc;
    on_skipped(ctx, file->path, err->msg);
    return 0;
}

int vx_batch_cut_clips(vx_server *server, const vx_batch_library *library, vx_batch_cuts *cuts,
                       vx_batch_on_problem on_skipped, void *ctx, vx_err *err) {
    VX_AUTO_FREE vx_batch_file **files = NULL;
    size_t n;
    int rc = vx_batch_library_files(library, true, &files, &n, err);
    for (size_t i = 0; i < n && !rc; i++) {
        VX_AUTO(vx_video) video = NULL;
        rc = vx_catalog_get_video(server->catalog, files[i]->video->id, &video, err);
        for (size_t c = 0; !rc && c < video->n_clips; c++)
            rc = cut_clip(cuts, files[i], video, &video->clips[c], on_skipped, ctx, err);
    }
    return rc;
}

int vx_batch_list_clips(vx_server *server, const vx_batch_library *library, vx_batch_clips *clips,
                        vx_err *err) {
    VX_AUTO_FREE vx_batch_file **files = NULL;
    size_t n;
    int rc = vx_batch_library_files(library, true, &files, &n, err);
    for (size_t i = 0; i < n && !rc; i++) {
        VX_AUTO(vx_video) video = NULL;
        rc = vx_catalog_get_video(server->catalog, files[i]->video->id, &video, err);
        for (size_t c = 0; !rc && c < video->n_clips; c++) {
            vx_batch_clip *clip = vx_batch_clips_add(clips);
            if (!clip)
                return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu clips", clips->n + 1);
            vx_clip_id_of(video->id, video->clips[c].index, clip->id);
            clip->row = video->clips[c].row;
            clip->pixels = (int64_t)video->width_px * video->height_px;
        }
    }
    return rc;
}
