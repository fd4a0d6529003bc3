/* stored_files.c — media/: files named by their SHA-256, making their names durable, the sweep. */
#include "store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hex.h"
#include "base/thread.h"

void vx_store_relative_path(const uint8_t sha256[32], char ret_path[STORE_RELATIVE_BYTES]) {
    vx_hex_encode(sha256, 1, ret_path);
    ret_path[2] = '/';
    vx_hex_encode(sha256, 32, ret_path + 3);
}

static int open_directory(const char *data_dir, const char *name, int *ret_fd, vx_err *err) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", data_dir, name) >= (int)sizeof path)
        return VX_FAIL(err, -ENAMETOOLONG, "%s is too long a path", data_dir);
    if (mkdir(path, 0700) && errno != EEXIST)
        return VX_FAIL_ERRNO(err, "creating %s", path);
    *ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd < 0 ? VX_FAIL_ERRNO(err, "opening %s", path) : 0;
}

/* All folders of media/ are there and durable from the start: a publish then changes one folder. */
static int make_folders(const vx_store *store, vx_err *err) {
    for (int i = 0; i < 256; i++) {
        char name[3];
        snprintf(name, sizeof name, "%02x", i);
        if (mkdirat(store->media_fd, name, 0700) && errno != EEXIST)
            return VX_FAIL_ERRNO(err, "creating media/%s", name);
    }
    return fsync(store->media_fd) ? VX_FAIL_ERRNO(err, "making media/ durable") : 0;
}

/* On every start: a crash may have come between the first one's mkdir and its sync. A parent that this
 * user may not read was there before. */
static int sync_data_dir(const char *data_dir, vx_err *err) {
    VX_AUTO_FD int fd = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd))
        return VX_FAIL_ERRNO(err, "making %s durable", data_dir);
    VX_AUTO_FD int parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0 && errno == EACCES)
        return 0;
    if (parent < 0 || fsync(parent))
        return VX_FAIL_ERRNO(err, "making the name of %s durable", data_dir);
    return 0;
}

int vx_store_open(const vx_store_params *params, vx_store **ret_store, vx_err *err) {
    VX_AUTO(vx_store) store = vx_new(vx_store);
    if (store)
        store->incoming_fd = store->media_fd = store->tables_fd = -1;
    if (!store || !(store->data_dir = strdup(params->data_dir)))
        return VX_FAIL(err, -ENOMEM, "no memory for the store");
    store->max_upload_bytes = params->max_upload_bytes;
    store->reserve_bytes = params->reserve_bytes;
    if (mkdir(params->data_dir, 0700) && errno != EEXIST)
        return VX_FAIL_ERRNO(err, "creating the data directory %s", params->data_dir);
    int rc = open_directory(params->data_dir, "incoming", &store->incoming_fd, err);
    if (!rc)
        rc = open_directory(params->data_dir, "media", &store->media_fd, err);
    if (!rc)
        rc = open_directory(params->data_dir, "tables", &store->tables_fd, err);
    if (!rc)
        rc = make_folders(store, err);
    if (!rc)
        rc = sync_data_dir(params->data_dir, err);
    if (rc)
        return rc;
    *ret_store = vx_take(store);
    return 0;
}

vx_store *vx_store_close(vx_store *store) {
    if (!store)
        return NULL;
    if (store->incoming_fd >= 0)
        close(store->incoming_fd);
    if (store->media_fd >= 0)
        close(store->media_fd);
    if (store->tables_fd >= 0)
        close(store->tables_fd);
    free(store->data_dir);
    free(store);
    return NULL;
}

void vx_store_path(const vx_store *store, const uint8_t sha256[32], char *ret_path,
                   size_t capacity) {
    char relative[STORE_RELATIVE_BYTES];
    vx_store_relative_path(sha256, relative);
    snprintf(ret_path, capacity, "%s/media/%s", store->data_dir, relative);
}

/* ---- the file of a video, wherever it lies ---- */

void vx_store_set_in_place(vx_store *store, vx_store_open_in_place open_file, void *ctx) {
    store->open_in_place = open_file;
    store->in_place_ctx = ctx;
}

