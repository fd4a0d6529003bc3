/* inventory.c — see the header. A copy in memory, by id, of what the catalog says. */
#include "inventory.h"

#include <errno.h>
#include <jansson.h>
#include <search.h>
#include <string.h>

#include "base/thread.h"

#define PAGE_VIDEOS 1000

struct vx_batch_inventory {
    const vx_batch_parts *parts;
    vx_batch_files *files;
    char settings[256]; /* what every video of this output was made with */
    void *by_id;        /* tsearch tree of vx_batch_video */
    vx_batch_video **videos;
    size_t n, capacity;
    vx_batch_file *
        *unseen; /* known files in folders that could not be read, or in other places; owned */
    size_t n_unseen;
    size_t *n_gone; /* [files->n_places] */

    vx_mutex mu; /* for what the writer's thread reports */
    vx_cond reported;
    size_t n_submitted VX_GUARDED; /* operations that have not ended */
    int rc VX_GUARDED;             /* of the first that failed */
    vx_err err VX_GUARDED;
};

static int compare_ids(const void *a, const void *b) {
    return strcmp(((const vx_batch_video *)a)->id, ((const vx_batch_video *)b)->id);
}

static void keep_node(void *node) {
    (void)node; /* the array owns the videos */
}

vx_batch_inventory *vx_batch_inventory_free(vx_batch_inventory *inventory) {
    if (!inventory)
        return NULL;
    tdestroy(inventory->by_id, keep_node);
    for (size_t i = 0; i < inventory->n; i++)
        free(inventory->videos[i]);
    free(inventory->videos);
    for (size_t i = 0; i < inventory->n_unseen; i++) {
        free(inventory->unseen[i]->path);
        free(inventory->unseen[i]);
    }
    free(inventory->unseen);
    free(inventory->n_gone);
    vx_cond_done(&inventory->reported);
    vx_mutex_done(&inventory->mu);
    free(inventory);
    return NULL;
}

static vx_batch_video *find(const vx_batch_inventory *inventory, const char *id) {
    vx_batch_video key = {.id = ""};
    snprintf(key.id, sizeof key.id, "%s", id);
    vx_batch_video **slot = tfind(&key, &inventory->by_id, compare_ids);
    return slot ? *slot : NULL;
}

static int find_or_add(vx_batch_inventory *inventory, const char *id, vx_batch_video **ret_video,
                       vx_err *err) {
    if ((*ret_video = find(inventory, id)))
        return 0;
    if (!vx_make_room(inventory->videos, inventory->n, inventory->capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu videos", inventory->n + 1);
    vx_batch_video *video = vx_new(vx_batch_video);
    if (video)
        snprintf(video->id, sizeof video->id, "%s", id);
    if (!video || !tsearch(video, &inventory->by_id, compare_ids)) {
        free(video);
        return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu videos", inventory->n + 1);
    }
    inventory->videos[inventory->n++] = *ret_video = video;
    return 0;
}

static void attach(vx_batch_video *video, vx_batch_file *file) {
    file->video = video;
    file->next = video->files;
    video->files = file;
}

/* ---- the metadata ---- */

static void describe_settings(const vx_batch_parts *parts, char ret_text[256]) {
    const vx_model_info *model = parts->collection->models->items[0].info;
    char rule[96];
    vx_clip_describe(&parts->extractor->clip, rule);
    bool by_shots = parts->extractor->shots && (parts->extractor->clip.mode == VX_CLIP_AUTO ||
                                                vx_clip_needs_shots(&parts->extractor->clip));
    /* FULL and OFF are written as before there was a third. */
    static const char *const fingerprints[] = {[VX_FINGERPRINTS_OFF] = "-",
                                               [VX_FINGERPRINTS_FRAMES] = "frames",
                                               [VX_FINGERPRINTS_FULL] = "fingerprints"};
    vx_clip_frames frames = parts->extractor->frames; /* EXACT is not written: as it always was */
    snprintf(ret_text, 256, "%s %.12s %s%s%.12s %s%s%s", model->name, model->digest, rule,
             by_shots ? "@" : "",
             by_shots ? vx_shots_get_info(parts->extractor->shots)->digest : "",
             fingerprints[parts->extractor->fingerprints], frames ? " " : "",
             frames ? vx_clip_frames_name(frames) : "");
}

static int compare_paths(const void *a, const void *b) {
    return strcmp((*(vx_batch_file *const *)a)->path, (*(vx_batch_file *const *)b)->path);
}

static char *metadata_of(const vx_batch_inventory *inventory, vx_batch_file **files, size_t n) {
    qsort(files, n, sizeof(*files), compare_paths);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "path", files[i]->path, "bytes",
                                              (json_int_t)files[i]->bytes, "mtime_ns",
                                              (json_int_t)files[i]->mtime_ns));
    json_t *object = json_pack("{s:s, s:o}", "made_with", inventory->settings, "files", list);
    bool whole = json_array_size(list) == n;
    char *text = object && whole ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return text;
}

