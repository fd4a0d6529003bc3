/* open.c — opening and closing. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "catalog_internal.h"

#define DEFAULT_READERS 4

/* flock on a file beside the catalog: never on the catalog itself, because closing any descriptor
 * of it would drop the POSIX locks of every SQLite connection of this process. The file stays: a
 * removed one could be locked by two processes under one name. */
static int lock_directory(vx_catalog *catalog, vx_err *err) {
    VX_AUTO_FREE char *path = NULL;
    if (asprintf(&path, "%s.lock", catalog->path) < 0)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    catalog->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (catalog->lock_fd < 0)
        return VX_FAIL_ERRNO(err, "%s", path);
    if (flock(catalog->lock_fd, LOCK_EX | LOCK_NB)) {
        if (errno != EWOULDBLOCK)
            return VX_FAIL_ERRNO(err, "locking %s", path);
        char owner[24] = "";
        if (pread(catalog->lock_fd, owner, sizeof owner - 1, 0) <= 0)
            strcpy(owner, "unknown");
        return VX_FAIL(err, -EBUSY,
                       "another vidx (process %.*s) uses this data directory: stop it or choose "
                       "another directory",
                       (int)strcspn(owner, "\n"), owner);
    }
    /* The number is only for the message above: a failure to write it is none. */
    if (ftruncate(catalog->lock_fd, 0) == 0)
        dprintf(catalog->lock_fd, "%d\n", (int)getpid());
    return 0;
}

/* The name of a new catalog reaches the disk before anything is committed under it. */
static int sync_folder(const vx_catalog *catalog, vx_err *err) {
    const char *slash = strrchr(catalog->path, '/');
    VX_AUTO_FREE char *folder =
        slash ? strndup(catalog->path, (size_t)(slash - catalog->path) + 1) : strdup(".");
    if (!folder)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    VX_AUTO_FD int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd))
        return VX_FAIL_ERRNO(err, "making the folder %s durable", folder);
    return 0;
}

/* What people's videos are called and look like is nobody else's business; SQLite would create the file
 * as the umask says. The log and its index get the mode of the file. */
static int create_private(const vx_catalog *catalog, vx_err *err) {
    int fd = open(catalog->path, O_RDWR | O_CREAT | O_CLOEXEC | O_EXCL, 0600);
    if (fd < 0)
        return errno == EEXIST ? 0 : VX_FAIL_ERRNO(err, "%s", catalog->path);
    close(fd); /* no SQLite connection of this process has it open yet */
    return sync_folder(catalog, err);
}

/* The files of an older vidx, which may be open to others. Where the mode cannot be changed (another
 * owner, a file system without modes), it stays. */
static void make_private(const vx_catalog *catalog) {
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    for (size_t i = 0; i < VX_LEN(suffixes); i++) {
        char path[PATH_MAX];
        struct stat facts;
        snprintf(path, sizeof path, "%s%s", catalog->path, suffixes[i]);
        if (!stat(path, &facts) && (facts.st_mode & 0077))
            (void)!chmod(path, facts.st_mode & 0700);
    }
}

static int open_writer(vx_catalog *catalog, vx_err *err) {
    int rc = create_private(catalog, err);
    if (rc)
        return rc;
    rc = vx_db_open(&catalog->writer, catalog->path, VX_DB_WRITER, err);
    if (!rc)
        rc = vx_catalog_migrate(&catalog->writer, vx_catalog_migrations, vx_catalog_n_migrations,
                                err);
    catalog->writer.health = &catalog->health;
    if (!rc) {
        make_private(catalog);
        return 0;
    }
    int sqlite_code = catalog->writer.handle ? sqlite3_errcode(catalog->writer.handle) & 0xFF : 0;
    if (sqlite_code == SQLITE_NOTADB || sqlite_code == SQLITE_CORRUPT)
        return VX_FAIL(err, -EIO,
                       "damaged or no catalog (%s): restore a backup, or move it away to start "
                       "empty; `sqlite3 FILE .recover` saves what is readable",
                       sqlite3_errmsg(catalog->writer.handle));
    return rc;
}

