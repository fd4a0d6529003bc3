/* batch_library.c — see the header. The table of videos is in memory, by id; the truth is SQLite.
 */
#include "library.h"

#include <errno.h>
#include <jansson.h>
#include <search.h>
#include <string.h>

#include "base/thread.h"

#define PAGE_VIDEOS 1000

struct vx_batch_library {
    vx_server *server;
    vx_batch_files *files;
    char made_with[256];
    void *by_id; /* tsearch tree of vx_batch_video */
    vx_batch_video **videos;
    size_t n, capacity;
    vx_batch_file **absent; /* known files under folders that could not be read; owned */
    size_t n_absent;

    vx_mutex mu; /* for what the committer's thread reports */
    vx_cond changed;
    size_t waiting VX_GUARDED; /* operations on their way */
    int rc VX_GUARDED;         /* of the first that failed */
    vx_err err VX_GUARDED;
};

static int compare_ids(const void *a, const void *b) {
    return strcmp(((const vx_batch_video *)a)->id, ((const vx_batch_video *)b)->id);
}

static void keep_node(void *node) {
    (void)node; /* the array owns the videos */
}

vx_batch_library *vx_batch_library_free(vx_batch_library *library) {
    if (!library)
        return NULL;
    tdestroy(library->by_id, keep_node);
    for (size_t i = 0; i < library->n; i++)
        free(library->videos[i]);
    free(library->videos);
    for (size_t i = 0; i < library->n_absent; i++) {
        free(library->absent[i]->path);
        free(library->absent[i]);
    }
    free(library->absent);
    vx_cond_done(&library->changed);
    vx_mutex_done(&library->mu);
    free(library);
    return NULL;
}

static vx_batch_video *find(const vx_batch_library *library, const char *id) {
    vx_batch_video key = {.id = ""};
    snprintf(key.id, sizeof key.id, "%s", id);
    vx_batch_video **slot = tfind(&key, &library->by_id, compare_ids);
    return slot ? *slot : NULL;
}

static int find_or_add(vx_batch_library *library, const char *id, vx_batch_video **ret_video,
                       vx_err *err) {
    if ((*ret_video = find(library, id)))
        return 0;
    if (!vx_make_room(library->videos, library->n, library->capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu videos", library->n + 1);
    vx_batch_video *video = vx_new(vx_batch_video);
    if (video)
        snprintf(video->id, sizeof video->id, "%s", id);
    if (!video || !tsearch(video, &library->by_id, compare_ids)) {
        free(video);
        return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu videos", library->n + 1);
    }
    library->videos[library->n++] = *ret_video = video;
    return 0;
}

static void link_file(vx_batch_video *video, vx_batch_file *file) {
    file->video = video;
    file->next = video->files;
    video->files = file;
}

/* ---- the metadata ---- */

static void describe_settings(vx_batch_library *library) {
    const vx_model_info *model = library->server->models->items[0].info;
    const vx_server *server = library->server;
    char rule[96];
    vx_clip_describe(&server->extractor.clip, rule);
    bool by_shots = server->shots && (server->extractor.clip.mode == VX_CLIP_AUTO ||
                                      vx_clip_needs_shots(&server->extractor.clip));
    snprintf(library->made_with, sizeof library->made_with, "%s %.12s %s%s%.12s %s", model->name,
             model->digest, rule, by_shots ? "@" : "",
             by_shots ? vx_shots_get_info(server->shots)->digest : "",
             server->params.fingerprints ? "fingerprints" : "-");
}

static int compare_paths(const void *a, const void *b) {
    return strcmp((*(vx_batch_file *const *)a)->path, (*(vx_batch_file *const *)b)->path);
}

static char *metadata_of(const vx_batch_library *library, vx_batch_file **files, size_t n) {
    qsort(files, n, sizeof(*files), compare_paths);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "path", files[i]->path, "bytes",
                                              (json_int_t)files[i]->bytes, "mtime_ns",
                                              (json_int_t)files[i]->mtime_ns));
    json_t *object = json_pack("{s:s, s:o}", "made_with", library->made_with, "files", list);
    bool whole = json_array_size(list) == n;
    char *text = object && whole ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return text;
}

char *vx_batch_library_metadata(const vx_batch_library *library, const vx_batch_file *file) {
    vx_batch_file *one = (vx_batch_file *)file;
    return metadata_of(library, &one, 1);
}

