/* walk.c — compares a folder with its rows: what is new, has changed, or is gone.
 *
 * Folder by folder, so that memory is that of the largest one and of the names of all folders. What is new or has
 * changed is written at once; what is gone only at the end, when it is sure that the folder walked is still the one
 * that was opened: an unmounted disk leaves an empty directory under the same path. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
#include "folders_internal.h"

typedef struct found {
    char *name;    /* owned */
    bool is_there; /* false: it cannot be looked at, and is left as it is known */
    struct stat facts;
} found;

typedef enum change_kind { CHANGE_INSERT, CHANGE_UPDATE, CHANGE_REPLACE } change_kind;

typedef struct change {
    change_kind kind;
    vx_folder_file file; /* as it becomes; borrows its texts */
} change;

typedef struct gone_file {
    int64_t row;
    char video[VX_VIDEO_ID_CHARS + 1];
} gone_file;

typedef struct walk {
    vx_folders *all;
    vx_folder *folder;
    int root_fd;
    bool deep, whole;
    vx_texts todo, visited, kept; /* kept: nothing there or below it is taken for gone */
    gone_file *gone;
    size_t n_gone, gone_capacity;
    int64_t n_files, n_dirs, n_links, n_unreadable, n_changes;
} walk;

static void end_walk(walk *w) {
    vx_texts_clear(&w->todo);
    vx_texts_clear(&w->visited);
    vx_texts_clear(&w->kept);
    free(w->gone);
}

static int no_memory(vx_err *err) {
    return VX_FAIL(err, -ENOMEM, "no memory to walk a folder");
}

/* ---- what is looked at ---- */

/* That systems keep for themselves, beside those that vx_path_is_set_aside knows. */
static bool is_system_folder(const char *name) {
    static const char *const names[] = {"@eaDir", "#snapshot", "lost+found",
                                        "System Volume Information"};
    for (size_t i = 0; i < VX_LEN(names); i++)
        if (!strcasecmp(name, names[i]))
            return true;
    return false;
}

static bool is_left_out(const char *name, bool is_folder) {
    char path[NAME_MAX + 2];
    snprintf(path, sizeof path, "%s%s", name, is_folder ? "/" : "");
    return vx_path_is_set_aside(path) || (is_folder && is_system_folder(name));
}

/* The folder that is open: it says itself that it is not to be looked at, or holds our own data. */
static bool is_closed(const walk *w, int fd) {
    struct stat facts;
    return !fstatat(fd, ".nomedia", &facts, AT_SYMLINK_NOFOLLOW) ||
           (w->all->has_data_dir && !fstat(fd, &facts) && facts.st_dev == w->all->data_device &&
            facts.st_ino == w->all->data_inode);
}

int64_t vx_folder_ready_us(const vx_folders *folders, const struct stat *facts) {
    int64_t now_us = vx_clock_unix_us(), mtime_ns = vx_time_ns(&facts->st_mtim),
            ctime_ns = vx_time_ns(&facts->st_ctim);
    int64_t newest_us = (mtime_ns > ctime_ns ? mtime_ns : ctime_ns) / 1000;
    return newest_us <= now_us - folders->params.quiet_us ? 0 : now_us + folders->params.quiet_us;
}

/* ---- one folder ---- */

static void free_found(found *items, size_t n) {
    for (size_t i = 0; i < n; i++)
        free(items[i].name);
    free(items);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const found *)a)->name, ((const found *)b)->name);
}

/* A folder below: to be walked, or (not deep) left as it is. */
static int add_folder(walk *w, const char *dir, const char *name, vx_err *err) {
    char path[PATH_MAX];
    if (vx_below_join(dir, name, path) || strlen(path) + NAME_MAX + 2 > PATH_MAX) {
        w->n_unreadable++;
        return 0;
    }
    return vx_texts_add(w->deep ? &w->todo : &w->kept, path) ? 0 : no_memory(err);
}

/* A disk that fails for one name must not make what is known of it missing, be it a file or a folder. */
static int keep_entry(walk *w, const char *dir, const char *name, vx_err *err) {
    char path[PATH_MAX];
    w->n_unreadable++;
    return vx_below_join(dir, name, path) || vx_texts_add(&w->kept, path) ? 0 : no_memory(err);
}

