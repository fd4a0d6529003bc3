/* upload.c — one file on its way in: written and hashed as it arrives, sealed by fsync.
 *
 * The hash costs most of what can be counted here (SHA-256 by OpenSSL with the processor's SHA
 * instructions: 1.7 GB/s, 3 ms of 5 MB); it is computed while the bytes are still in the cache. */
#include "store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/hex.h"

static vx_upload *new_upload(vx_store *store) {
    vx_upload *upload = vx_new(vx_upload);
    if (!upload)
        return NULL;
    upload->store = store;
    upload->fd = -1;
    upload->digest = EVP_MD_CTX_new();
    if (!upload->digest || !EVP_DigestInit_ex(upload->digest, EVP_sha256(), NULL))
        return vx_upload_free(upload);
    return upload;
}

static int make_path(const vx_upload *upload, const char *directory, const char *name,
                     char **ret_path, vx_err *err) {
    if (asprintf(ret_path, "%s/%s/%s", upload->store->data_dir, directory, name) >= 0)
        return 0;
    *ret_path = NULL; /* as it is not defined now */
    return VX_FAIL(err, -ENOMEM, "no memory for a path");
}

static void set_place(vx_upload *upload, upload_state state, char *path_take) {
    free(upload->path);
    upload->path = path_take;
    upload->state = state;
}

int vx_store_get_free(const vx_store *store, int64_t *ret_bytes, vx_err *err) {
    struct statvfs disk;
    if (fstatvfs(store->incoming_fd, &disk))
        return VX_FAIL_ERRNO(err, "reading the free space of %s", store->data_dir);
    *ret_bytes = (int64_t)disk.f_bavail * (int64_t)disk.f_frsize;
    return 0;
}

static int refuse_size(const vx_store *store, vx_err *err) {
    return VX_FAIL(err, VX_UPLOAD_TOO_LARGE,
                   "the file is larger than the %lld bytes that the server takes (--max-upload)",
                   (long long)store->max_upload_bytes);
}

/* expected_bytes: at least so many; -1 = not known. */
static int check_room(const vx_store *store, int64_t expected_bytes, vx_err *err) {
    if (store->max_upload_bytes && expected_bytes > store->max_upload_bytes)
        return refuse_size(store, err);
    int64_t free_bytes = 0;
    int rc = vx_store_get_free(store, &free_bytes, err);
    if (rc)
        return rc;
    /* No sum: both may be as large as numbers are. */
    int64_t room = free_bytes - store->reserve_bytes,
            needed = expected_bytes > 0 ? expected_bytes : 0;
    if (room < needed)
        return VX_FAIL(err, -ENOSPC,
                       "the data disk has %lld bytes free, this upload needs %lld beside the "
                       "reserve of %lld",
                       (long long)free_bytes, (long long)needed, (long long)store->reserve_bytes);
    return 0;
}

static int random_name(char ret_name[UPLOAD_NAME_CHARS + 1], vx_err *err) {
    uint8_t bytes[UPLOAD_NAME_CHARS / 2];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return VX_FAIL_ERRNO(err, "reading random bytes");
    vx_hex_encode(bytes, sizeof bytes, ret_name);
    return 0;
}

