/* snapshot.c — see the header. */
#include "snapshot.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#include "base/path.h"
#include "base/utf8.h"

void vx_group_video_clear(vx_group_video *video) {
    for (size_t i = 0; i < video->n_same; i++)
        free(video->same[i].path);
    free(video->same);
    free(video->filename);
    *video = (vx_group_video){0};
}

vx_scan_snapshot *vx_scan_snapshot_ref(vx_scan_snapshot *s) {
    atomic_fetch_add(&s->references, 1);
    return s;
}

vx_scan_snapshot *vx_scan_snapshot_free(vx_scan_snapshot *s) {
    if (!s || atomic_fetch_sub(&s->references, 1) > 1)
        return NULL;
    for (size_t i = 0; i < s->n_videos; i++)
        vx_group_video_clear(&s->videos[i]);
    free(s->videos);
    free(s->pairs);
    free(s->settled);
    vx_unrelated_done(&s->unrelated);
    free(s);
    return NULL;
}

void vx_pair_turn(vx_duplicate_pair *pair) {
    float share = pair->share_of_a;
    int64_t row = pair->a;
    pair->share_of_a = pair->share_of_b;
    pair->share_of_b = share;
    pair->a = pair->b;
    pair->b = row;
    pair->offset_s = 0.0f - pair->offset_s;
    if (pair->kind == VX_VERDICT_PART_OF)
        pair->kind = VX_VERDICT_CONTAINS;
    else if (pair->kind == VX_VERDICT_CONTAINS)
        pair->kind = VX_VERDICT_PART_OF;
}

typedef struct loading {
    vx_scan_snapshot *snapshot;
    const vx_duplicates_params *params;
    vx_catalog *catalog;
    size_t pairs_capacity, settled_capacity;
    int64_t *rows; /* [n_rows] of the videos of pairs, with repeats */
    size_t n_rows, rows_capacity;
} loading;

