/* clip_files.c — see the header. */
#include "clip_files.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "output.h"

#define LIST VX_BATCH_CLIP_FILES_LIST
#define STAGED ".vidx/staging/clip.mp4"

typedef struct known {
    char id[40];
    char of[80]; /* what it was cut from: video and span */
    vx_batch_clip_file file;
    bool used;
} known;

struct vx_batch_clip_files {
    vx_batch_clip_files_params p;
    void *by_id; /* tsearch tree of known, owned */
    FILE *list;  /* LIST, being appended to */
    size_t n_written, n_removed;
    FILE *saving; /* while the list is written anew */
    int rc;       /* of a walk */
};

static int compare(const void *a, const void *b) {
    return strcmp(((const known *)a)->id, ((const known *)b)->id);
}

vx_batch_clip_files *vx_batch_clip_files_free(vx_batch_clip_files *files) {
    if (!files)
        return NULL;
    if (files->list)
        fclose(files->list);
    tdestroy(files->by_id, free);
    free(files);
    return NULL;
}

/* ---- the list ---- */

/* A later line about a clip replaces the earlier one. */
static int keep(vx_batch_clip_files *files, const known *given) {
    known **slot = tfind(given, &files->by_id, compare);
    if (slot) {
        **slot = *given;
        return 0;
    }
    known *copy = vx_new(known);
    if (!copy)
        return -ENOMEM;
    *copy = *given;
    if (tsearch(copy, &files->by_id, compare))
        return 0;
    free(copy);
    return -ENOMEM;
}

static bool copy_text(char *target, size_t size, const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text && (size_t)snprintf(target, size, "%s", text) < size;
}

/* A name from the list is one that is removed: it must lie in clips/. */
static bool is_id(const char *id) {
    return id[0] && id[0] != '.' && !strchr(id, '/');
}

/* A line that is not ours, or was cut short by a kill, is a clip that will be cut again. */
static int load_line(vx_batch_clip_files *files, const char *line) {
    json_t *json = json_loads(line, 0, NULL);
    known k = {.file = {.bytes = json_integer_value(json_object_get(json, "bytes"))}};
    vx_media_header *h = &k.file.header;
    h->width_px = (int)json_integer_value(json_object_get(json, "width"));
    h->height_px = (int)json_integer_value(json_object_get(json, "height"));
    h->fps = json_number_value(json_object_get(json, "fps"));
    h->duration_s = json_number_value(json_object_get(json, "duration_s"));
    bool whole = copy_text(k.id, sizeof k.id, json, "id") &&
                 copy_text(k.of, sizeof k.of, json, "of") &&
                 copy_text(h->codec, sizeof h->codec, json, "codec") && is_id(k.id);
    json_decref(json);
    return whole ? keep(files, &k) : 0;
}

static int write_line(FILE *file, const known *k) {
    const vx_media_header *h = &k->file.header;
    json_t *line =
        json_pack("{s:s, s:s, s:I, s:i, s:i, s:f, s:f, s:s}", "id", k->id, "of", k->of, "bytes",
                  (json_int_t)k->file.bytes, "width", h->width_px, "height", h->height_px, "fps",
                  h->fps, "duration_s", h->duration_s, "codec", h->codec);
    int rc = line ? json_dumpf(line, file, JSON_COMPACT) : -1;
    json_decref(line);
    fputc('\n', file);
    return rc || fflush(file) ? -EIO : 0;
}

static int claim(const vx_batch_clip_files *files, const char *list, vx_err *err) {
    char folder[PATH_MAX];
    int rc = vx_batch_join(folder, files->p.output, "clips", err);
    if (rc)
        return rc;
    if (access(list, F_OK) && !access(folder, F_OK))
        return VX_FAIL(err, -EEXIST, "%s was not made by vidx: choose another --output", folder);
    return vx_batch_make_folders(folder, err);
}

int vx_batch_clip_files_open(const vx_batch_clip_files_params *params,
                             vx_batch_clip_files **ret_files, vx_err *err) {
    VX_AUTO(vx_batch_clip_files) files = vx_new(vx_batch_clip_files);
    if (!files)
        return VX_FAIL(err, -ENOMEM, "no memory for the list of clips");
    files->p = *params;
    char path[PATH_MAX];
    int rc = vx_batch_join(path, params->output, LIST, err);
    if (!rc)
        rc = claim(files, path, err);
    if (rc)
        return rc;
    files->list = fopen(path, "a+e");
    if (!files->list)
        return VX_FAIL_ERRNO(err, "opening %s", path);
    VX_AUTO_FREE char *line = NULL;
    size_t size = 0;
    while (!rc && getline(&line, &size, files->list) > 0)
        rc = load_line(files, line);
    if (rc)
        return VX_FAIL(err, rc, "no memory for the list of clips");
    *ret_files = vx_take(files);
    return 0;
}