static int look_at_entry(walk *w, int fd, const char *dir, const char *name, found **items,
                         size_t *n, size_t *capacity, vx_err *err) {
    struct stat facts = {0};
    if (!strcmp(name, ".") || !strcmp(name, ".."))
        return 0;
    bool is_there = !fstatat(fd, name, &facts, AT_SYMLINK_NOFOLLOW);
    if (!is_there && errno == ENOENT)
        return 0; /* gone already */
    if (!is_there && keep_entry(w, dir, name, err))
        return -ENOMEM;
    bool is_folder = S_ISDIR(facts.st_mode);
    if (is_left_out(name, is_folder))
        return 0;
    w->n_links += S_ISLNK(facts.st_mode);
    if (is_folder)
        return add_folder(w, dir, name, err);
    if ((is_there && !S_ISREG(facts.st_mode)) || !vx_path_is_video(name))
        return 0;
    char *copy = strdup(name);
    if (!copy || !vx_make_room(*items, *n, *capacity)) {
        free(copy);
        return no_memory(err);
    }
    (*items)[(*n)++] = (found){copy, is_there, facts};
    return 0;
}

/* Its videos, sorted by name. -EIO and others: not all of it could be read. */
static int list(walk *w, int fd, const char *dir, found **ret_items, size_t *ret_n, vx_err *err) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *entries = copy < 0 ? NULL : fdopendir(copy);
    found *items = NULL;
    size_t n = 0, capacity = 0;
    int rc = 0;
    if (!entries) {
        rc = VX_FAIL_ERRNO(err, "reading a folder");
        if (copy >= 0)
            close(copy);
        return rc;
    }
    for (struct dirent *entry; !rc && (errno = 0, entry = readdir(entries));)
        rc = look_at_entry(w, fd, dir, entry->d_name, &items, &n, &capacity, err);
    if (!rc && errno)
        rc = VX_FAIL_ERRNO(err, "reading a folder");
    closedir(entries);
    if (rc) {
        free_found(items, n);
        return rc;
    }
    if (n)
        qsort(items, n, sizeof *items, by_name);
    *ret_items = items;
    *ret_n = n;
    return 0;
}

/* ---- what has changed in it ---- */

static void set_facts(vx_folder_file *file, const struct stat *facts) {
    file->bytes = facts->st_size;
    file->mtime_ns = vx_time_ns(&facts->st_mtim);
    file->ctime_ns = vx_time_ns(&facts->st_ctim);
}

/* rows [n_rows] are those of that name, the one that is there first. Sets *ret_change; false: nothing has changed. */
static bool compare(const walk *w, const char *dir, const found *item, const vx_folder_file *rows,
                    size_t n_rows, change *ret_change) {
    const struct stat *facts = &item->facts;
    vx_folder_file new_file = {.dir = (char *)dir, .name = item->name};
    strcpy(new_file.folder, w->folder->row.name);
    new_file.ready_us = vx_folder_ready_us(w->all, facts);
    set_facts(&new_file, facts);
    for (size_t i = 0; i < n_rows; i++) {
        const vx_folder_file *row = &rows[i];
        bool is_there = !row->missing_us, same = vx_folder_file_is(row, facts, false);
        if (is_there && vx_folder_file_is(row, facts, true))
            return false;
        /* Only ctime is another: most often its mode or a folder's name has changed, seldom its bytes. */
        bool may_stay = *row->video ? same : is_there;
        if (!may_stay && !is_there)
            continue;
        *ret_change =
            (change){may_stay ? CHANGE_UPDATE : CHANGE_REPLACE, may_stay ? *row : new_file};
        if (may_stay) {
            set_facts(&ret_change->file, facts);
            ret_change->file.ready_us = new_file.ready_us;
            ret_change->file.recheck =
                *row->video && (row->recheck || !vx_folder_file_is(row, facts, true));
            ret_change->file.error = NULL;
            ret_change->file.retry = false;
        } else {
            ret_change->file.row = row->row;
            strcpy(ret_change->file.video, row->video);
        }
        return true;
    }
    *ret_change = (change){CHANGE_INSERT, new_file};
    return true;
}

typedef struct changes {
    vx_catalog *catalog;
    change *items;
    size_t n, capacity;
} changes;

static int apply_changes(void *ctx, vx_err *err) {
    const changes *c = ctx;
    int rc = 0;
    for (size_t i = 0; i < c->n && !rc; i++) {
        vx_folder_file file = c->items[i].file;
        if (c->items[i].kind == CHANGE_UPDATE) {
            rc = vx_catalog_update_folder_file(c->catalog, &file, err);
            continue;
        }
        if (c->items[i].kind == CHANGE_REPLACE)
            rc = vx_catalog_set_folder_file_missing(c->catalog, &file, vx_clock_unix_us(), err);
        if (!rc)
            rc = vx_catalog_insert_folder_file(c->catalog, &file, err);
    }
    return rc;
}

