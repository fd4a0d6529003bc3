/* batch_cuts.c — see the header. */
#include "cuts.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "store.h"

#define LIST VX_BATCH_CUTS_LIST
#define STAGED ".vidx/staging/clip.mp4"

typedef struct known {
    char id[40];
    char of[80]; /* video and span: what was cut */
    vx_batch_cut cut;
    bool used;
} known;

struct vx_batch_cuts {
    vx_batch_cuts_params p;
    void *by_id; /* tsearch tree of known, owned */
    FILE *list;  /* LIST, being appended to */
    size_t n_written, n_removed;
    FILE *saving; /* while the list is written anew */
    int rc;       /* of a walk */
};

static int compare(const void *a, const void *b) {
    return strcmp(((const known *)a)->id, ((const known *)b)->id);
}

vx_batch_cuts *vx_batch_cuts_free(vx_batch_cuts *cuts) {
    if (!cuts)
        return NULL;
    if (cuts->list)
        fclose(cuts->list);
    tdestroy(cuts->by_id, free);
    free(cuts);
    return NULL;
}

/* ---- the list ---- */

/* A later line about a clip replaces the earlier one. */
static int keep(vx_batch_cuts *cuts, const known *given) {
    known **slot = tfind(given, &cuts->by_id, compare);
    if (slot) {
        **slot = *given;
        return 0;
    }
    known *copy = vx_new(known);
    if (!copy)
        return -ENOMEM;
    *copy = *given;
    if (tsearch(copy, &cuts->by_id, compare))
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
static int load_line(vx_batch_cuts *cuts, const char *line) {
    json_t *json = json_loads(line, 0, NULL);
    known k = {.cut = {.bytes = json_integer_value(json_object_get(json, "bytes"))}};
    vx_media_header *h = &k.cut.header;
    h->width_px = (int)json_integer_value(json_object_get(json, "width"));
    h->height_px = (int)json_integer_value(json_object_get(json, "height"));
    h->fps = json_number_value(json_object_get(json, "fps"));
    h->duration_s = json_number_value(json_object_get(json, "duration_s"));
    bool whole = copy_text(k.id, sizeof k.id, json, "id") &&
                 copy_text(k.of, sizeof k.of, json, "of") &&
                 copy_text(h->codec, sizeof h->codec, json, "codec") && is_id(k.id);
    json_decref(json);
    return whole ? keep(cuts, &k) : 0;
}

static int write_line(FILE *file, const known *k) {
    const vx_media_header *h = &k->cut.header;
    json_t *line =
        json_pack("{s:s, s:s, s:I, s:i, s:i, s:f, s:f, s:s}", "id", k->id, "of", k->of, "bytes",
                  (json_int_t)k->cut.bytes, "width", h->width_px, "height", h->height_px, "fps",
                  h->fps, "duration_s", h->duration_s, "codec", h->codec);
    int rc = line ? json_dumpf(line, file, JSON_COMPACT) : -1;
    json_decref(line);
    fputc('\n', file);
    return rc || fflush(file) ? -EIO : 0;
}

static int claim(const vx_batch_cuts *cuts, const char *list, vx_err *err) {
    char folder[PATH_MAX];
    int rc = vx_batch_join(folder, cuts->p.output, "clips", err);
    if (rc)
        return rc;
    if (access(list, F_OK) && !access(folder, F_OK))
        return VX_FAIL(err, -EEXIST, "%s was not made by vidx: choose another --output", folder);
    return vx_batch_make_folders(folder, err);
}

int vx_batch_cuts_open(const vx_batch_cuts_params *params, vx_batch_cuts **ret_cuts, vx_err *err) {
    VX_AUTO(vx_batch_cuts) cuts = vx_new(vx_batch_cuts);
    if (!cuts)
        return VX_FAIL(err, -ENOMEM, "no memory for the list of clips");
    cuts->p = *params;
    char path[PATH_MAX];
    int rc = vx_batch_join(path, params->output, LIST, err);
    if (!rc)
        rc = claim(cuts, path, err);
    if (rc)
        return rc;
    cuts->list = fopen(path, "a+e");
    if (!cuts->list)
        return VX_FAIL_ERRNO(err, "opening %s", path);
    VX_AUTO_FREE char *line = NULL;
    size_t size = 0;
    while (!rc && getline(&line, &size, cuts->list) > 0)
        rc = load_line(cuts, line);
    if (rc)
        return VX_FAIL(err, rc, "no memory for the list of clips");
    *ret_cuts = vx_take(cuts);
    return 0;
}

/* ---- cutting ---- */

static bool go_on(void *ctx) {
    return !atomic_load(((const vx_batch_cuts *)ctx)->p.interrupted);
}

static bool has_file(const vx_batch_cuts *cuts, const char *name, int64_t bytes) {
    char path[PATH_MAX];
    struct stat info;
    return !vx_batch_join(path, cuts->p.output, name, NULL) && !stat(path, &info) &&
           S_ISREG(info.st_mode) && info.st_size == bytes;
}

/* What stands in the file, which is durable after this. */
static int measure(const vx_batch_cuts *cuts, const char *path, vx_batch_cut *ret_cut,
                   vx_err *err) {
    struct stat info;
    int rc = vx_media_read_header(path, cuts->p.limits, &ret_cut->header, err);
    if (rc)
        return rc > 0 ? VX_FAIL(err, -EIO, "a clip that was just cut cannot be read") : rc;
    VX_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) || fstat(fd, &info))
        return VX_FAIL_ERRNO(err, "making %s durable", path);
    ret_cut->bytes = info.st_size;
    return 0;
}

