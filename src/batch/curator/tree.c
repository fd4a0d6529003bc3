/* batch_tree.c — see the header. */
#include "tree.h"

#include <errno.h>
#include <fts.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "batch/headers.h"
#include "batch/store.h"
#include "curator.h"
#include "parquet/parquet.h"

#define CHUNK_S 256       /* Curator's: 32 clips of 8 seconds */
#define MARK ".vidx/tree" /* the folders are ours */
#define JSON_LIKE_PYTHON (JSON_INDENT(4) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(17))

/* Longest name of an input file: "_9999.json" is put behind it. */
#define NAME_CHARS_MAX (NAME_MAX - 10)

typedef struct tree {
    const vx_batch_tree_params *p;
    vx_batch_tree_result *result;
    vx_batch_clips *clips;
    vx_curator_model model;
    vx_batch_headers *headers;
    size_t dim;
    float *vector;
    uint8_t *pickle;
    char folders[5][80];
    uint64_t *names; /* hashes of what belongs into the folders */
    size_t n_names, names_capacity;
} tree;

typedef struct clip {
    char uuid[VX_UUID_CHARS + 1];
    vx_curator_span span;
    int64_t row;
    bool is_cut;
} clip;

/* One file of the input. */
typedef struct source {
    const vx_batch_file *file;
    char *path; /* as the outputs name it */
    vx_video *video;
    vx_media_header header;
    clip *clips;
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

static int belongs(tree *t, const char *name, vx_err *err) {
    if (!vx_make_room(t->names, t->n_names, t->names_capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for the names of %zu files", t->n_names + 1);
    t->names[t->n_names++] = hash(name);
    return 0;
}

static int put(tree *t, const char *name, const void *bytes, size_t n, vx_err *err) {
    bool written = false;
    int rc = belongs(t, name, err);
    if (!rc)
        rc = vx_batch_put_bytes(t->p->output, name, bytes, n, &written, err);
    t->result->written += written;
    return rc;
}

/* Takes json, which may be NULL. */
static int put_json(tree *t, const char *name, json_t *json, vx_err *err) {
    VX_AUTO_FREE char *text = json ? json_dumps(json, JSON_LIKE_PYTHON) : NULL;
    json_decref(json);
    return text ? put(t, name, text, strlen(text), err)
                : VX_FAIL(err, -ENOMEM, "no memory for %s", name);
}

/* ---- a clip ---- */

static int read_vector(tree *t, const clip *c, vx_err *err) {
    int rc = vx_index_get(t->p->server->models->items[0].index, c->row, t->vector, err);
    if (rc)
        return rc > 0 ? VX_FAIL(err, -EIO, "a clip has no vector") : rc;
    for (size_t i = 0; i < t->dim && t->model.half; i++)
        t->vector[i] = vx_curator_widen(vx_curator_half(t->vector[i]));
    return 0;
}

static int skip(tree *t, const vx_batch_file *file, const char *reason, vx_err *err) {
    t->p->on_skipped(t->p->ctx, file->path, reason);
    return vx_batch_failures_add(t->p->failures, file->path, "unreadable", reason, err);
}

/* A video that was read when it was embedded and cannot be now costs its own clips. */
static int cut_clip(tree *t, const source *s, clip *c, vx_batch_cut *ret_cut, vx_err *err) {
    vx_err why;
    if (!t->p->cuts)
        return 0;
    int rc = vx_batch_cuts_make(t->p->cuts, s->file, c->uuid, s->video->id, c->span.start_s,
                                c->span.end_s, ret_cut, &why);
    c->is_cut = !rc;
    if (rc > 0 && rc != VX_MEDIA_STOPPED && rc != VX_MEDIA_NO_ENCODER)
        return skip(t, s->file, why.msg, err);
    if (rc)
        *err = why;
    return rc;
}

/* What Curator asks ffprobe about a clip that it has transcoded. */
static int add_measures(json_t *meta, const vx_batch_cut *cut) {
    const vx_media_header *h = &cut->header;
    json_t *measures =
        json_pack("{s:i, s:i, s:f, s:I, s:s, s:I}", "width", h->width_px, "height", h->height_px,
                  "framerate", h->fps, "num_frames", (json_int_t)(h->duration_s * h->fps),
                  "video_codec", h->codec, "num_bytes", (json_int_t)cut->bytes);
    int rc = measures ? json_object_update(meta, measures) : -1;
    json_decref(measures);
    return rc;
}

static int write_meta(tree *t, const source *s, const clip *c, const char *location,
                      const vx_batch_cut *cut, vx_err *err) {
    char name[160];
    snprintf(name, sizeof name, "metas/v0/%s.json", c->uuid);
    json_t *meta =
        json_pack("{s:s, s:s, s:[f,f], s:i, s:i, s:f, s:s}", "span_uuid", c->uuid, "source_video",
                  s->path, "duration_span", c->span.start_s, c->span.end_s, "width_source",
                  s->header.width_px, "height_source", s->header.height_px, "framerate_source",
                  s->header.fps, "clip_location", location);
    if (c->is_cut)
        add_measures(meta, cut);
    json_object_set_new(meta, "windows", json_array());
    json_object_set_new(meta, "valid", json_false());
    return put_json(t, name, meta, err);
}

static int write_clip(tree *t, const source *s, clip *c, vx_err *err) {
    char name[160], location[PATH_MAX];
    vx_batch_cut cut;
    if (c > s->clips && !strcmp(c[-1].uuid, c->uuid))
        return 0; /* less than a frame apart: the first stays, as there */
    snprintf(name, sizeof name, "%s_embd/%s.pickle", t->model.prefix, c->uuid);
    size_t n = vx_curator_pickle(t->vector, t->dim, t->model.half, t->pickle);
    int rc = put(t, name, t->pickle, n, err);
    snprintf(name, sizeof name, "clips/%s.mp4", c->uuid);
    if (!rc)
        rc = vx_batch_join(location, t->p->location, name, err);
    if (!rc)
        rc = cut_clip(t, s, c, &cut, err);
    return rc ? rc : write_meta(t, s, c, location, &cut, err);
}

/* ---- a chunk ---- */

typedef struct memory {
    char *bytes;
    size_t n;
    FILE *file;
} memory;

static int to_memory(void *ctx, const void *bytes, size_t n, vx_err *err) {
    memory *m = ctx;
    return fwrite(bytes, 1, n, m->file) == n ? 0 : VX_FAIL(err, -ENOMEM, "no memory for Parquet");
}

static int write_clips(tree *t, const source *s, clip *clips, size_t n, memory *m, vx_err *err) {
    static const vx_parquet_column columns[] = {{"id", VX_PARQUET_UTF8},
                                                {"embedding", VX_PARQUET_LIST_DOUBLE}};
    VX_AUTO(vx_parquet) parquet = NULL;
    int rc = vx_parquet_new(columns, VX_LEN(columns), to_memory, m, &parquet, err);
    for (size_t i = 0; i < n && !rc; i++) {
        vx_parquet_value row[] = {{.text = clips[i].uuid}, {.floats = t->vector, .n = t->dim}};
        rc = read_vector(t, &clips[i], err);
        if (!rc)
            rc = write_clip(t, s, &clips[i], err);
        if (!rc)
            rc = vx_parquet_write(parquet, row, err);
    }
    return rc ? rc : vx_parquet_finish(parquet, err);
}

static int write_parquet(tree *t, const source *s, clip *clips, size_t n, size_t index,
                         vx_err *err) {
    char uuid[VX_UUID_CHARS + 1], name[160];
    VX_AUTO_FREE char *key = NULL;
    memory m = {0};
    m.file = open_memstream(&m.bytes, &m.n);
    if (!m.file || asprintf(&key, "%s_%zu", s->path, index) < 0)
        return VX_FAIL(err, -ENOMEM, "no memory for Parquet");
    int rc = write_clips(t, s, clips, n, &m, err);
    if (fclose(m.file) && !rc)
        rc = VX_FAIL(err, -ENOMEM, "no memory for Parquet");
    vx_curator_uuid(key, uuid);
    snprintf(name, sizeof name, "%s_embd_parquet/%s.parquet", t->model.prefix, uuid);
    if (!rc)
        rc = put(t, name, m.bytes, m.n, err);
    free(m.bytes);
    return rc;
}

static json_t *chunk_json(const source *s, const clip *clips, size_t n, size_t index) {
    double total_s = 0, longest_s = 0;
    json_int_t n_cut = 0;
    json_t *ids = json_array(), *windows = json_object(), *enhanced = json_object();
    for (size_t i = 0; i < n; i++) {
        double length_s = clips[i].span.end_s - clips[i].span.start_s;
        total_s += length_s;
        longest_s = fmax(longest_s, length_s);
        n_cut += clips[i].is_cut;
        json_array_append_new(ids, json_string(clips[i].uuid));
        json_object_set_new(windows, clips[i].uuid, json_object());
        json_object_set_new(enhanced, clips[i].uuid, json_object());
    }
    return json_pack("{s:s, s:I, s:i, s:i, s:I, s:I, s:I, s:i, s:i, s:f, s:f, s:o, s:[], s:o, s:o}",
                     "video", s->path, "clip_chunk_index", (json_int_t)index,
                     "num_clips_filtered_by_motion", 0, "num_clips_filtered_by_aesthetic", 0,
                     "num_clips_passed", (json_int_t)n, "num_clips_transcoded", n_cut,
                     "num_clips_with_embeddings", (json_int_t)n, "num_clips_with_caption", 0,
                     "num_clips_with_webp", 0, "total_clip_duration", total_s, "max_clip_duration",
                     longest_s, "clips", ids, "filtered_clips", "all_windows", windows,
                     "all_windows_enhanced_caption", enhanced);
}

static int write_chunk(tree *t, const source *s, clip *clips, size_t n, size_t index, vx_err *err) {
    char name[PATH_MAX];
    int rc = write_parquet(t, s, clips, n, index, err);
    snprintf(name, sizeof name, "processed_clip_chunks/%s_%zu.json", s->file->path, index);
    return rc ? rc : put_json(t, name, chunk_json(s, clips, n, index), err);
}

/* ---- a video ---- */

static int open_source(tree *t, const vx_batch_file *file, source *s, vx_err *err) {
    const vx_server *server = t->p->server;
    s->file = file;
    int rc = vx_catalog_get_video(server->catalog, file->video->id, &s->video, err);
    if (!rc)
        rc = vx_batch_headers_get(t->headers, s->video, file, &s->header, err);
    if (rc)
        return rc;
    vx_clip_spec rule =
        vx_clip_resolve(&server->extractor.clip, s->video->duration_s, server->shots);
    s->n = s->video->n_clips;
    s->clips = vx_new_array(s->n, sizeof *s->clips);
    if (!s->clips || asprintf(&s->path, "%s/%s", t->p->source, file->path) < 0)
        return VX_FAIL(err, -ENOMEM, "no memory for the clips of %s", file->path);
    for (size_t i = 0; i < s->n; i++) {
        const vx_clip *stored = &s->video->clips[i];
        clip *c = &s->clips[i];
        VX_AUTO_FREE char *key = NULL;
        c->row = stored->row;
        c->span = vx_curator_span_of(&rule, stored->start_s, stored->end_s, s->header.duration_s,
                                     s->header.fps);
        if (asprintf(&key, "%s_%lld_%lld", s->path, (long long)c->span.first,
                     (long long)c->span.last) < 0)
            return VX_FAIL(err, -ENOMEM, "no memory for the clips of %s", file->path);
        vx_curator_uuid(key, c->uuid);
    }
    return 0;
}

/* The end of the chunk that begins with clip i. */
static size_t chunk_end(const source *s, size_t i) {
    int64_t seconds = 0;
    while (i < s->n && seconds < CHUNK_S) {
        seconds += (int64_t)(s->clips[i].span.end_s - s->clips[i].span.start_s);
        i++;
    }
    return i;
}

static int write_video(tree *t, const source *s, size_t n_chunks, vx_err *err) {
    char name[PATH_MAX];
    const vx_media_header *h = &s->header;
    snprintf(name, sizeof name, "processed_videos/%s.json", s->file->path);
    return put_json(t, name,
                    json_pack("{s:s, s:i, s:i, s:f, s:I, s:f, s:s, s:s?, s:s?, s:I, s:I}", "video",
                              s->path, "height", h->height_px, "width", h->width_px, "framerate",
                              h->fps, "num_frames", (json_int_t)(h->duration_s * h->fps),
                              "duration", h->duration_s, "video_codec", h->codec, "pixel_format",
                              h->pixel_format[0] ? h->pixel_format : NULL, "audio_format",
                              h->audio_codec[0] ? h->audio_codec : NULL, "num_total_clips",
                              (json_int_t)s->n, "num_clip_chunks", (json_int_t)n_chunks),
                    err);
}

static int list_clips(tree *t, const source *s, vx_err *err) {
    for (size_t i = 0; i < s->n; i++) {
        vx_batch_clip *listed = vx_batch_clips_add(t->clips);
        if (!listed)
            return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu clips", t->clips->n + 1);
        strcpy(listed->id, s->clips[i].uuid);
        listed->row = s->clips[i].row;
        listed->pixels = (int64_t)s->video->width_px * s->video->height_px;
    }
    return 0;
}

static int write_source(tree *t, const source *s, vx_err *err) {
    size_t n_chunks = 0;
    int rc = 0;
    for (size_t begin = 0, end; begin < s->n && !rc; begin = end) {
        end = chunk_end(s, begin);
        rc = write_chunk(t, s, &s->clips[begin], end - begin, n_chunks++, err);
    }
    if (!rc)
        rc = write_video(t, s, n_chunks, err);
    if (!rc)
        rc = list_clips(t, s, err);
    t->result->videos++;
    t->result->clips += s->n;
    return rc;
}

static int write_all(tree *t, vx_err *err) {
    VX_AUTO_FREE vx_batch_file **files = NULL;
    size_t n;
    int rc = vx_batch_library_files(t->p->library, false, &files, &n, err);
    for (size_t i = 0; i < n && !rc; i++) {
        const char *slash = strrchr(files[i]->path, '/');
        if (strlen(slash ? slash + 1 : files[i]->path) > NAME_CHARS_MAX) {
            rc = skip(t, files[i], "its name is too long for processed_clip_chunks/", err);
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

/* ---- what does not belong any more ---- */

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
            t->result->removed += !unlink(entry->fts_path);
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
    const vx_server *server = t->p->server;
    const char *prefix = t->model.prefix;
    snprintf(t->folders[0], sizeof t->folders[0], "%s_embd", prefix);
    snprintf(t->folders[1], sizeof t->folders[1], "%s_embd_parquet", prefix);
    strcpy(t->folders[2], "metas");
    strcpy(t->folders[3], "processed_videos");
    strcpy(t->folders[4], "processed_clip_chunks");
    t->dim = (size_t)vx_index_dim(server->models->items[0].index);
    t->vector = vx_new_array(t->dim, sizeof *t->vector);
    t->pickle = vx_new_array(t->dim + VX_PICKLE_OVERHEAD, sizeof(float));
    if (!t->vector || !t->pickle)
        return VX_FAIL(err, -ENOMEM, "no memory for a vector");
    int rc = vx_batch_headers_open(t->p->input, t->p->output, &t->headers, err);
    if (!rc)
        rc = vx_batch_open_staging(t->p->output, err);
    return rc ? rc : claim_folders(t, err);
}

int vx_batch_tree_write(const vx_batch_tree_params *params, vx_batch_clips *clips,
                        vx_batch_tree_result *ret_result, vx_err *err) {
    *ret_result = (vx_batch_tree_result){0};
    tree t = {.p = params,
              .result = ret_result,
              .clips = clips,
              .model = vx_curator_model_of(params->server->models->items[0].info->name)};
    int rc = prepare(&t, err);
    if (!rc)
        rc = write_all(&t, err);
    if (!rc)
        rc = prune(&t, err);
    if (!rc)
        rc = vx_batch_headers_save(t.headers, err);
    if (!rc)
        rc = vx_batch_sync(params->output, err);
    vx_batch_headers_free(t.headers);
    free(t.names);
    free(t.vector);
    free(t.pickle);
    return rc;
}
