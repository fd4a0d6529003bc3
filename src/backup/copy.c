/* copy.c — see the header. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup.h"
#include "base/digest.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/whole_file.h"
#include "catalog/catalog.h"

/* A round copies only what is new; each ends the deletions of the one before. */
#define MAX_ROUNDS 200
#define PIECE_BYTES ((size_t)1 << 20)

typedef struct copying {
    const char *from, *to; /* folders */
    bool restores;         /* files that are there already are verified too */
    vx_catalog *live;      /* borrows; of a backup: the catalog that a server may be changing */
    int64_t vanished;      /* files of videos that were deleted since the catalog was copied */
    vx_backup_report *report;
} copying;

/* ---- files ---- */

static int join(char path[PATH_MAX], const char *folder, const char *name, vx_err *err) {
    return snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX
               ? 0
               : VX_FAIL(err, -ENAMETOOLONG, "the path %s is too long", folder);
}

static int make_folder(const char *path, vx_err *err) {
    return mkdir(path, 0700) && errno != EEXIST ? VX_FAIL_ERRNO(err, "creating %s", path) : 0;
}

static int copy_bytes(int from, int to, int64_t *bytes, const char *path, vx_err *err) {
    VX_AUTO_FREE char *piece = malloc(PIECE_BYTES);
    if (!piece)
        return VX_FAIL(err, -ENOMEM, "no memory to copy a file");
    for (ssize_t n; (n = read(from, piece, PIECE_BYTES)) != 0;) {
        if (n < 0 && errno == EIO) /* this file only */
            return VX_FAIL(err, VX_BACKUP_BAD, "the disk cannot read the file for %s", path);
        if (n < 0)
            return VX_FAIL_ERRNO(err, "reading for %s", path);
        for (ssize_t done = 0, now; done < n; done += now)
            if ((now = write(to, piece + done, (size_t)(n - done))) < 0)
                return VX_FAIL_ERRNO(err, "writing %s", path);
        *bytes += n;
    }
    return fsync(to) ? VX_FAIL_ERRNO(err, "writing %s", path) : 0;
}

static int check_digest(int fd, const char *expected, const char *path, vx_err *err) {
    char found[VX_DIGEST_HEX_BYTES];
    if (lseek(fd, 0, SEEK_SET) < 0)
        return VX_FAIL_ERRNO(err, "reading %s", path);
    int rc = vx_digest_file(fd, found, err);
    if (!rc && strcmp(found, expected) != 0)
        rc = VX_FAIL(err, VX_BACKUP_BAD, "the file %s is damaged: its SHA-256 is another", path);
    return rc;
}