static int cut(vx_batch_cuts *cuts, const vx_batch_file *file, double start_s, double end_s,
               const char *name, vx_batch_cut *ret_cut, vx_err *err) {
    char source[PATH_MAX], staged[PATH_MAX];
    int rc = vx_batch_join(source, cuts->p.input, file->path, err);
    if (!rc)
        rc = vx_batch_join(staged, cuts->p.output, STAGED, err);
    if (rc)
        return rc;
    const vx_media_cut_params want = {.start_s = start_s,
                                      .end_s = end_s,
                                      .encoder = cuts->p.encoder,
                                      .keep_going = go_on,
                                      .ctx = cuts};
    rc = vx_media_cut_clip(source, cuts->p.limits, &want, staged, NULL, err);
    if (!rc)
        rc = measure(cuts, staged, ret_cut, err);
    return rc ? rc : vx_batch_move(cuts->p.output, STAGED, name, err);
}

int vx_batch_cuts_make(vx_batch_cuts *cuts, const vx_batch_file *file, const char *id,
                       const char *video_id, double start_s, double end_s, vx_batch_cut *ret_cut,
                       vx_err *err) {
    known k = {.used = true};
    char name[64];
    snprintf(k.id, sizeof k.id, "%s", id);
    snprintf(k.of, sizeof k.of, "%s %.6f %.6f", video_id, start_s, end_s);
    snprintf(name, sizeof name, "clips/%s.mp4", id);
    known **slot = tfind(&k, &cuts->by_id, compare);
    if (slot && !strcmp((*slot)->of, k.of) && has_file(cuts, name, (*slot)->cut.bytes)) {
        (*slot)->used = true;
        *ret_cut = (*slot)->cut;
        return 0;
    }
    int rc = cut(cuts, file, start_s, end_s, name, &k.cut, err);
    if (rc)
        return rc;
    *ret_cut = k.cut;
    if (keep(cuts, &k))
        return VX_FAIL(err, -ENOMEM, "no memory for the list of clips");
    if (write_line(cuts->list, &k))
        return VX_FAIL_ERRNO(err, "writing %s/" LIST, cuts->p.output);
    cuts->n_written++;
    cuts->p.on_cut(cuts->p.ctx, cuts->n_written);
    return 0;
}

/* ---- the end ---- */

static void remove_unused(const void *node, VISIT visit, void *ctx) {
    vx_batch_cuts *cuts = ctx;
    const known *k = *(known *const *)node;
    char name[64], path[PATH_MAX];
    if ((visit != postorder && visit != leaf) || k->used)
        return;
    snprintf(name, sizeof name, "clips/%s.mp4", k->id);
    if (!vx_batch_join(path, cuts->p.output, name, NULL))
        cuts->n_removed += !unlink(path);
}

static void save_used(const void *node, VISIT visit, void *ctx) {
    vx_batch_cuts *cuts = ctx;
    const known *k = *(known *const *)node;
    if ((visit == postorder || visit == leaf) && k->used && !cuts->rc)
        cuts->rc = write_line(cuts->saving, k);
}

static int fill(FILE *file, void *ctx) {
    vx_batch_cuts *cuts = ctx;
    cuts->saving = file;
    twalk_r(cuts->by_id, save_used, cuts);
    return cuts->rc;
}

int vx_batch_cuts_finish(vx_batch_cuts *cuts, size_t *ret_written, size_t *ret_removed,
                         vx_err *err) {
    twalk_r(cuts->by_id, remove_unused, cuts);
    *ret_written = cuts->n_written;
    *ret_removed = cuts->n_removed;
    if (!cuts->n_removed && !cuts->n_written)
        return 0;
    int rc = vx_batch_replace(cuts->p.output, LIST, fill, cuts, err);
    return rc ? rc : vx_batch_sync_folder(cuts->p.output, "clips", err);
}