static int note_gone(walk *w, const vx_folder_file *row, vx_err *err) {
    if (row->missing_us)
        return 0;
    if (!vx_make_room(w->gone, w->n_gone, w->gone_capacity))
        return no_memory(err);
    gone_file *gone = &w->gone[w->n_gone++];
    gone->row = row->row;
    strcpy(gone->video, row->video);
    return 0;
}

/* Both are sorted by name. */
static int compare_all(walk *w, const char *dir, const found *items, size_t n,
                       const vx_folder_file *rows, size_t n_rows, changes *ret, vx_err *err) {
    size_t at = 0;
    int rc = 0;
    for (size_t i = 0; i <= n && !rc; i++) {
        while (at < n_rows && !rc && (i == n || strcmp(rows[at].name, items[i].name) < 0))
            rc = note_gone(w, &rows[at++], err);
        size_t first = at;
        while (i < n && at < n_rows && !strcmp(rows[at].name, items[i].name))
            at++;
        change found_change;
        if (rc || i == n || !items[i].is_there ||
            !compare(w, dir, &items[i], rows + first, at - first, &found_change))
            continue;
        if (!vx_make_room(ret->items, ret->n, ret->capacity))
            rc = no_memory(err);
        else
            ret->items[ret->n++] = found_change;
    }
    return rc;
}

static int write_changes(walk *w, const char *dir, const found *items, size_t n, vx_err *err) {
    vx_catalog *catalog = w->all->params.catalog;
    vx_folder_file *rows = NULL;
    size_t n_rows = 0;
    changes c = {.catalog = catalog};
    int rc = vx_catalog_list_folder_dir(catalog, w->folder->row.name, dir, &rows, &n_rows, err);
    if (!rc)
        rc = compare_all(w, dir, items, n, rows, n_rows, &c, err);
    if (!rc && c.n)
        rc = vx_writer_run(w->all->work.writer, apply_changes, NULL, &c, err);
    if (!rc && c.n)
        vx_folders_feed(w->all);
    w->n_changes += (int64_t)c.n;
    free(c.items);
    vx_folder_files_free(rows, n_rows);
    return rc;
}

static void note_progress(walk *w) {
    vx_mutex_lock(&w->all->mu);
    w->folder->walked_dirs = w->n_dirs;
    w->folder->walked_files = w->n_files;
    vx_mutex_unlock(&w->all->mu);
}

/* Something here cannot be read: it is left as it is known. */
static int keep(walk *w, const char *dir, int rc, vx_err *err) {
    char quoted[512];
    w->n_unreadable++;
    vx_log(VX_LOG_WARN, "folders", "folder=%s dir=%s unreadable=\"%s\"", w->folder->row.name,
           vx_log_quote(dir, quoted, sizeof quoted), strerror(-rc));
    return vx_texts_add(&w->kept, dir) ? 0 : no_memory(err);
}

static int walk_dir(walk *w, const char *dir, vx_err *err) {
    VX_AUTO_FD int fd = vx_below_open(w->root_fd, dir, NULL, O_RDONLY | O_DIRECTORY);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || (fd >= 0 && is_closed(w, fd)))
        return 0;
    if (fd < 0)
        return keep(w, dir, fd, err);
    vx_folder_watch(w->all, w->folder, dir, fd); /* before it is read, so that nothing is missed */
    found *items = NULL;
    size_t n = 0;
    vx_err why;
    int rc = list(w, fd, dir, &items, &n, &why);
    if (rc && rc != -ENOMEM)
        return keep(w, dir, rc, err);
    if (rc)
        return no_memory(err);
    w->n_dirs++;
    w->n_files += (int64_t)n;
    if (w->whole)
        note_progress(w);
    rc = write_changes(w, dir, items, n, err);
    free_found(items, n);
    if (!rc && !vx_texts_add(&w->visited, dir))
        rc = no_memory(err);
    return rc;
}

static int walk_from(walk *w, const char *dir, vx_err *err) {
    int rc = vx_texts_add(&w->todo, dir) ? 0 : no_memory(err);
    while (!rc && w->todo.n) {
        VX_AUTO_FREE char *next = w->todo.items[--w->todo.n];
        rc = atomic_load(&w->all->stopping)
                 ? VX_FAIL(err, -ESHUTDOWN, "the server is shutting down")
                 : walk_dir(w, next, err);
    }
    return rc;
}