void vx_stored_file_release(vx_stored_file *file) {
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

int vx_store_find_file(const vx_store *store, const uint8_t sha256[32], const char *source,
                       vx_stored_file *ret_file, vx_err *err) {
    if (source && !*source)
        return VX_FAIL(err, -ENOENT, "it was imported without its file");
    if (!source) {
        vx_store_path(store, sha256, ret_file->path, sizeof ret_file->path);
    } else if (strcmp(source, VX_IN_PLACE) != 0) {
        snprintf(ret_file->path, sizeof ret_file->path, "%s", source);
    } else {
        int fd = -1;
        int rc = store->open_in_place
                     ? store->open_in_place(store->in_place_ctx, sha256, &fd, err)
                     : VX_FAIL(err, -ENOENT, "its folder was not given with --folder");
        if (rc)
            return rc;
        ret_file->fd = fd;
        snprintf(ret_file->path, sizeof ret_file->path, VX_STORED_FILE_PATH, fd);
    }
    return 0;
}

bool vx_store_has(const vx_store *store, const uint8_t sha256[32], int64_t bytes) {
    char relative[STORE_RELATIVE_BYTES];
    struct stat facts;
    vx_store_relative_path(sha256, relative);
    return !fstatat(store->media_fd, relative, &facts, 0) && S_ISREG(facts.st_mode) &&
           facts.st_size == bytes;
}

void vx_store_table_path(const vx_store *store, const uint8_t sha256[32], char *ret_path,
                         size_t capacity) {
    char name[65];
    vx_hex_encode(sha256, 32, name);
    snprintf(ret_path, capacity, "%s/tables/%s", store->data_dir, name);
}

void vx_store_remove_table(vx_store *store, const uint8_t sha256[32]) {
    char name[65];
    vx_hex_encode(sha256, 32, name);
    unlinkat(store->tables_fd, name, 0);
}

typedef struct folder_sync {
    const vx_store *store;
    uint8_t folder;
    bool threaded;
    pthread_t thread;
    int rc;
    vx_err err;
} folder_sync;

static void *sync_folder(void *ctx) {
    folder_sync *s = ctx;
    char name[3];
    snprintf(name, sizeof name, "%02x", s->folder);
    VX_AUTO_FD int fd = openat(s->store->media_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd))
        s->rc = VX_FAIL_ERRNO(&s->err, "making media/%s durable", name);
    return NULL;
}

/* Each fsync waits in the disk's queue behind what others write; threads for so short a time cost
 * less than waiting there once a folder. */
int vx_store_sync(vx_store *store, const uint8_t (*sha256)[32], size_t n, vx_err *err) {
    folder_sync syncs[256]; /* the folder is the digest's first byte */
    bool seen[256] = {false};
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (!seen[sha256[i][0]])
            syncs[count++] = (folder_sync){.store = store, .folder = sha256[i][0]};
        seen[sha256[i][0]] = true;
    }
    for (size_t i = 1; i < count; i++)
        syncs[i].threaded =
            !vx_thread_start(&syncs[i].thread, "vx-sync", sync_folder, &syncs[i], NULL);
    int rc = 0;
    for (size_t i = 0; i < count; i++) {
        if (syncs[i].threaded)
            pthread_join(syncs[i].thread, NULL);
        else
            sync_folder(&syncs[i]);
        if (!rc && (rc = syncs[i].rc) && err)
            *err = syncs[i].err;
    }
    return rc;
}

#define DAMAGED ".damaged"

int vx_store_remove(vx_store *store, const uint8_t sha256[32], vx_err *err) {
    char relative[STORE_RELATIVE_BYTES], aside[STORE_RELATIVE_BYTES + sizeof DAMAGED];
    vx_store_relative_path(sha256, relative);
    snprintf(aside, sizeof aside, "%s" DAMAGED, relative);
    vx_store_remove_table(store, sha256);
    if (unlinkat(store->media_fd, relative, 0) && errno != ENOENT)
        return VX_FAIL_ERRNO(err, "removing media/%s", relative);
    if (unlinkat(store->media_fd, aside, 0) && errno != ENOENT)
        return VX_FAIL_ERRNO(err, "removing media/%s", aside);
    return 0;
}

int vx_store_set_aside(vx_store *store, const uint8_t sha256[32], vx_err *err) {
    char relative[STORE_RELATIVE_BYTES], aside[STORE_RELATIVE_BYTES + sizeof DAMAGED];
    vx_store_relative_path(sha256, relative);
    snprintf(aside, sizeof aside, "%s" DAMAGED, relative);
    if (renameat(store->media_fd, relative, store->media_fd, aside))
        return VX_FAIL_ERRNO(err, "renaming media/%s", relative);
    return 0;
}