char *vx_batch_inventory_metadata(const vx_batch_inventory *inventory, const vx_batch_file *file) {
    vx_batch_file *one = (vx_batch_file *)file;
    return metadata_of(inventory, &one, 1);
}

json_t *vx_batch_inventory_paths(const char *metadata) {
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

/* A file that the walk could not see, because its folder could not be read or is in none of the places. */
static int add_unseen_file(vx_batch_inventory *inventory, vx_batch_video *video,
                           const vx_batch_file *entry, vx_err *err) {
    size_t n = inventory->n_unseen + 1;
    void *unseen = vx_regrow(inventory->unseen, n, sizeof *inventory->unseen);
    if (unseen)
        inventory->unseen = unseen;
    vx_batch_file *file = unseen ? vx_new(vx_batch_file) : NULL;
    if (!file || !(file->path = strdup(entry->path))) {
        free(file);
        return VX_FAIL(err, -ENOMEM, "no memory for %s", entry->path);
    }
    file->bytes = entry->bytes;
    file->mtime_ns = entry->mtime_ns;
    inventory->unseen[inventory->n_unseen++] = file;
    attach(video, file);
    return 0;
}

static int load_file(vx_batch_inventory *inventory, vx_batch_video *video, json_t *json,
                     vx_err *err) {
    vx_batch_file entry = {
        .path = (char *)json_string_value(json_object_get(json, "path")),
        .bytes = json_integer_value(json_object_get(json, "bytes")),
        .mtime_ns = json_integer_value(json_object_get(json, "mtime_ns")),
    };
    vx_batch_file *file = entry.path ? vx_batch_files_find(inventory->files, entry.path) : NULL;
    if (entry.path && !file &&
        !(inventory->files->complete && vx_batch_files_cover(inventory->files, entry.path)))
        return add_unseen_file(inventory, video, &entry, err);
    for (size_t i = 0; i < inventory->files->n_places && entry.path && !file; i++)
        inventory->n_gone[i] += vx_batch_is_below(entry.path, inventory->files->places[i]);
    if (file && !file->video && file->bytes == entry.bytes && file->mtime_ns == entry.mtime_ns)
        attach(video, file);
    else
        video->changed = true; /* gone, changed, or claimed by two videos after a change */
    return 0;
}

static int load_video(vx_batch_inventory *inventory, const vx_video *stored, vx_err *err) {
    json_t *metadata = json_loads(stored->metadata, 0, NULL);
    json_t *files = json_object_get(metadata, "files");
    const char *settings = json_string_value(json_object_get(metadata, "made_with"));
    vx_batch_video *video;
    int rc = 0;
    if (!settings || strcmp(settings, inventory->settings))
        rc = VX_FAIL(err, -EEXIST,
                     "it was made with '%s' and this run is '%s': choose another --output (vidx "
                     "dedup: --state), or "
                     "remove the folder .vidx in it to start over",
                     settings ? settings : "vidx serve", inventory->settings);
    if (!rc)
        rc = find_or_add(inventory, stored->id, &video, err);
    for (size_t i = 0; i < json_array_size(files) && !rc; i++)
        rc = load_file(inventory, video, json_array_get(files, i), err);
    json_decref(metadata);
    return rc;
}

static int load(vx_batch_inventory *inventory, vx_err *err) {
    vx_video_query query = {.limit = PAGE_VIDEOS};
    for (size_t n = PAGE_VIDEOS; n == PAGE_VIDEOS;) {
        vx_video **page = NULL;
        int rc =
            vx_catalog_list_videos(inventory->parts->collection->catalog, &query, &page, &n, err);
        if (rc)
            return rc;
        for (size_t i = 0; i < n; i++) {
            query.before_row = page[i]->row;
            rc = rc ? rc : load_video(inventory, page[i], err);
            vx_video_free(page[i]);
        }
        free(page);
        if (rc)
            return rc;
    }
    return 0;
}

int vx_batch_inventory_open(const vx_batch_parts *parts, vx_batch_files *files,
                            vx_batch_inventory **ret_inventory, vx_err *err) {
    VX_AUTO(vx_batch_inventory) inventory = vx_new(vx_batch_inventory);
    if (!inventory)
        return VX_FAIL(err, -ENOMEM, "no memory for the list of videos");
    vx_mutex_init(&inventory->mu);
    vx_cond_init(&inventory->reported);
    inventory->parts = parts;
    inventory->files = files;
    inventory->n_gone = vx_new_array(files->n_places + 1, sizeof *inventory->n_gone);
    if (!inventory->n_gone)
        return VX_FAIL(err, -ENOMEM, "no memory for the list of videos");
    describe_settings(parts, inventory->settings);
    int rc = load(inventory, err);
    if (rc)
        return rc;
    *ret_inventory = vx_take(inventory);
    return 0;
}

/* ---- during and after the run ---- */

int vx_batch_inventory_add_file(vx_batch_inventory *inventory, const char *video_id,
                                vx_batch_file *file, bool in_catalog, vx_err *err) {
    vx_batch_video *video;
    int rc = find_or_add(inventory, video_id, &video, err);
    if (rc)
        return rc;
    attach(video, file);
    video->changed |= !in_catalog;
    return 0;
}

bool vx_batch_inventory_has_file(const vx_batch_inventory *inventory, const char *video_id) {
    const vx_batch_video *video = find(inventory, video_id);
    return video && video->files;
}

size_t vx_batch_inventory_count(const vx_batch_inventory *inventory) {
    return inventory->n;
}

size_t vx_batch_inventory_count_gone(const vx_batch_inventory *inventory, const char *place) {
    size_t i = 0;
    while (i < inventory->files->n_places && strcmp(inventory->files->places[i], place))
        i++;
    return i < inventory->files->n_places ? inventory->n_gone[i] : 0;
}

int vx_batch_inventory_files(const vx_batch_inventory *inventory, bool first_only,
                             vx_batch_file ***ret_files, size_t *ret_n, vx_err *err) {
    size_t n = 0;
    for (size_t i = 0; i < inventory->n; i++)
        for (const vx_batch_file *f = inventory->videos[i]->files; f; f = f->next)
            n++;
    vx_batch_file **files = vx_new_array(n + 1, sizeof(*files));
    if (!files)
        return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu files", n);
    n = 0;
    for (size_t i = 0; i < inventory->n; i++) {
        size_t first = n;
        for (vx_batch_file *f = inventory->videos[i]->files; f; f = f->next)
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

static void on_written(void *ctx, int rc, const vx_err *err) {
    vx_batch_inventory *inventory = ctx;
    vx_mutex_lock(&inventory->mu);
    if (rc && rc != VX_CATALOG_NOT_FOUND && !inventory->rc) {
        inventory->rc = rc;
        inventory->err = *err;
    }
    inventory->n_submitted--;
    vx_cond_signal(&inventory->reported);
    vx_mutex_unlock(&inventory->mu);
}

static void note_submitted(vx_batch_inventory *inventory) {
    vx_mutex_lock(&inventory->mu);
    inventory->n_submitted++;
    vx_mutex_unlock(&inventory->mu);
}

static void report_refused(vx_batch_inventory *inventory) {
    vx_err err;
    on_written(inventory, VX_FAIL(&err, -ESHUTDOWN, "the writer has stopped"), &err);
}

static int wait_for_all(vx_batch_inventory *inventory, vx_err *err) {
    vx_mutex_lock(&inventory->mu);
    while (inventory->n_submitted)
        vx_cond_wait(&inventory->reported, &inventory->mu);
    int rc = inventory->rc;
    *err = inventory->err;
    vx_mutex_unlock(&inventory->mu);
    return rc;
}

static int submit_metadata(vx_batch_inventory *inventory, const vx_batch_video *video,
                           vx_err *err) {
    size_t n = 0;
    for (const vx_batch_file *f = video->files; f; f = f->next)
        n++;
    VX_AUTO_FREE vx_batch_file **files = vx_new_array(n, sizeof(*files));
    if (!files)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu paths", n);
    n = 0;
    for (vx_batch_file *f = video->files; f; f = f->next)
        files[n++] = f;
    VX_AUTO_FREE char *metadata = metadata_of(inventory, files, n);
    if (!metadata)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu paths", n);
    note_submitted(inventory);
    if (vx_library_set_metadata(inventory->parts->library, video->id, metadata, on_written,
                                inventory))
        report_refused(inventory);
    return 0;
}

int vx_batch_inventory_save(vx_batch_inventory *inventory, vx_err *err) {
    int rc = 0;
    for (size_t i = 0; i < inventory->n && !rc; i++) {
        vx_batch_video *video = inventory->videos[i];
        if (!video->changed || !video->files)
            continue;
        rc = submit_metadata(inventory, video, err);
        video->changed = false;
    }
    vx_err commit_err;
    int commit_rc = wait_for_all(inventory, &commit_err);
    if (!rc && commit_rc)
        *err = commit_err;
    return rc ? rc : commit_rc;
}

int vx_batch_inventory_prune(vx_batch_inventory *inventory, size_t *ret_removed, vx_err *err) {
    size_t removed = 0;
    for (size_t i = 0; i < inventory->n; i++) {
        const vx_batch_video *video = inventory->videos[i];
        if (video->files)
            continue;
        removed++;
        note_submitted(inventory);
        if (vx_library_delete_video(inventory->parts->library, video->id, VX_WRITER_WAIT,
                                    on_written, inventory))
            report_refused(inventory);
    }
    int rc = wait_for_all(inventory, err);
    vx_library_wait_rejudged(inventory->parts->library); /* verdicts are written next */
    if (!rc)
        *ret_removed = removed;
    return rc;
}