/* Beside its place first. -ENOENT: there is no such file; VX_BACKUP_BAD: it is damaged, and not copied. */
static int copy_file(copying *c, const char *source, const char *target, const char *digest,
                     vx_err *err) {
    char temporary[PATH_MAX];
    VX_AUTO_FD int from = open(source, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return VX_FAIL_ERRNO(err, "opening %s", source);
    if (snprintf(temporary, sizeof temporary, "%s.part", target) >= (int)sizeof temporary)
        return VX_FAIL(err, -ENAMETOOLONG, "the path %s is too long", target);
    VX_AUTO_FD int to = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int rc = to < 0 ? VX_FAIL_ERRNO(err, "creating %s", temporary)
                    : copy_bytes(from, to, &c->report->bytes, target, err);
    if (!rc)
        rc = check_digest(to, digest, source, err);
    if (!rc && rename(temporary, target))
        rc = VX_FAIL_ERRNO(err, "putting %s into place", target);
    if (rc && to >= 0)
        unlink(temporary);
    return rc;
}

/* ---- the files that a catalog names ---- */

/* A backup trusts what an earlier one has verified: else it would read the whole collection each time. */
static bool is_there(const copying *c, const char *target, const char *digest, int64_t bytes) {
    struct stat facts;
    vx_err err;
    VX_AUTO_FD int fd = open(target, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && !fstat(fd, &facts) && facts.st_size == bytes &&
           (!c->restores || !check_digest(fd, digest, target, &err));
}

/* Counts a file that is not there: it is lost, or its video was deleted since. A video that has come back has its
 * file before its row: then this is not the last round either. */
static int note_missing(copying *c, const vx_video *video, const char *source, vx_err *err) {
    bool is_stored = true;
    int rc = c->live ? vx_catalog_has_sha256(c->live, video->sha256, &is_stored, err) : 0;
    if (!rc && c->live && (!is_stored || !access(source, F_OK)))
        c->vanished++;
    else if (!rc)
        c->report->missing++;
    return rc;
}

/* media/ab/abcd…. One that is missing or damaged is counted. */
static int copy_media(copying *c, const vx_video *video, vx_err *err) {
    char digest[65], name[80], source[PATH_MAX], target[PATH_MAX];
    vx_hex_encode(video->sha256, 32, digest);
    snprintf(name, sizeof name, "media/%.2s", digest);
    int rc = join(target, c->to, name, err);
    if (!rc)
        rc = make_folder(target, err);
    snprintf(name, sizeof name, "media/%.2s/%s", digest, digest);
    if (!rc)
        rc = join(source, c->from, name, err);
    if (!rc)
        rc = join(target, c->to, name, err);
    if (rc)
        return rc;
    if (is_there(c, target, digest, video->bytes)) {
        c->report->kept++;
        return 0;
    }
    if (c->restores) /* a damaged one must not pass for the right one if there is none to replace it */
        unlink(target);
    vx_err why;
    rc = copy_file(c, source, target, digest, &why);
    if (rc == -ENOENT)
        return note_missing(c, video, source, err);
    if (rc == VX_BACKUP_BAD) {
        c->report->damaged++;
        vx_log_failed(VX_LOG_ERROR, "backup", &why, "video=%s copied=no", video->id);
        return 0;
    }
    c->report->copied += !rc;
    if (rc)
        *err = why;
    return rc;
}

static int on_video(void *ctx, const vx_video *video, vx_err *err) {
    copying *c = ctx;
    c->report->videos++;
    if (video->source_path)
        return 0;
    c->report->files++;
    return copy_media(c, video, err);
}

static int sync_media(const copying *c, vx_err *err) {
    char path[PATH_MAX], name[16];
    int rc = 0;
    for (int i = 0; i < 256 && !rc; i++) {
        snprintf(name, sizeof name, "media/%02x", i);
        rc = join(path, c->to, name, err);
        if (!rc && !access(path, F_OK))
            rc = vx_sync_folder(path, err);
    }
    if (!rc)
        rc = join(path, c->to, "media", err);
    return rc ? rc : vx_sync_folder(path, err);
}

static int copy_all_media(copying *c, const char *catalog_path, vx_err *err) {
    VX_AUTO(vx_catalog) catalog = NULL;
    char path[PATH_MAX];
    c->report->videos = c->report->files = c->report->kept = c->report->missing =
        c->report->damaged = 0;
    int rc = vx_catalog_open_to_read(catalog_path, &catalog, err);
    if (!rc)
        rc = join(path, c->to, "media", err);
    if (!rc)
        rc = make_folder(path, err);
    if (!rc)
        rc = vx_catalog_scan_videos(catalog, on_video, c, err);
    return rc ? rc : sync_media(c, err);
}

/* ---- files that the new catalog does not name ---- */

static bool is_named(vx_catalog *catalog, const char *name) {
    uint8_t sha256[32];
    bool stored =
        true; /* what is no digest is not ours to remove; nor is what cannot be looked up */
    vx_err err;
    if (strlen(name) == 64 && vx_hex_decode(name, 32, sha256))
        vx_catalog_has_sha256(catalog, sha256, &stored, &err);
    return stored;
}

static void remove_unnamed_in(copying *c, vx_catalog *catalog, const char *folder) {
    DIR *entries = opendir(folder);
    for (struct dirent *entry; entries && (entry = readdir(entries));)
        if (entry->d_name[0] != '.' && !is_named(catalog, entry->d_name))
            c->report->removed += !unlinkat(dirfd(entries), entry->d_name, 0);
    if (entries)
        closedir(entries);
}

static int remove_unnamed(copying *c, const char *catalog_path, vx_err *err) {
    VX_AUTO(vx_catalog) catalog = NULL;
    char path[PATH_MAX], name[16];
    int rc = vx_catalog_open_to_read(catalog_path, &catalog, err);
    for (int i = 0; i < 256 && !rc; i++) {
        snprintf(name, sizeof name, "media/%02x", i);
        rc = join(path, c->to, name, err);
        if (!rc)
            remove_unnamed_in(c, catalog, path);
    }
    return rc;
}

/* ---- backup and restore ---- */

/* Until no video was deleted between the copy of the catalog and that of its file. */
static int copy_until_complete(copying *c, const char *copy, vx_err *err) {
    for (int round = 0; round < MAX_ROUNDS; round++) {
        c->vanished = 0;
        int rc = vx_catalog_copy(c->live, copy, err);
        if (!rc)
            rc = copy_all_media(c, copy, err);
        if (rc || !c->vanished)
            return rc;
    }
    return VX_FAIL(err, -EBUSY,
                   "videos were deleted all the time; try again when there are fewer deletions");
}

/* A log that was left by a reader of the catalog before would be taken for that of the new one. */
static int put_into_place(const char *copy, const char *final, vx_err *err) {
    char name[PATH_MAX + 8];
    snprintf(name, sizeof name, "%s-wal", final);
    unlink(name);
    snprintf(name, sizeof name, "%s-shm", final);
    unlink(name);
    return rename(copy, final) ? VX_FAIL_ERRNO(err, "putting %s into place", final) : 0;
}

static int refuse_data_folder(const char *folder, vx_err *err) {
    return VX_FAIL(
        err, VX_BACKUP_BAD,
        "%s is a data folder of vidx serve: a backup would replace what is in it; choose "
        "another folder",
        folder);
}

/* What a server works in is never overwritten: not the folder that is copied, nor another one. */
static int check_target(const char *data_dir, const char *to_dir, vx_err *err) {
    struct stat from, to;
    char path[PATH_MAX];
    if (!stat(data_dir, &from) && !stat(to_dir, &to) && from.st_dev == to.st_dev &&
        from.st_ino == to.st_ino)
        return refuse_data_folder(to_dir, err);
    int rc = join(path, to_dir, "incoming", err);
    if (!rc && !access(path, F_OK))
        rc = refuse_data_folder(to_dir, err);
    if (!rc)
        rc = join(path, to_dir, "catalog.db.lock", err);
    if (rc)
        return rc;
    VX_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) ? refuse_data_folder(to_dir, err) : 0;
}

int vx_backup_run(const char *data_dir, const char *to_dir, vx_backup_report *ret_report,
                  vx_err *err) {
    VX_AUTO(vx_catalog) live = NULL;
    char path[PATH_MAX], copy[PATH_MAX], final[PATH_MAX];
    *ret_report = (vx_backup_report){0};
    copying c = {.from = data_dir, .to = to_dir, .report = ret_report};
    int rc = join(path, data_dir, "catalog.db", err);
    if (!rc)
        rc = join(copy, to_dir, "catalog.db.part", err);
    if (!rc)
        rc = join(final, to_dir, "catalog.db", err);
    if (!rc && access(path, F_OK))
        rc = VX_FAIL(err, VX_BACKUP_BAD, "%s is no data folder of vidx serve", data_dir);
    if (!rc)
        rc = check_target(data_dir, to_dir, err);
    if (!rc)
        rc = make_folder(to_dir, err);
    if (!rc)
        rc = vx_catalog_open_to_read(path, &live, err);
    c.live = live;
    if (!rc)
        rc = copy_until_complete(&c, copy, err);
    if (!rc)
        rc = put_into_place(copy, final, err);
    if (!rc)
        rc = vx_sync_folder(to_dir, err);
    return rc ? rc : remove_unnamed(&c, final, err);
}

int vx_backup_restore(const char *from_dir, const char *data_dir, vx_backup_report *ret_report,
                      vx_err *err) {
    VX_AUTO(vx_catalog) catalog = NULL;
    char source[PATH_MAX], copy[PATH_MAX], target[PATH_MAX];
    *ret_report = (vx_backup_report){0};
    copying c = {.from = from_dir, .to = data_dir, .restores = true, .report = ret_report};
    int rc = join(source, from_dir, "catalog.db", err);
    if (!rc)
        rc = join(copy, data_dir, "catalog.db.part", err);
    if (!rc)
        rc = join(target, data_dir, "catalog.db", err);
    if (!rc && access(source, F_OK))
        rc = VX_FAIL(err, VX_BACKUP_BAD, "%s is no backup: it has no catalog.db", from_dir);
    if (!rc && !access(target, F_OK))
        rc = VX_FAIL(err, VX_BACKUP_BAD, "%s has a catalog already: restore into another folder",
                     data_dir);
    if (!rc)
        rc = make_folder(data_dir, err);
    if (!rc)
        rc = vx_catalog_open_to_read(source, &catalog, err);
    if (!rc)
        rc = vx_catalog_copy(catalog, copy, err);
    if (!rc)
        rc = copy_all_media(&c, copy, err);
    if (!rc)
        rc = put_into_place(copy, target, err);
    return rc ? rc : vx_sync_folder(data_dir, err);
}
