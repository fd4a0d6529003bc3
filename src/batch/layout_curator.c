/* layout_curator.c — see the header. */
#include "layout_curator.h"

#include <errno.h>
#include <fts.h>
#include <string.h>
#include <sys/stat.h>

#include "container_headers.h"
#include "curator/curator.h"
#include "output.h"

#define MARK ".vidx/tree" /* the folders are ours */

/* Longest name of an input file: "_9999.json" is put behind it. */
#define NAME_CHARS_MAX (NAME_MAX - 10)

typedef struct tree {
    const vx_batch_curator_params *p;
    vx_batch_curator_result *result;
    vx_batch_clip_list *clips;
    vx_curator_model model;
    vx_batch_container_headers *headers;
    size_t dim;
    float *vector;
    uint8_t *pickle;
    char folders[5][80];
    uint64_t *names; /* hashes of the files that belong in the folders */
    size_t n_names, names_capacity;
} tree;

/* One file of the input. */
typedef struct source {
    const vx_batch_file *file;
    char *path; /* as the documents name it */
    vx_video *video;
    vx_media_header header;
    vx_curator_source names;
    vx_curator_clip *clips; /* [n], as video->clips */
    size_t n;
} source;

static void source_done(source *s) {
    free(s->path);
    vx_video_free(s->video);
    free(s->clips);
}

/* ---- files of the tree ---- */

static uint64_t hash(const char *name) {
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
    return h;
}