static int open_file(vx_catalog *catalog, vx_err *err) {
    catalog->file_fd = open(catalog->path, O_RDONLY | O_CLOEXEC);
    return catalog->file_fd < 0 ? VX_FAIL_ERRNO(err, "%s", catalog->path) : 0;
}

/* Without the pool's lock: nobody else has the catalog yet. */
VX_NO_LOCK_ANALYSIS static int open_readers(vx_catalog *catalog, int n, vx_err *err) {
    catalog->readers = vx_new_array((size_t)n, sizeof *catalog->readers);
    catalog->free_readers = vx_new_array((size_t)n, sizeof *catalog->free_readers);
    if (!catalog->readers || !catalog->free_readers)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    for (; catalog->n_readers < n; catalog->n_readers++) {
        vx_db *reader = &catalog->readers[catalog->n_readers];
        int rc = vx_db_open(reader, catalog->path, VX_DB_READER, err);
        if (rc) {
            vx_db_close(reader);
            return rc;
        }
        reader->health = &catalog->health;
        catalog->free_readers[catalog->n_free++] = reader;
    }
    return 0;
}

static vx_catalog *new_catalog(const char *path) {
    vx_catalog *catalog = vx_new(vx_catalog);
    if (!catalog)
        return NULL;
    catalog->lock_fd = catalog->file_fd = -1;
    vx_health_init(&catalog->health);
    vx_mutex_init(&catalog->write_lock);
    atomic_init(&catalog->last_commit_us, vx_clock_monotonic_us()); /* a log may be there */
    vx_mutex_init(&catalog->pool_lock);
    vx_cond_init(&catalog->reader_free);
    catalog->path = strdup(path);
    return catalog->path ? catalog : vx_catalog_close(catalog);
}

int vx_catalog_open(const char *path, int readers, vx_catalog **ret_catalog, vx_err *err) {
    VX_AUTO(vx_catalog) catalog = new_catalog(path);
    if (!catalog)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    int rc = lock_directory(catalog, err);
    if (!rc)
        rc = open_writer(catalog, err);
    if (!rc)
        rc = open_file(catalog, err);
    if (!rc)
        rc = open_readers(catalog, readers > 0 ? readers : DEFAULT_READERS, err);
    if (rc) {
        VX_WRAP(err, "%s", path);
        return rc;
    }
    *ret_catalog = vx_take(catalog);
    return 0;
}

int vx_catalog_open_to_read(const char *path, vx_catalog **ret_catalog, vx_err *err) {
    VX_AUTO(vx_catalog) catalog = new_catalog(path);
    if (!catalog)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    int rc = open_file(catalog, err);
    if (!rc)
        rc = open_readers(catalog, 1, err);
    if (!rc)
        rc = vx_catalog_check_version(&catalog->readers[0], vx_catalog_n_migrations, err);
    if (rc) {
        VX_WRAP(err, "%s", path);
        return rc;
    }
    *ret_catalog = vx_take(catalog);
    return 0;
}

/* Of the connections the writer goes last: the last one folds the log into the file. Our own descriptor
 * goes after them, since closing it drops their locks (see lock_directory). */
VX_NO_LOCK_ANALYSIS vx_catalog *vx_catalog_close(vx_catalog *catalog) {
    if (!catalog)
        return NULL;
    for (int i = 0; i < catalog->n_readers; i++)
        vx_db_close(&catalog->readers[i]);
    vx_db_close(&catalog->writer);
    if (catalog->file_fd >= 0)
        close(catalog->file_fd);
    free(catalog->readers);
    free(catalog->free_readers);
    if (catalog->lock_fd >= 0)
        close(catalog->lock_fd);
    vx_cond_done(&catalog->reader_free);
    vx_mutex_done(&catalog->pool_lock);
    vx_mutex_done(&catalog->write_lock);
    vx_health_done(&catalog->health);
    free(catalog->changed);
    free(catalog->path);
    free(catalog);
    return NULL;
}