int vx_store_remove_incoming(vx_store *store, const char *name, vx_err *err) {
    if (unlinkat(store->incoming_fd, name, 0) && errno != ENOENT)
        return VX_FAIL_ERRNO(err, "removing incoming/%s", name);
    return 0;
}

static DIR *open_dir_at(int parent, const char *name) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && !dir)
        close(fd);
    return dir;
}

/* A file that is not named by a digest was put there by a person: it is left alone. */
static void sweep_folder(DIR *folder, bool (*known)(void *, const uint8_t *), void *ctx,
                         int64_t *removed) {
    for (struct dirent *entry; (entry = readdir(folder));) {
        uint8_t sha256[32];
        if (vx_hex_decode(entry->d_name, 32, sha256) && !known(ctx, sha256) &&
            !unlinkat(dirfd(folder), entry->d_name, 0))
            ++*removed;
    }
}

int vx_store_sweep(vx_store *store, bool (*known)(void *ctx, const uint8_t sha256[32]),
                   bool (*wanted)(void *ctx, const char *name), void *ctx, int64_t *ret_removed,
                   vx_err *err) {
    *ret_removed = 0;
    for (int i = 0; i < 256; i++) {
        char name[3];
        snprintf(name, sizeof name, "%02x", i);
        DIR *folder = open_dir_at(store->media_fd, name);
        if (!folder && errno == ENOENT)
            continue;
        if (!folder)
            return VX_FAIL_ERRNO(err, "reading media/%s", name);
        sweep_folder(folder, known, ctx, ret_removed);
        closedir(folder);
    }
    DIR *tables = open_dir_at(store->tables_fd, ".");
    if (!tables)
        return VX_FAIL_ERRNO(err, "reading tables/");
    int64_t n_tables = 0; /* derived, so none of the count */
    sweep_folder(tables, known, ctx, &n_tables);
    closedir(tables);
    DIR *incoming = open_dir_at(store->incoming_fd, ".");
    if (!incoming)
        return VX_FAIL_ERRNO(err, "reading incoming/");
    /* Not by d_type, which some file systems leave unknown: folders refuse by themselves. */
    for (struct dirent *entry; (entry = readdir(incoming));)
        if (!wanted(ctx, entry->d_name) && !unlinkat(store->incoming_fd, entry->d_name, 0))
            ++*ret_removed;
    closedir(incoming);
    return 0;
}

static bool is_upload_name(const char *name) {
    uint8_t bytes[UPLOAD_NAME_CHARS / 2];
    return vx_hex_decode(name, sizeof bytes, bytes);
}

static int list_folder(DIR *folder, bool incoming, vx_store_on_file on_file, void *ctx,
                       vx_err *err) {
    int rc = 0;
    for (struct dirent *entry; !rc && (entry = readdir(folder));) {
        struct stat facts;
        vx_store_file file = {.incoming = incoming, .name = entry->d_name};
        bool ours = incoming ? is_upload_name(entry->d_name)
                             : vx_hex_decode(entry->d_name, 32, file.sha256);
        if (!ours || fstatat(dirfd(folder), entry->d_name, &facts, 0) || !S_ISREG(facts.st_mode))
            continue;
        file.modified_us = facts.st_mtim.tv_sec * INT64_C(1000000) + facts.st_mtim.tv_nsec / 1000;
        rc = on_file(ctx, &file, err);
    }
    return rc;
}

int vx_store_list(vx_store *store, vx_store_on_file on_file, void *ctx, vx_err *err) {
    int rc = 0;
    for (int i = 0; i <= 256 && !rc; i++) {
        char name[16] = ".";
        bool incoming = i == 256;
        if (!incoming)
            snprintf(name, sizeof name, "%02x", i);
        DIR *folder = open_dir_at(incoming ? store->incoming_fd : store->media_fd, name);
        if (!folder && errno == ENOENT)
            continue;
        if (!folder)
            return VX_FAIL_ERRNO(err, "reading %s/%s", incoming ? "incoming" : "media", name);
        rc = list_folder(folder, incoming, on_file, ctx, err);
        closedir(folder);
    }
    return rc;
}