static int put(tree *t, const char *name, const void *bytes, size_t n, vx_err *err) {
    bool written = false;
    if (!vx_make_room(t->names, t->n_names, t->names_capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for the names of %zu files", t->n_names + 1);
    t->names[t->n_names++] = hash(name);
    int rc = vx_batch_put_bytes(t->p->output, name, bytes, n, &written, err);
    t->result->n_written += written;
    return rc;
}

/* Takes text, which may be NULL. */
static int put_text(tree *t, const char *name, char *text, vx_err *err) {
    int rc = text ? put(t, name, text, strlen(text), err)
                  : VX_FAIL(err, -ENOMEM, "no memory for %s", name);
    free(text);
    return rc;
}

/* ---- a clip ---- */

static int read_vector(tree *t, int64_t row, vx_err *err) {
    int rc = vx_index_get(t->p->parts->collection->models->items[0].index, row, t->vector, err);
    if (rc)
        return rc > 0 ? VX_FAIL(err, -EIO, "a clip has no vector") : rc;
    for (size_t i = 0; i < t->dim && t->model.half; i++)
        t->vector[i] = vx_curator_from_half(vx_curator_to_half(t->vector[i]));
    return 0;
}

/* A video that could be read when it was embedded and now cannot loses only its own clip files. */
static int write_clip_file(tree *t, const source *s, vx_curator_clip *c, vx_err *err) {
    vx_batch_clip_file file;
    vx_err why;
    if (!t->p->clip_files)
        return 0;
    int rc = vx_batch_clip_files_write(t->p->clip_files, s->file, c->uuid, s->video,
                                       c->span.start_s, c->span.end_s, &file, &why);
    if (rc > 0 && rc != VX_MEDIA_STOPPED && rc != VX_MEDIA_NO_ENCODER)
        return vx_batch_failures_skip(t->p->failures, s->file->path, why.msg, err);
    if (rc) {
        *err = why;
        return rc;
    }
    c->has_file = true;
    c->file_header = file.header;
    c->file_bytes = file.bytes;
    return 0;
}

/* t->vector is the clip's. */
static int write_clip(tree *t, const source *s, vx_curator_clip *c, vx_err *err) {
    char name[160], location[PATH_MAX];
    if (c > s->clips && !strcmp(c[-1].uuid, c->uuid))
        return 0; /* less than a frame apart: the first stays, as in Curator */
    snprintf(name, sizeof name, "%s_embd/%s.pickle", t->model.prefix, c->uuid);
    size_t n = vx_curator_pickle(t->vector, t->dim, t->model.half, t->pickle);
    int rc = put(t, name, t->pickle, n, err);
    snprintf(name, sizeof name, "clips/%s.mp4", c->uuid);
    if (!rc)
        rc = vx_batch_join(location, t->p->location, name, err);
    if (!rc)
        rc = write_clip_file(t, s, c, err);
    snprintf(name, sizeof name, "metas/v0/%s.json", c->uuid);
    return rc ? rc : put_text(t, name, vx_curator_meta_json(&s->names, c, location), err);
}

/* ---- a chunk ---- */

/* Clips [begin, end) of the source. */
static int write_chunk(tree *t, const source *s, size_t begin, size_t end, size_t index,
                       vx_err *err) {
    VX_AUTO(vx_curator_parquet) parquet = NULL;
    char uuid[VX_UUID_CHARS + 1], name[PATH_MAX];
    const void *bytes;
    size_t n;
    int rc = vx_curator_parquet_new(&parquet, err);
    for (size_t i = begin; i < end && !rc; i++) {
        rc = read_vector(t, s->video->clips[i].row, err);
        if (!rc)
            rc = write_clip(t, s, &s->clips[i], err);
        if (!rc)
            rc = vx_curator_parquet_add(parquet, s->clips[i].uuid, t->vector, t->dim, err);
    }
    if (!rc)
        rc = vx_curator_parquet_finish(parquet, &bytes, &n, err);
    if (!rc && vx_curator_name_chunk(&s->names, index, uuid))
        rc = VX_FAIL(err, -ENOMEM, "no memory for the name of a chunk");
    if (rc)
        return rc;
    snprintf(name, sizeof name, "%s_embd_parquet/%s.parquet", t->model.prefix, uuid);
    rc = put(t, name, bytes, n, err);
    snprintf(name, sizeof name, "processed_clip_chunks/%s_%zu.json", s->file->path, index);
    return rc ? rc
              : put_text(t, name,
                         vx_curator_chunk_json(&s->names, s->clips + begin, end - begin, index),
                         err);
}

/* ---- a video ---- */

static int open_source(tree *t, const vx_batch_file *file, source *s, vx_err *err) {
    const vx_batch_parts *parts = t->p->parts;
    s->file = file;
    int rc = vx_catalog_get_video(parts->collection->catalog, file->video->id, &s->video, err);
    if (!rc)
        rc = vx_batch_container_headers_get(t->headers, s->video, file, &s->header, err);
    if (rc)
        return rc;
    vx_clip_spec rule =
        vx_clip_resolve(&parts->extractor->clip, s->video->duration_s, parts->extractor->shots);
    s->n = s->video->n_clips;
    s->clips = vx_new_array(s->n, sizeof *s->clips);
    if (!s->clips || asprintf(&s->path, "%s/%s", t->p->source, file->path) < 0)
        return VX_FAIL(err, -ENOMEM, "no memory for the clips of %s", file->path);
    s->names = (vx_curator_source){s->path, &s->header};
    for (size_t i = 0; i < s->n && !rc; i++) {
        const vx_clip *stored = &s->video->clips[i];
        s->clips[i].span = vx_curator_span_of(&rule, stored->start_s, stored->end_s,
                                              s->header.duration_s, s->header.fps);
        if (vx_curator_name_clip(&s->names, &s->clips[i]))
            rc = VX_FAIL(err, -ENOMEM, "no memory for the clips of %s", file->path);
    }
    return rc;
}

static int list_clips(tree *t, const source *s, vx_err *err) {
    for (size_t i = 0; i < s->n; i++) {
        vx_batch_clip *listed = vx_batch_clip_list_add(t->clips);
        if (!listed)
            return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu clips", t->clips->n + 1);
        strcpy(listed->id, s->clips[i].uuid);
        listed->row = s->video->clips[i].row;
        listed->pixels = (int64_t)s->video->width_px * s->video->height_px;
        listed->set_aside = vx_batch_file_is_set_aside(s->file);
    }
    return 0;
}

static int write_source(tree *t, const source *s, vx_err *err) {
    size_t n_chunks = 0;
    int rc = 0;
    for (size_t begin = 0, end; begin < s->n && !rc; begin = end) {
        end = vx_curator_chunk_end(s->clips, s->n, begin);
        rc = write_chunk(t, s, begin, end, n_chunks++, err);
    }
    char name[PATH_MAX];
    snprintf(name, sizeof name, "processed_videos/%s.json", s->file->path);
    if (!rc)
        rc = put_text(t, name, vx_curator_video_json(&s->names, s->n, n_chunks), err);
    if (!rc)
        rc = list_clips(t, s, err);
    t->result->n_videos++;
    t->result->n_clips += s->n;
    return rc;
}

static int write_all(tree *t, vx_err *err) {
    VX_AUTO_FREE vx_batch_file **files = NULL;
    size_t n;
    int rc = vx_batch_inventory_files(t->p->inventory, false, &files, &n, err);
    for (size_t i = 0; i < n && !rc; i++) {
        const char *slash = strrchr(files[i]->path, '/');
        if (strlen(slash ? slash + 1 : files[i]->path) > NAME_CHARS_MAX) {
            rc = vx_batch_failures_skip(t->p->failures, files[i]->path,
                                        "its name is too long for processed_clip_chunks/", err);
            continue;
        }
        source s = {0};
        rc = open_source(t, files[i], &s, err);
        if (!rc)
            rc = write_source(t, &s, err);
        source_done(&s);
    }
    return rc;
}

/* ---- files that no longer belong ---- */

static int compare_hashes(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int prune_folder(tree *t, const char *folder, vx_err *err) {
    char path[PATH_MAX];
    int rc = vx_batch_join(path, t->p->output, folder, err);
    if (rc || access(path, F_OK))
        return rc;
    FTS *walk = fts_open((char *[]){path, NULL}, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!walk)
        return VX_FAIL_ERRNO(err, "reading %s", path);
    size_t root_chars = strlen(t->p->output) + 1;
    for (FTSENT *entry; (entry = fts_read(walk));) {
        uint64_t key = hash(entry->fts_path + root_chars);
        if (entry->fts_info == FTS_DP)
            rmdir(entry->fts_path); /* only when it is empty */
        else if (entry->fts_info == FTS_F &&
                 !bsearch(&key, t->names, t->n_names, sizeof key, compare_hashes))
            t->result->n_removed += !unlink(entry->fts_path);
    }
    fts_close(walk);
    return 0;
}

static int prune(tree *t, vx_err *err) {
    int rc = 0;
    if (t->n_names)
        qsort(t->names, t->n_names, sizeof *t->names, compare_hashes);
    for (size_t i = 0; i < VX_LEN(t->folders) && !rc; i++)
        rc = prune_folder(t, t->folders[i], err);
    return rc;
}

/* ---- all together ---- */

static int claim_folders(tree *t, vx_err *err) {
    char path[PATH_MAX];
    bool written;
    int rc = vx_batch_join(path, t->p->output, MARK, err);
    if (rc || !access(path, F_OK))
        return rc;
    for (size_t i = 0; i < VX_LEN(t->folders) && !rc; i++) {
        rc = vx_batch_join(path, t->p->output, t->folders[i], err);
        if (!rc && !access(path, F_OK))
            rc = VX_FAIL(err, -EEXIST, "%s was not made by vidx: choose another --output", path);
    }
    return rc ? rc : vx_batch_put_bytes(t->p->output, MARK, "", 0, &written, err);
}

static int prepare(tree *t, vx_err *err) {
    const char *prefix = t->model.prefix;
    snprintf(t->folders[0], sizeof t->folders[0], "%s_embd", prefix);
    snprintf(t->folders[1], sizeof t->folders[1], "%s_embd_parquet", prefix);
    strcpy(t->folders[2], "metas");
    strcpy(t->folders[3], "processed_videos");
    strcpy(t->folders[4], "processed_clip_chunks");
    t->dim = (size_t)vx_index_dim(t->p->parts->collection->models->items[0].index);
    t->vector = vx_new_array(t->dim, sizeof *t->vector);
    t->pickle = vx_new_array(t->dim + VX_PICKLE_OVERHEAD, sizeof(float));
    if (!t->vector || !t->pickle)
        return VX_FAIL(err, -ENOMEM, "no memory for a vector");
    int rc = vx_batch_container_headers_open(t->p->input, t->p->output, &t->headers, err);
    if (!rc)
        rc = vx_batch_open_staging(t->p->output, err);
    return rc ? rc : claim_folders(t, err);
}

int vx_batch_write_curator_tree(const vx_batch_curator_params *params, vx_batch_clip_list *clips,
                                vx_batch_curator_result *ret_result, vx_err *err) {
    *ret_result = (vx_batch_curator_result){0};
    tree t = {.p = params,
              .result = ret_result,
              .clips = clips,
              .model = vx_curator_model_of(params->parts->collection->models->items[0].info->name)};
    int rc = prepare(&t, err);
    if (!rc)
        rc = write_all(&t, err);
    if (!rc)
        rc = prune(&t, err);
    if (!rc)
        rc = vx_batch_container_headers_save(t.headers, err);
    if (!rc)
        rc = vx_batch_sync(params->output, err);
    vx_batch_container_headers_free(t.headers);
    free(t.names);
    free(t.vector);
    free(t.pickle);
    return rc;
}