/* ---- what is gone ---- */

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Whether the folder, or for `below` one that it lies in, is among these, which are sorted. */
static bool is_among(const vx_texts *texts, const char *dir, bool below) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", dir);
    for (const char *key = path; texts->n;) {
        if (bsearch(&key, texts->items, texts->n, sizeof *texts->items, by_text))
            return true;
        char *slash = strrchr(path, '/');
        if (!below || !*path)
            return false;
        *(slash ? slash : path) = '\0';
    }
    return false;
}

static int note_dir_gone(walk *w, const char *dir, vx_err *err) {
    vx_folder_file *rows = NULL;
    size_t n = 0;
    int rc = vx_catalog_list_folder_dir(w->all->params.catalog, w->folder->row.name, dir, &rows, &n,
                                        err);
    for (size_t i = 0; i < n && !rc; i++)
        rc = note_gone(w, &rows[i], err);
    vx_folder_files_free(rows, n);
    return rc;
}

/* The files of folders that are known, and were not found. */
static int find_gone_dirs(walk *w, const char *dir, vx_err *err) {
    enum { AT_ONCE = 1000 };
    VX_AUTO_FREE char *above = NULL;
    size_t n = AT_ONCE;
    int rc = 0;
    if (w->visited.n)
        qsort(w->visited.items, w->visited.n, sizeof *w->visited.items, by_text);
    if (w->kept.n)
        qsort(w->kept.items, w->kept.n, sizeof *w->kept.items, by_text);
    while (!rc && n == AT_ONCE) {
        vx_texts dirs = {0};
        rc = vx_catalog_list_folder_dirs(w->all->params.catalog, w->folder->row.name, dir, above,
                                         AT_ONCE, &dirs.items, &dirs.n, err);
        n = rc ? 0 : dirs.n;
        for (size_t i = 0; i < n && !rc; i++)
            if (!is_among(&w->visited, dirs.items[i], false) &&
                !is_among(&w->kept, dirs.items[i], true))
                rc = note_dir_gone(w, dirs.items[i], err);
        free(above);
        above = n == AT_ONCE ? vx_take(dirs.items[n - 1]) : NULL;
        vx_texts_clear(&dirs);
    }
    return rc;
}

typedef struct lot_of_gone {
    vx_catalog *catalog;
    const gone_file *files;
    size_t n;
} lot_of_gone;

static int apply_gone(void *ctx, vx_err *err) {
    const lot_of_gone *lot = ctx;
    int64_t now_us = vx_clock_unix_us();
    int rc = 0;
    for (size_t i = 0; i < lot->n && !rc; i++) {
        vx_folder_file file = {.row = lot->files[i].row};
        strcpy(file.video, lot->files[i].video);
        rc = vx_catalog_set_folder_file_missing(lot->catalog, &file, now_us, err);
    }
    return rc;
}

static int write_gone(walk *w, vx_err *err) {
    enum { AT_ONCE = 500 };
    int rc = 0;
    for (size_t i = 0; i < w->n_gone && !rc; i += AT_ONCE) {
        size_t left = w->n_gone - i;
        lot_of_gone lot = {w->all->params.catalog, w->gone + i, left < AT_ONCE ? left : AT_ONCE};
        rc = vx_writer_run(w->all->work.writer, apply_gone, NULL, &lot, err);
    }
    return rc;
}

/* ---- a whole folder, or a part of it ---- */

static void set_health(vx_folders *all, vx_folder *folder, vx_folder_health health,
                       const char *problem) {
    vx_mutex_lock(&all->mu);
    bool is_news = folder->health != health && health != VX_FOLDER_READY;
    folder->health = health;
    snprintf(folder->problem, sizeof folder->problem, "%s", problem);
    vx_mutex_unlock(&all->mu);
    char quoted[2 * sizeof folder->problem];
    if (is_news)
        vx_log(VX_LOG_WARN, "folders", "folder=%s state=%s problem=%s", folder->row.name,
               vx_folder_health_name(health), vx_log_quote(problem, quoted, sizeof quoted));
}

/* Opens it; false: it is not there, which is noted. */
static bool open_root(vx_folders *all, vx_folder *folder, int *ret_fd, struct stat *ret_facts) {
    char problem[320];
    int fd = vx_below_open_root(folder->row.path);
    if (fd >= 0 && !fstat(fd, ret_facts)) {
        *ret_fd = fd;
        return true;
    }
    snprintf(problem, sizeof problem,
             "It cannot be opened (%s). Nothing in it is taken for missing; mount it, or start "
             "without it.",
             strerror(fd < 0 ? -fd : errno));
    set_health(all, folder, VX_FOLDER_AWAY, problem);
    if (fd >= 0)
        close(fd);
    return false;
}