json_t *vx_batch_library_paths(const char *metadata) {
    json_t *object = json_loads(metadata, 0, NULL);
    json_t *paths = json_array(), *entry;
    size_t i;
    json_array_foreach(json_object_get(object, "files"), i, entry)
        json_array_append(paths, json_object_get(entry, "path"));
    if (json_array_size(paths) != json_array_size(json_object_get(object, "files")))
        json_decref(vx_take(paths));
    json_decref(object);
    return paths;
}

/* ---- what is stored already ---- */

/* A file that could not be seen because its folder could not be read. */
static int link_absent(vx_batch_library *library, vx_batch_video *video, const vx_batch_file *entry,
                       vx_err *err) {
    size_t n = library->n_absent + 1;
    void *absent = vx_regrow(library->absent, n, sizeof *library->absent);
    if (absent)
        library->absent = absent;
    vx_batch_file *file = absent ? vx_new(vx_batch_file) : NULL;
    if (!file || !(file->path = strdup(entry->path))) {
        free(file);
        return VX_FAIL(err, -ENOMEM, "no memory for %s", entry->path);
    }
    file->bytes = entry->bytes;
    file->mtime_ns = entry->mtime_ns;
    library->absent[library->n_absent++] = file;
    link_file(video, file);
    return 0;
}

static int load_entry(vx_batch_library *library, vx_batch_video *video, json_t *json, vx_err *err) {
    vx_batch_file entry = {
        .path = (char *)json_string_value(json_object_get(json, "path")),
        .bytes = json_integer_value(json_object_get(json, "bytes")),
        .mtime_ns = json_integer_value(json_object_get(json, "mtime_ns")),
    };
    vx_batch_file *file = entry.path ? vx_batch_files_find(library->files, entry.path) : NULL;
    if (entry.path && !file && !library->files->complete)
        return link_absent(library, video, &entry, err);
    if (file && !file->video && file->bytes == entry.bytes && file->mtime_ns == entry.mtime_ns)
        link_file(video, file);
    else
        video->dirty = true; /* gone, changed, or claimed by two videos after a change */
    return 0;
}

static int load_video(vx_batch_library *library, const vx_video *stored, vx_err *err) {
    json_t *metadata = json_loads(stored->metadata, 0, NULL);
    const char *made_with = json_string_value(json_object_get(metadata, "made_with"));
    vx_batch_video *video;
    json_t *entry;
    size_t i;
    int rc = 0;
    if (!made_with || strcmp(made_with, library->made_with))
        rc = VX_FAIL(err, -EEXIST,
                     "it was made with '%s' and this run is '%s': choose another "
                     "--output, or remove its folder .vidx to begin anew",
                     made_with ? made_with : "vidx serve", library->made_with);
    if (!rc)
        rc = find_or_add(library, stored->id, &video, err);
    if (!rc)
        json_array_foreach(json_object_get(metadata, "files"), i, entry) if (!rc) rc =
            load_entry(library, video, entry, err);
    json_decref(metadata);
    return rc;
}

static int load(vx_batch_library *library, vx_err *err) {
    vx_video_query query = {.limit = PAGE_VIDEOS, .verdict = -1};
    for (size_t n = PAGE_VIDEOS; n == PAGE_VIDEOS;) {
        vx_video **page = NULL;
        int rc = vx_catalog_list_videos(library->server->catalog, &query, &page, &n, err);
        if (rc)
            return rc;
        for (size_t i = 0; i < n; i++) {
            query.before_row = page[i]->row;
            rc = rc ? rc : load_video(library, page[i], err);
            vx_video_free(page[i]);
        }
        free(page);
        if (rc)
            return rc;
    }
    return 0;
}

int vx_batch_library_open(vx_server *server, vx_batch_files *files, vx_batch_library **ret_library,
                          vx_err *err) {
    VX_AUTO(vx_batch_library) library = vx_new(vx_batch_library);
    if (!library)
        return VX_FAIL(err, -ENOMEM, "no memory for the list of videos");
    vx_mutex_init(&library->mu);
    vx_cond_init(&library->changed);
    library->server = server;
    library->files = files;
    describe_settings(library);
    int rc = load(library, err);
    if (rc)
        return rc;
    *ret_library = vx_take(library);
    return 0;
}

/* ---- during and after the run ---- */