int vx_upload_begin(vx_store *store, int64_t expected_bytes, vx_upload **ret_upload, vx_err *err) {
    int rc = check_room(store, expected_bytes, err);
    if (rc)
        return rc;
    VX_AUTO(vx_upload) upload = new_upload(store);
    if (!upload)
        return VX_FAIL(err, -ENOMEM, "no memory for an upload");
    rc = random_name(upload->name, err);
    if (rc)
        return rc;
    rc = make_path(upload, "incoming", upload->name, &upload->path, err);
    if (rc)
        return rc;
    upload->fd =
        openat(store->incoming_fd, upload->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (upload->fd < 0)
        return VX_FAIL_ERRNO(err, "creating %s", upload->path);
    *ret_upload = vx_take(upload);
    return 0;
}

int vx_upload_write(vx_upload *upload, const void *bytes, size_t n, vx_err *err) {
    int64_t limit = upload->store->max_upload_bytes;
    if (limit && (int64_t)n > limit - upload->bytes)
        return refuse_size(upload->store, err);
    for (size_t done = 0; done < n;) {
        ssize_t wrote = write(upload->fd, (const char *)bytes + done, n - done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return VX_FAIL_ERRNO(err, "writing the upload");
        done += (size_t)wrote;
    }
    if (!EVP_DigestUpdate(upload->digest, bytes, n))
        return VX_FAIL(err, -EIO, "hashing the upload failed");
    upload->bytes += (int64_t)n;
    return 0;
}

static int finish_digest(vx_upload *upload, uint8_t ret_sha256[32], vx_err *err) {
    if (!EVP_DigestFinal_ex(upload->digest, ret_sha256, NULL))
        return VX_FAIL(err, -EIO, "hashing the upload failed");
    return 0;
}

int vx_upload_end(vx_upload *upload, vx_err *err) {
    if (upload->state != UPLOAD_OPEN)
        return 0;
    int rc = finish_digest(upload, upload->sha256, err);
    if (!rc)
        upload->state = UPLOAD_ENDED;
    return rc;
}

int vx_upload_seal(vx_upload *upload, vx_err *err) {
    int rc = vx_upload_end(upload, err);
    if (rc || upload->state != UPLOAD_ENDED)
        return rc;
    if (fsync(upload->fd))
        return VX_FAIL_ERRNO(err, "making the upload durable");
    close(upload->fd);
    upload->fd = -1;
    upload->state = UPLOAD_SEALED;
    return 0;
}

int vx_upload_keep(vx_upload *upload, vx_err *err) {
    if (fsync(upload->store->incoming_fd))
        return VX_FAIL_ERRNO(err, "making %s durable", upload->path);
    upload->kept = true;
    return 0;
}

void vx_upload_unkeep(vx_upload *upload) {
    upload->kept = false;
}

int vx_upload_publish(vx_upload *upload, vx_err *err) {
    if (upload->state == UPLOAD_EXTERNAL || upload->state == UPLOAD_PUBLISHED)
        return 0;
    char relative[STORE_RELATIVE_BYTES];
    vx_store_relative_path(upload->sha256, relative);
    VX_AUTO_FREE char *path = NULL; /* made before the move: after it nothing may fail */
    int rc = make_path(upload, "media", relative, &path, err);
    if (rc)
        return rc;
    if (renameat(upload->store->incoming_fd, upload->name, upload->store->media_fd, relative))
        return VX_FAIL_ERRNO(err, "moving the upload to media/%s", relative);
    set_place(upload, UPLOAD_PUBLISHED, vx_take(path));
    return 0;
}

int vx_upload_restore(vx_upload *upload, vx_err *err) {
    int rc = vx_upload_publish(upload, err);
    return rc ? rc : vx_store_sync(upload->store, (const uint8_t(*)[32])upload->sha256, 1, err);
}

static int move_back(const vx_upload *upload, const uint8_t sha256[32], vx_err *err) {
    char relative[STORE_RELATIVE_BYTES];
    vx_store_relative_path(sha256, relative);
    if (renameat(upload->store->media_fd, relative, upload->store->incoming_fd, upload->name))
        return VX_FAIL_ERRNO(err, "moving media/%s back", relative);
    return 0;
}

int vx_upload_unpublish(vx_upload *upload, vx_err *err) {
    if (upload->state != UPLOAD_PUBLISHED)
        return 0;
    VX_AUTO_FREE char *path = NULL;
    int rc = make_path(upload, "incoming", upload->name, &path, err);
    if (!rc)
        rc = move_back(upload, upload->sha256, err);
    if (!rc)
        set_place(upload, UPLOAD_SEALED, vx_take(path));
    return rc;
}

vx_upload *vx_upload_free(vx_upload *upload) {
    if (!upload)
        return NULL;
    if (upload->fd >= 0)
        close(upload->fd);
    bool ours = upload->state != UPLOAD_PUBLISHED && upload->state != UPLOAD_EXTERNAL;
    if (ours && !upload->kept && upload->store && upload->name[0])
        unlinkat(upload->store->incoming_fd, upload->name, 0);
    EVP_MD_CTX_free(upload->digest);
    free(upload->path);
    free(upload);
    return NULL;
}

const char *vx_upload_path(const vx_upload *upload) {
    return upload->path;
}

const char *vx_upload_external_path(const vx_upload *upload) {
    if (upload->state != UPLOAD_EXTERNAL)
        return NULL;
    return upload->fd >= 0 ? VX_IN_PLACE : upload->path;
}

int vx_upload_in_place_fd(const vx_upload *upload) {
    return upload->state == UPLOAD_EXTERNAL ? upload->fd : -1;
}

const char *vx_upload_name(const vx_upload *upload) {
    return upload->name;
}

const uint8_t *vx_upload_sha256(const vx_upload *upload) {
    return upload->sha256;
}

int64_t vx_upload_bytes(const vx_upload *upload) {
    return upload->bytes;
}

/* Whether to go on after n more bytes. */
typedef struct hash_watch {
    bool (*keep_going)(void *ctx, int64_t n_bytes); /* NULL: always */
    void *ctx;
} hash_watch;

/* Reads the file behind fd through the digest. */
static int hash_file(vx_upload *upload, int fd, const hash_watch *watch, uint8_t ret_sha256[32],
                     vx_err *err) {
    VX_AUTO_FREE uint8_t *buffer = malloc(1 << 20);
    if (!buffer)
        return VX_FAIL(err, -ENOMEM, "no memory to read %s", upload->path);
    for (ssize_t n = 0;;) {
        if (watch->keep_going && !watch->keep_going(watch->ctx, n))
            return VX_FAIL(err, -ECANCELED, "reading %s was stopped", upload->path);
        do
            n = read(fd, buffer, 1 << 20);
        while (n < 0 && errno == EINTR);
        if (n < 0)
            return VX_FAIL_ERRNO(err, "reading %s", upload->path);
        if (n == 0)
            return finish_digest(upload, ret_sha256, err);
        if (!EVP_DigestUpdate(upload->digest, buffer, (size_t)n))
            return VX_FAIL(err, -EIO, "hashing %s failed", upload->path);
        upload->bytes += n;
    }
}

static bool is_upload_name(const char *name) {
    return strlen(name) == UPLOAD_NAME_CHARS &&
           strspn(name, "0123456789abcdef") == UPLOAD_NAME_CHARS;
}

int vx_upload_adopt(vx_store *store, const char *name, const uint8_t sha256[32],
                    vx_upload **ret_upload, vx_err *err) {
    if (!is_upload_name(name))
        return VX_FAIL(err, -EINVAL, "not the name of an upload");
    VX_AUTO(vx_upload) upload = new_upload(store);
    if (!upload)
        return VX_FAIL(err, -ENOMEM, "no memory for an upload");
    upload->kept = true;
    upload->state = UPLOAD_SEALED;
    upload->unverified = true;
    strcpy(upload->name, name);
    memcpy(upload->sha256, sha256, 32);
    int rc = make_path(upload, "incoming", upload->name, &upload->path, err);
    if (rc)
        return rc;
    *ret_upload = vx_take(upload);
    return 0;
}

int vx_upload_verify(vx_upload *upload, vx_err *err) {
    if (!upload->unverified)
        return 0;
    uint8_t sha256[32];
    int incoming_fd = upload->store->incoming_fd;
    VX_AUTO_FD int fd = openat(incoming_fd, upload->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) {
        int rc = move_back(upload, upload->sha256, err);
        if (rc == -ENOENT)
            return VX_FAIL(err, rc, "%s is gone", upload->path);
        if (rc)
            return rc;
        fd = openat(incoming_fd, upload->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    }
    if (fd < 0)
        return VX_FAIL_ERRNO(err, "opening %s", upload->path);
    int rc = hash_file(upload, fd, &(hash_watch){0}, sha256, err);
    if (!rc && memcmp(upload->sha256, sha256, 32))
        rc = VX_FAIL(err, -EIO, "%s no longer has the bytes that were sent", upload->path);
    if (!rc)
        upload->unverified = false;
    return rc;
}

int vx_store_discard(vx_store *store, const char *name, vx_err *err) {
    if (!is_upload_name(name))
        return VX_FAIL(err, -EINVAL, "not the name of an upload");
    if (unlinkat(store->incoming_fd, name, 0) && errno != ENOENT)
        return VX_FAIL_ERRNO(err, "removing incoming/%s", name);
    return 0;
}

int vx_upload_external(const char *path, vx_upload **ret_upload, vx_err *err) {
    VX_AUTO(vx_upload) upload = new_upload(NULL);
    if (!upload || !(upload->path = strdup(path)))
        return VX_FAIL(err, -ENOMEM, "no memory for %s", path);
    VX_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return VX_FAIL_ERRNO(err, "opening %s", path);
    struct stat info;
    if (fstat(fd, &info) || !S_ISREG(info.st_mode))
        return VX_FAIL(err, -EINVAL, "%s is not a regular file", path);
    int rc = hash_file(upload, fd, &(hash_watch){0}, upload->sha256, err);
    if (rc)
        return rc;
    upload->state = UPLOAD_EXTERNAL;
    *ret_upload = vx_take(upload);
    return 0;
}

int vx_upload_in_place(int fd, bool (*keep_going)(void *ctx, int64_t n_bytes), void *ctx,
                       vx_upload **ret_upload, vx_err *err) {
    VX_AUTO(vx_upload) upload = new_upload(NULL);
    if (!upload) {
        close(fd);
        return VX_FAIL(err, -ENOMEM, "no memory for an upload");
    }
    upload->fd = fd;
    if (asprintf(&upload->path, VX_STORED_FILE_PATH, fd) < 0) {
        upload->path = NULL; /* as it is not defined now */
        return VX_FAIL(err, -ENOMEM, "no memory for a path");
    }
    int rc = hash_file(upload, fd, &(hash_watch){keep_going, ctx}, upload->sha256, err);
    if (rc)
        return rc;
    upload->state = UPLOAD_EXTERNAL;
    *ret_upload = vx_take(upload);
    return 0;
}