/* ---- cutting ---- */

static bool keep_going(void *ctx) {
    return !((const vx_batch_clip_files *)ctx)->p.interrupted();
}

static bool has_file(const vx_batch_clip_files *files, const char *name, int64_t bytes) {
    char path[PATH_MAX];
    struct stat info;
    return !vx_batch_join(path, files->p.output, name, NULL) && !stat(path, &info) &&
           S_ISREG(info.st_mode) && info.st_size == bytes;
}

/* What stands in the file, which is durable after this. */
static int measure(const vx_batch_clip_files *files, const char *path, vx_batch_clip_file *ret_file,
                   vx_err *err) {
    struct stat info;
    int rc = vx_media_read_header(path, files->p.limits, &ret_file->header, err);
    if (rc)
        return rc > 0 ? VX_FAIL(err, -EIO, "a clip that was just cut cannot be read") : rc;
    VX_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) || fstat(fd, &info))
        return VX_FAIL_ERRNO(err, "making %s durable", path);
    ret_file->bytes = info.st_size;
    return 0;
}

static int cut(vx_batch_clip_files *files, const vx_batch_file *file, double start_s, double end_s,
               const char *name, vx_batch_clip_file *ret_file, vx_err *err) {
    char source[PATH_MAX], staged[PATH_MAX];
    int rc = vx_batch_join(source, files->p.input, file->path, err);
    if (!rc)
        rc = vx_batch_join(staged, files->p.output, STAGED, err);
    if (rc)
        return rc;
    const vx_media_cut_params want = {.start_s = start_s,
                                      .end_s = end_s,
                                      .encoder = files->p.encoder,
                                      .keep_going = keep_going,
                                      .ctx = files};
    rc = vx_media_cut_clip(source, files->p.limits, &want, staged, NULL, err);
    if (!rc)
        rc = measure(files, staged, ret_file, err);
    return rc ? rc : vx_batch_move(files->p.output, STAGED, name, err);
}

int vx_batch_clip_files_write(vx_batch_clip_files *files, const vx_batch_file *file, const char *id,
                              const vx_video *video, double start_s, double end_s,
                              vx_batch_clip_file *ret_file, vx_err *err) {
    known k = {.used = true};
    char name[64];
    snprintf(k.id, sizeof k.id, "%s", id);
    bool plain = video->sample_aspect_ratio == 1 && !strcmp(video->hdr, "sdr");
    snprintf(k.of, sizeof k.of, "%s %.6f %.6f%s", video->id, start_s, end_s,
             plain ? "" : " converted");
    snprintf(name, sizeof name, "clips/%s.mp4", id);
    known **slot = tfind(&k, &files->by_id, compare);
    if (slot && !strcmp((*slot)->of, k.of) && has_file(files, name, (*slot)->file.bytes)) {
        (*slot)->used = true;
        *ret_file = (*slot)->file;
        return 0;
    }
    int rc = cut(files, file, start_s, end_s, name, &k.file, err);
    if (rc)
        return rc;
    *ret_file = k.file;
    if (keep(files, &k))
        return VX_FAIL(err, -ENOMEM, "no memory for the list of clips");
    if (write_line(files->list, &k))
        return VX_FAIL_ERRNO(err, "writing %s/" LIST, files->p.output);
    files->n_written++;
    files->p.on_written(files->p.ctx, files->n_written);
    return 0;
}

/* ---- the end ---- */

static void remove_unused(const void *node, VISIT visit, void *ctx) {
    vx_batch_clip_files *files = ctx;
    const known *k = *(known *const *)node;
    char name[64], path[PATH_MAX];
    if ((visit != postorder && visit != leaf) || k->used)
        return;
    snprintf(name, sizeof name, "clips/%s.mp4", k->id);
    if (!vx_batch_join(path, files->p.output, name, NULL))
        files->n_removed += !unlink(path);
}

static void save_used(const void *node, VISIT visit, void *ctx) {
    vx_batch_clip_files *files = ctx;
    const known *k = *(known *const *)node;
    if ((visit == postorder || visit == leaf) && k->used && !files->rc)
        files->rc = write_line(files->saving, k);
}

static int write_list(FILE *file, void *ctx) {
    vx_batch_clip_files *files = ctx;
    files->saving = file;
    twalk_r(files->by_id, save_used, files);
    return files->rc;
}

int vx_batch_clip_files_finish(vx_batch_clip_files *files, size_t *ret_written, size_t *ret_removed,
                               vx_err *err) {
    twalk_r(files->by_id, remove_unused, files);
    *ret_written = files->n_written;
    *ret_removed = files->n_removed;
    if (!files->n_removed && !files->n_written)
        return 0;
    int rc = vx_batch_replace(files->p.output, LIST, write_list, files, err);
    return rc ? rc : vx_batch_sync_folder(files->p.output, "clips", err);
}