int vx_batch_library_link(vx_batch_library *library, const char *video_id, vx_batch_file *file,
                          bool written, vx_err *err) {
    vx_batch_video *video;
    int rc = find_or_add(library, video_id, &video, err);
    if (rc)
        return rc;
    link_file(video, file);
    video->dirty |= !written;
    return 0;
}

bool vx_batch_library_has(const vx_batch_library *library, const char *video_id) {
    const vx_batch_video *video = find(library, video_id);
    return video && video->files;
}

size_t vx_batch_library_count(const vx_batch_library *library) {
    return library->n;
}

int vx_batch_library_files(const vx_batch_library *library, bool first_only,
                           vx_batch_file ***ret_files, size_t *ret_n, vx_err *err) {
    size_t n = 0;
    for (size_t i = 0; i < library->n; i++)
        for (const vx_batch_file *f = library->videos[i]->files; f; f = f->next)
            n++;
    vx_batch_file **files = vx_new_array(n + 1, sizeof(*files));
    if (!files)
        return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu files", n);
    n = 0;
    for (size_t i = 0; i < library->n; i++) {
        size_t first = n;
        for (vx_batch_file *f = library->videos[i]->files; f; f = f->next)
            files[n++] = f;
        if (n > first)
            qsort(files + first, n - first, sizeof(*files), compare_paths);
        if (first_only && n > first)
            n = first + 1;
    }
    if (n)
        qsort(files, n, sizeof(*files), compare_paths);
    *ret_files = files;
    *ret_n = n;
    return 0;
}

static void on_committed(void *ctx, int rc, const vx_err *err) {
    vx_batch_library *library = ctx;
    vx_mutex_lock(&library->mu);
    if (rc && rc != VX_CATALOG_NOT_FOUND && !library->rc) {
        library->rc = rc;
        library->err = *err;
    }
    library->waiting--;
    vx_cond_signal(&library->changed);
    vx_mutex_unlock(&library->mu);
}

static void expect_one(vx_batch_library *library) {
    vx_mutex_lock(&library->mu);
    library->waiting++;
    vx_mutex_unlock(&library->mu);
}

static void report_refused(vx_batch_library *library) {
    vx_err err;
    on_committed(library, VX_FAIL(&err, -ESHUTDOWN, "the committer has stopped"), &err);
}

static int wait_for_all(vx_batch_library *library, vx_err *err) {
    vx_mutex_lock(&library->mu);
    while (library->waiting)
        vx_cond_wait(&library->changed, &library->mu);
    int rc = library->rc;
    *err = library->err;
    vx_mutex_unlock(&library->mu);
    return rc;
}

static int submit_metadata(vx_batch_library *library, const vx_batch_video *video, vx_err *err) {
    size_t n = 0;
    for (const vx_batch_file *f = video->files; f; f = f->next)
        n++;
    VX_AUTO_FREE vx_batch_file **files = vx_new_array(n, sizeof(*files));
    if (!files)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu paths", n);
    n = 0;
    for (vx_batch_file *f = video->files; f; f = f->next)
        files[n++] = f;
    VX_AUTO_FREE char *metadata = metadata_of(library, files, n);
    if (!metadata)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu paths", n);
    expect_one(library);
    if (vx_library_set_metadata(library->server->library, video->id, metadata, on_committed,
                                library))
        report_refused(library);
    return 0;
}

int vx_batch_library_flush(vx_batch_library *library, vx_err *err) {
    int rc = 0;
    for (size_t i = 0; i < library->n && !rc; i++) {
        vx_batch_video *video = library->videos[i];
        if (!video->dirty || !video->files)
            continue;
        rc = submit_metadata(library, video, err);
        video->dirty = false;
    }
    vx_err commit_err;
    int commit_rc = wait_for_all(library, &commit_err);
    if (!rc && commit_rc)
        *err = commit_err;
    return rc ? rc : commit_rc;
}

int vx_batch_library_prune(vx_batch_library *library, size_t *ret_removed, vx_err *err) {
    size_t removed = 0;
    for (size_t i = 0; i < library->n; i++) {
        const vx_batch_video *video = library->videos[i];
        if (video->files)
            continue;
        removed++;
        expect_one(library);
        if (vx_library_delete_video(library->server->library, video->id, VX_WRITER_WAIT,
                                    on_committed, library))
            report_refused(library);
    }
    int rc = wait_for_all(library, err);
    if (!rc)
        *ret_removed = removed;
    return rc;
}
