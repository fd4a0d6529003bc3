/* input_files.c — the walk over the input folder of vidx embed. */
#include "input_files.h"

#include <errno.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/utf8.h"
#include "output.h"

typedef struct walk {
    vx_batch_files *files;
    size_t capacity;
    size_t root_chars; /* of the path of the folder itself; SIZE_MAX: paths are absolute */
    vx_batch_on_problem on_problem;
    void *ctx;
} walk;

vx_batch_files *vx_batch_files_free(vx_batch_files *files) {
    if (!files)
        return NULL;
    for (size_t i = 0; i < files->n; i++)
        free(files->items[i].path);
    free(files->items);
    free(files);
    return NULL;
}

static const char *name_of(const walk *w, const FTSENT *entry) {
    if (w->root_chars == SIZE_MAX)
        return entry->fts_path;
    const char *path = entry->fts_path + w->root_chars;
    return path + strspn(path, "/");
}

static int add_file(walk *w, const char *path, const struct stat *info, vx_err *err) {
    vx_batch_files *files = w->files;
    /* JSON can name only UTF-8, so that is what the outputs and the catalog can hold. */
    if (!vx_utf8_is_valid(path, strlen(path))) {
        w->on_problem(w->ctx, path, "its name is not valid UTF-8: rename it");
        return 0;
    }
    if (!vx_make_room(files->items, files->n, w->capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu files", files->n + 1);
    vx_batch_file file = {
        .path = strdup(path),
        .bytes = info->st_size,
        .mtime_ns = info->st_mtim.tv_sec * INT64_C(1000000000) + info->st_mtim.tv_nsec,
    };
    if (!file.path)
        return VX_FAIL(err, -ENOMEM, "no memory for the path of a file");
    files->items[files->n++] = file;
    files->bytes += file.bytes;
    return 0;
}

/* Of what a symbolic link leads to. */
static bool is_folder(const char *path) {
    struct stat info;
    return !stat(path, &info) && S_ISDIR(info.st_mode);
}

/* A store of vidx, or the clips that it cut, which would be cut again from run to run. */
static bool is_ours(const FTSENT *entry) {
    char list[PATH_MAX];
    if (!strcmp(entry->fts_name, ".vidx"))
        return true;
    if (entry->fts_level == FTS_ROOTLEVEL || strcmp(entry->fts_name, "clips"))
        return false;
    int n = snprintf(list, sizeof list, "%s/../" VX_BATCH_CLIP_FILES_LIST, entry->fts_path);
    return n < (int)sizeof list && !access(list, F_OK);
}

static int visit(walk *w, FTS *tree, FTSENT *entry, vx_err *err) {
    switch (entry->fts_info) {
    case FTS_D:
        if (is_ours(entry))
            fts_set(tree, entry, FTS_SKIP);
        return 0;
    case FTS_F:
        return vx_path_is_video(entry->fts_name)
                   ? add_file(w, name_of(w, entry), entry->fts_statp, err)
                   : 0;
    case FTS_SL:
    case FTS_SLNONE:
        w->files->n_symlinks += vx_path_is_video(entry->fts_name) || is_folder(entry->fts_accpath);
        return 0;
    case FTS_DNR:
    case FTS_NS:
    case FTS_ERR:
        if (entry->fts_level == FTS_ROOTLEVEL)
            return VX_FAIL(err, -entry->fts_errno, "cannot read the folder %s: %s", entry->fts_path,
                           strerror(entry->fts_errno));
        w->files->complete = false;
        w->on_problem(w->ctx, name_of(w, entry), strerror(entry->fts_errno));
        return 0;
    default:
        return 0;
    }
}

static int compare_paths(const void *a, const void *b) {
    return strcmp(((const vx_batch_file *)a)->path, ((const vx_batch_file *)b)->path);
}

static int walk_folder(walk *w, const char *folder, vx_err *err) {
    VX_AUTO_FREE char *root = strdup(folder);
    if (!root)
        return VX_FAIL(err, -ENOMEM, "no memory for a list of files");
    FTS *tree = fts_open((char *[]){root, NULL}, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!tree)
        return VX_FAIL_ERRNO(err, "cannot read the folder %s", folder);
    int rc = 0;
    errno = 0;
    for (FTSENT *entry; !rc && (entry = fts_read(tree)); errno = 0)
        rc = visit(w, tree, entry, err);
    if (!rc && errno)
        rc = VX_FAIL_ERRNO(err, "cannot read the folder %s", folder);
    fts_close(tree);
    return rc;
}

/* Of places that lie in each other a file comes more than once. */
static void sort_files(vx_batch_files *files) {
    size_t n = 0;
    if (files->n)
        qsort(files->items, files->n, sizeof *files->items, compare_paths);
    for (size_t i = 0; i < files->n; i++) {
        if (n && !strcmp(files->items[n - 1].path, files->items[i].path)) {
            files->bytes -= files->items[i].bytes;
            free(files->items[i].path);
        } else {
            files->items[n++] = files->items[i];
        }
    }
    files->n = n;
}

int vx_batch_find_files(const char *folder, vx_batch_on_problem on_problem, void *ctx,
                        vx_batch_files **ret_files, vx_err *err) {
    VX_AUTO(vx_batch_files) files = vx_new(vx_batch_files);
    if (!files)
        return VX_FAIL(err, -ENOMEM, "no memory for a list of files");
    files->complete = true;
    walk w = {.files = files, .root_chars = strlen(folder), .on_problem = on_problem, .ctx = ctx};
    int rc = walk_folder(&w, folder, err);
    if (rc)
        return rc;
    sort_files(files);
    *ret_files = vx_take(files);
    return 0;
}

int vx_batch_find_files_at(const char *const *places, size_t n, vx_batch_on_problem on_problem,
                           void *ctx, vx_batch_files **ret_files, vx_err *err) {
    VX_AUTO(vx_batch_files) files = vx_new(vx_batch_files);
    if (!files)
        return VX_FAIL(err, -ENOMEM, "no memory for a list of files");
    files->complete = true;
    files->places = places;
    files->n_places = n;
    walk w = {.files = files, .root_chars = SIZE_MAX, .on_problem = on_problem, .ctx = ctx};
    for (size_t i = 0; i < n; i++) {
        struct stat info;
        int rc = stat(places[i], &info)  ? VX_FAIL_ERRNO(err, "cannot read %s", places[i])
                 : S_ISDIR(info.st_mode) ? walk_folder(&w, places[i], err)
                                         : add_file(&w, places[i], &info, err);
        if (rc)
            return rc;
    }
    sort_files(files);
    *ret_files = vx_take(files);
    return 0;
}

bool vx_batch_is_below(const char *path, const char *place) {
    size_t n = strlen(place);
    while (n && place[n - 1] == '/')
        n--;
    return !strncmp(path, place, n) && (path[n] == '/' || !path[n]);
}

bool vx_batch_files_cover(const vx_batch_files *files, const char *path) {
    bool covered = !files->places;
    for (size_t i = 0; i < files->n_places && !covered; i++)
        covered = vx_batch_is_below(path, files->places[i]);
    return covered;
}

bool vx_batch_files_below(const vx_batch_files *files, const char *place) {
    bool found = false;
    for (size_t i = 0; i < files->n && !found; i++)
        found = vx_batch_is_below(files->items[i].path, place);
    return found;
}

int vx_batch_file_path(const char *folder, const vx_batch_file *file, char ret_path[PATH_MAX],
                       vx_err *err) {
    bool absolute = file->path[0] == '/';
    int n = snprintf(ret_path, PATH_MAX, "%s%s%s", absolute ? "" : folder, absolute ? "" : "/",
                     file->path);
    return n < PATH_MAX ? 0 : VX_FAIL(err, -ENAMETOOLONG, "its path is too long");
}

bool vx_batch_file_is_set_aside(const vx_batch_file *file) {
    return vx_path_is_set_aside(file->path);
}

vx_batch_file *vx_batch_files_find(const vx_batch_files *files, const char *path) {
    vx_batch_file key = {.path = (char *)path};
    return files->n ? bsearch(&key, files->items, files->n, sizeof key, compare_paths) : NULL;
}