static int note_row(loading *l, int64_t row, vx_err *err) {
    if (!vx_make_room(l->rows, l->n_rows, l->rows_capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for the videos of groups");
    l->rows[l->n_rows++] = row;
    return 0;
}

static int note_pair(void *ctx, const vx_duplicate_pair *pair, vx_err *err) {
    loading *l = ctx;
    vx_scan_snapshot *s = l->snapshot;
    if (vx_unrelated_has(&s->unrelated, pair->a, pair->b))
        return 0;
    int rc = note_row(l, pair->a, err);
    if (!rc)
        rc = note_row(l, pair->b, err);
    if (rc)
        return rc;
    if (!vx_make_room(s->pairs, s->n_pairs, l->pairs_capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for %zu pairs", s->n_pairs);
    s->pairs[s->n_pairs++] = (vx_scan_snapshot_pair){.pair = *pair};
    return 0;
}

static int by_row(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* ---- listed files ----
 *
 * Of vidx embed and vidx dedup the files are in the metadata: see batch/inventory.h. */

static bool is_below(const char *path, const char *place) {
    size_t n = strlen(place);
    while (n && place[n - 1] == '/')
        n--;
    return !strncmp(path, place, n) && (path[n] == '/' || !path[n]);
}

/* How much of an absolute path all places have in common, up to a slash. */
static size_t chars_above(const vx_duplicates_params *p) {
    size_t n = p->n_places ? strlen(p->places[0]) : 0;
    for (size_t i = 1; i < p->n_places; i++) {
        size_t same = 0, slash = 0;
        for (; same < n && p->places[i][same] == p->places[0][same]; same++)
            slash = p->places[0][same] == '/' ? same : slash;
        bool whole = same == n && (p->places[i][same] == '/' || !p->places[i][same]);
        n = whole ? n : slash;
    }
    return n;
}

/* NULL: it does not count. */
static const char *path_of(const vx_duplicates_params *p, const json_t *file) {
    const char *path = json_string_value(json_object_get(file, "path"));
    bool counts = path && !p->places;
    for (size_t i = 0; i < p->n_places && path && !counts; i++)
        counts = is_below(path, p->places[i]);
    return counts ? path : NULL;
}

typedef struct listed {
    const char *path; /* borrows */
    json_int_t mtime_ns;
    bool aside;
    dev_t device;
    ino_t inode;            /* 0: it cannot be read, or the path is relative to an unknown folder */
    size_t at, file;        /* its place in the list; the least place of a name of its file */
    size_t best, best_file; /* those of the name that goes first */
} listed;

static int by_inode(const void *a, const void *b) {
    const listed *x = a, *y = b;
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    if (x->inode != y->inode)
        return x->inode < y->inode ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static int by_file(const void *a, const void *b) {
    const listed *x = a, *y = b;
    if ((x->file == x->best_file) != (y->file == y->best_file))
        return x->file == x->best_file ? -1 : 1;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    if ((x->at == x->best) != (y->at == y->best))
        return x->at == x->best ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* By file, the first name that is not set aside first, else the first. */
static void order_names(listed *names, size_t n) {
    size_t best = 0, best_file = 0;
    while (best + 1 < n && names[best].aside)
        best++;
    best = names[best].aside ? 0 : best;
    qsort(names, n, sizeof *names, by_inode);
    for (size_t i = 0; i < n; i++) {
        bool same = i && names[i].inode && names[i].inode == names[i - 1].inode &&
                    names[i].device == names[i - 1].device;
        names[i].file = same ? names[i - 1].file : names[i].at;
        best_file = names[i].at == best ? names[i].file : best_file;
    }
    for (size_t i = 0; i < n; i++) {
        names[i].best = best;
        names[i].best_file = best_file;
    }
    qsort(names, n, sizeof *names, by_file);
}

/* Those that count; a name's inode only matters beside others. */
static size_t list_names(const vx_duplicates_params *p, const json_t *files, listed *ret_names) {
    size_t above = chars_above(p), n = 0;
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        const char *path = path_of(p, file);
        struct stat info = {0};
        if (!path)
            continue;
        if (json_array_size(files) > 1 && path[0] == '/' && lstat(path, &info))
            info = (struct stat){0};
        ret_names[n] = (listed){
            .path = path,
            .mtime_ns = json_integer_value(json_object_get(file, "mtime_ns")),
            .aside = vx_path_is_set_aside(path + (strlen(path) > above ? above : 0)),
            .device = info.st_dev,
            .inode = info.st_ino,
            .at = n,
        };
        n++;
    }
    return n;
}

/* Sets filename, set_aside and the time by the first name; and same by the others. Leaves filename NULL where none
 * counts. */
static int read_files(const vx_duplicates_params *p, const json_t *files, vx_group_video *v,
                      vx_err *err) {
    VX_AUTO_FREE listed *names = vx_new_array(json_array_size(files) + 1, sizeof *names);
    size_t n = names ? list_names(p, files, names) : 0;
    if (names && !n)
        return 0;
    if (names) {
        order_names(names, n);
        v->filename = strdup(names[0].path);
        v->same = vx_new_array(n, sizeof *v->same);
    }
    if (!v->filename || !v->same)
        return VX_FAIL(err, -ENOMEM, "no memory for the videos of groups");
    v->set_aside = names[0].aside;
    v->created_us = names[0].mtime_ns ? names[0].mtime_ns / 1000 : v->created_us;
    for (size_t i = 1; i < n; i++) {
        bool is_link = names[i].file == names[i - 1].file;
        v->same[v->n_same] = (vx_group_file){.path = strdup(names[i].path), .is_link = is_link};
        if (!v->same[v->n_same++].path)
            return VX_FAIL(err, -ENOMEM, "no memory for the videos of groups");
        v->n_files += !is_link;
    }
    return 0;
}

/* NULL: it is no video of a list. */
static json_t *files_of(const char *metadata) {
    json_t *object = metadata ? json_loads(metadata, 0, NULL) : NULL;
    json_t *files = json_object_get(object, "made_with") ? json_object_get(object, "files") : NULL;
    json_incref(files);
    json_decref(object);
    return files;
}

/* ---- videos ---- */

/* Of one in place, where it lies: the first of "films/a/b.mp4//nas/b.mp4". */
static char *name_of(const vx_video *video) {
    const char *end = video->places ? strstr(video->places, "//") : NULL;
    if (!video->places)
        return strdup(video->filename);
    VX_AUTO_FREE char *place =
        end ? strndup(video->places, (size_t)(end - video->places)) : strdup(video->places);
    return place ? vx_utf8_show(place) : NULL;
}

static int load_video(loading *l, int64_t row, vx_err *err) {
    VX_AUTO(vx_video) video = NULL;
    int rc = vx_catalog_get_video_alone(l->catalog, row, &video, err);
    if (rc)
        return rc == VX_CATALOG_NOT_FOUND ? 0 : rc;
    vx_group_video v = {.row = row,
                        .bytes = video->bytes,
                        .n_files = 1,
                        .created_us = video->created_us,
                        .width_px = video->width_px,
                        .height_px = video->height_px,
                        .duration_s = video->duration_s};
    strcpy(v.id, video->id);
    json_t *files = files_of(video->metadata);
    rc = read_files(l->params, files, &v, err);
    json_decref(files);
    if (!v.filename && !l->params->places && !rc) {
        v.no_file = !vx_video_has_file(video);
        v.filename = name_of(video);
        v.set_aside = v.filename && !video->places && vx_path_is_set_aside(v.filename);
        rc = v.filename ? 0 : VX_FAIL(err, -ENOMEM, "no memory for the videos of groups");
    }
    if (rc || !v.filename) { /* it is in none of the places */
        vx_group_video_clear(&v);
        return rc;
    }
    l->snapshot->videos[l->snapshot->n_videos++] = v;
    return 0;
}

/* Videos of which several files are listed make groups without pairs. */
static int note_listed(loading *l, vx_err *err) {
    enum { AT_ONCE = 1000 };
    vx_video_query query = {.limit = AT_ONCE};
    for (size_t n = AT_ONCE; n == AT_ONCE;) {
        vx_video **page = NULL;
        int rc = vx_catalog_list_videos(l->catalog, &query, &page, &n, err);
        if (rc)
            return rc;
        for (size_t i = 0; i < n; i++) {
            json_t *files = rc ? NULL : files_of(page[i]->metadata);
            query.before_row = page[i]->row;
            if (json_array_size(files) > 1)
                rc = note_row(l, page[i]->row, err);
            json_decref(files);
            vx_video_free(page[i]);
        }
        free(page);
        if (rc)
            return rc;
    }
    return 0;
}

static int load_videos(loading *l, vx_err *err) {
    vx_scan_snapshot *s = l->snapshot;
    size_t n = 0;
    if (l->n_rows)
        qsort(l->rows, l->n_rows, sizeof *l->rows, by_row);
    for (size_t i = 0; i < l->n_rows; i++)
        if (!i || l->rows[i] != l->rows[i - 1])
            l->rows[n++] = l->rows[i];
    s->videos = vx_new_array(n + 1, sizeof *s->videos);
    int rc = s->videos ? 0 : VX_FAIL(err, -ENOMEM, "no memory for %zu videos", n);
    for (size_t i = 0; i < n && !rc; i++)
        rc = load_video(l, l->rows[i], err);
    return rc;
}

size_t vx_scan_snapshot_find(const vx_scan_snapshot *s, int64_t row) {
    size_t low = 0, high = s->n_videos;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->videos[middle].row < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->n_videos && s->videos[low].row == row ? low : SIZE_MAX;
}

/* Pairs of videos that were deleted since they were read are dropped. */
static void number_pairs(vx_scan_snapshot *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->n_pairs; i++) {
        vx_scan_snapshot_pair p = s->pairs[i];
        size_t a = vx_scan_snapshot_find(s, p.pair.a), b = vx_scan_snapshot_find(s, p.pair.b);
        if (a == SIZE_MAX || b == SIZE_MAX)
            continue;
        bool turned = strcmp(s->videos[a].id, s->videos[b].id) > 0;
        if (turned)
            vx_pair_turn(&p.pair);
        p.a = (uint32_t)(turned ? b : a);
        p.b = (uint32_t)(turned ? a : b);
        s->pairs[n++] = p;
    }
    s->n_pairs = n;
}

static int note_settled(void *ctx, int64_t decision, vx_decision_kind kind, vx_decision_role role,
                        int64_t video, vx_err *err) {
    loading *l = ctx;
    vx_scan_snapshot *s = l->snapshot;
    size_t number = kind == VX_DECISION_UNRELATED ? SIZE_MAX : vx_scan_snapshot_find(s, video);
    (void)role;
    if (number == SIZE_MAX)
        return 0;
    if (!vx_make_room(s->settled, s->n_settled, l->settled_capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for the decisions about duplicates");
    s->settled[s->n_settled++] = (vx_settled){(uint32_t)number, decision};
    return 0;
}

int vx_scan_snapshot_compare_settled(const void *a, const void *b) {
    const vx_settled *x = a, *y = b;
    if (x->video != y->video)
        return x->video < y->video ? -1 : 1;
    return (x->decision > y->decision) - (x->decision < y->decision);
}

int vx_scan_snapshot_load(const vx_duplicates_params *params, vx_scan_snapshot **ret_snapshot,
                          vx_err *err) {
    VX_AUTO(vx_scan_snapshot) s = vx_new(vx_scan_snapshot);
    if (!s)
        return VX_FAIL(err, -ENOMEM, "no memory for groups");
    atomic_store(&s->references, 1);
    vx_catalog *catalog = params->collection->catalog;
    loading l = {.snapshot = s, .params = params, .catalog = catalog};
    int rc = vx_unrelated_load(catalog, &s->unrelated, err);
    if (!rc)
        rc = vx_catalog_scan_pairs(catalog, note_pair, &l, err);
    if (!rc && params->listed)
        rc = note_listed(&l, err);
    if (!rc)
        rc = load_videos(&l, err);
    if (!rc) {
        number_pairs(s);
        rc = vx_catalog_scan_decided(catalog, note_settled, &l, err);
    }
    free(l.rows);
    if (rc)
        return rc;
    if (s->n_settled)
        qsort(s->settled, s->n_settled, sizeof *s->settled, vx_scan_snapshot_compare_settled);
    *ret_snapshot = vx_take(s);
    return 0;
}