/* Whether the path still leads to the directory that was opened. */
static bool is_still_there(const vx_folder *folder, const struct stat *opened) {
    struct stat now;
    return !stat(folder->row.path, &now) && now.st_dev == opened->st_dev &&
           now.st_ino == opened->st_ino;
}

static int apply_walked(void *ctx, vx_err *err) {
    const walk *w = ctx;
    vx_catalog *catalog = w->all->params.catalog;
    int rc = vx_catalog_update_folder_retries(catalog, w->folder->row.name, err);
    return rc ? rc
              : vx_catalog_set_folder_walked(catalog, w->folder->row.name, vx_clock_unix_us(), err);
}

/* What was found is right. What is gone is written, unless that may be for a disk that is not mounted. */
static int end_whole(walk *w, const struct stat *opened, bool accept_empty, vx_err *err) {
    vx_folder *folder = w->folder;
    bool knows_some = false;
    int rc = vx_catalog_has_folder_file(w->all->params.catalog, folder->row.name, &knows_some, err);
    if (rc)
        return rc;
    if (!is_still_there(folder, opened)) {
        set_health(w->all, folder, VX_FOLDER_AWAY,
                   "It was unmounted or replaced while it was walked. It is walked again soon.");
        return 0;
    }
    if (knows_some && !w->n_files && !w->n_unreadable && !accept_empty) {
        set_health(w->all, folder, VX_FOLDER_EMPTY,
                   "It holds no video, although some were known: perhaps a disk is not mounted. "
                   "Nothing is taken for missing. If its files are really gone, walk it with "
                   "accept_empty.");
        return 0;
    }
    rc = find_gone_dirs(w, "", err);
    if (!rc)
        rc = write_gone(w, err);
    if (!rc)
        rc = vx_writer_run(w->all->work.writer, apply_walked, NULL, w, err);
    if (rc)
        return rc;
    folder->is_known = true;
    folder->device = opened->st_dev;
    folder->inode = opened->st_ino;
    set_health(w->all, folder, VX_FOLDER_READY, "");
    vx_folders_feed(w->all);
    return 0;
}

int vx_folder_walk_all(vx_folders *all, vx_folder *folder, bool accept_empty, vx_err *err) {
    walk w = {.all = all, .folder = folder, .root_fd = -1, .deep = true, .whole = true};
    struct stat opened;
    int64_t start_us = vx_clock_monotonic_us();
    if (!open_root(all, folder, &w.root_fd, &opened))
        return 0;
    int rc = walk_from(&w, "", err);
    if (!rc)
        rc = end_whole(&w, &opened, accept_empty, err);
    vx_mutex_lock(&all->mu);
    folder->unreadable = w.n_unreadable;
    folder->links = w.n_links;
    vx_mutex_unlock(&all->mu);
    if (!rc)
        vx_log(VX_LOG_INFO, "folders",
               "folder=%s walked=whole dirs=%lld files=%lld changes=%lld missing=%zu ms=%lld",
               folder->row.name, (long long)w.n_dirs, (long long)w.n_files, (long long)w.n_changes,
               w.n_gone, (long long)((vx_clock_monotonic_us() - start_us) / 1000));
    close(w.root_fd);
    end_walk(&w);
    return rc;
}

int vx_folder_walk_dir(vx_folders *all, vx_folder *folder, const char *dir, bool deep,
                       bool *ret_elsewhere, vx_err *err) {
    walk w = {.all = all, .folder = folder, .root_fd = -1, .deep = deep};
    struct stat opened;
    *ret_elsewhere = true;
    if (!folder->is_known || !open_root(all, folder, &w.root_fd, &opened))
        return 0;
    *ret_elsewhere = opened.st_dev != folder->device || opened.st_ino != folder->inode;
    int rc = *ret_elsewhere ? 0 : walk_from(&w, dir, err);
    if (!rc && !*ret_elsewhere)
        rc = find_gone_dirs(&w, dir, err);
    if (!rc && !*ret_elsewhere && !is_still_there(folder, &opened))
        *ret_elsewhere = true;
    if (!rc && !*ret_elsewhere)
        rc = write_gone(&w, err);
    close(w.root_fd);
    end_walk(&w);
    return rc;
}
