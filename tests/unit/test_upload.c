/* Uploads and the store: bytes arrive, are named by their digest, survive or vanish. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/store.h"

static char dir[64];

/* Memory that runs out in one place: these stand before libc's. */
static bool no_memory;

char *strdup(const char *text) {
    size_t n = strlen(text) + 1;
    char *copy = no_memory ? NULL : malloc(n);
    return copy ? memcpy(copy, text, n) : NULL;
}

int asprintf(char **ret_text, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int n = no_memory ? -1 : vasprintf(ret_text, fmt, ap);
    va_end(ap);
    return n;
}

/* A disk that cannot make anything durable. */
static bool no_sync;
static ino_t synced[1024];
static atomic_int n_synced; /* several threads sync at once */

int fsync(int fd) {
    struct stat info;
    if (no_sync)
        return errno = EIO, -1;
    if (!fstat(fd, &info)) {
        int i = atomic_fetch_add(&n_synced, 1);
        if (i < 1024)
            synced[i] = info.st_ino;
    }
    return (int)syscall(SYS_fsync, fd);
}

static int make_dir(void **state) {
    (void)state;
    strcpy(dir, "/tmp/vidx-upload-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static vx_store *open_store(int64_t max_bytes) {
    vx_store *store = NULL;
    vx_store_params params = {.data_dir = dir, .max_upload_bytes = max_bytes};
    assert_int_equal(vx_store_open(&params, &store, NULL), 0);
    return store;
}

static vx_upload *sealed(vx_store *store, const char *text) {
    vx_upload *upload = NULL;
    assert_int_equal(vx_upload_begin(store, -1, &upload, NULL), 0);
    assert_int_equal(vx_upload_write(upload, text, strlen(text), NULL), 0);
    assert_int_equal(vx_upload_seal(upload, NULL), 0);
    return upload;
}

static bool exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

/* SHA-256("abc"), FIPS 180-2 appendix B.1. */
static const uint8_t sha256_of_abc[32] = {
    0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
    0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
};

static void upload_in_pieces_has_the_published_digest(void **state) {
    (void)state;
    VX_AUTO(vx_store) store = open_store(0);
    VX_AUTO(vx_upload) upload = NULL;
    assert_int_equal(vx_upload_begin(store, 3, &upload, NULL), 0);
    assert_int_equal(vx_upload_write(upload, "a", 1, NULL), 0);
    assert_int_equal(vx_upload_write(upload, "bc", 2, NULL), 0);
    assert_int_equal(vx_upload_seal(upload, NULL), 0);
    assert_memory_equal(vx_upload_sha256(upload), sha256_of_abc, 32);
    assert_int_equal(vx_upload_bytes(upload), 3);
}

static void upload_ended_is_readable_and_has_its_digest_before_it_is_sealed(void **state) {
    (void)state;
    VX_AUTO(vx_store) store = open_store(0);
    VX_AUTO(vx_upload) upload = NULL;
    assert_int_equal(vx_upload_begin(store, 3, &upload, NULL), 0);
    assert_int_equal(vx_upload_write(upload, "abc", 3, NULL), 0);
    assert_int_equal(vx_upload_end(upload, NULL), 0);
    assert_memory_equal(vx_upload_sha256(upload), sha256_of_abc, 32);
    VX_AUTO(vx_upload) same = NULL;
    assert_int_equal(vx_upload_external(vx_upload_path(upload), &same, NULL), 0);
    assert_memory_equal(vx_upload_sha256(same), sha256_of_abc, 32);
    assert_int_equal(vx_upload_end(upload, NULL), 0);
    assert_int_equal(vx_upload_seal(upload, NULL), 0);
    assert_memory_equal(vx_upload_sha256(upload), sha256_of_abc, 32);
}

static void upload_ended_and_dropped_leaves_no_file(void **state) {
    (void)state;
    VX_AUTO(vx_store) store = open_store(0);
    vx_upload *upload = NULL;
    assert_int_equal(vx_upload_begin(store, -1, &upload, NULL), 0);
    assert_int_equal(vx_upload_end(upload, NULL), 0);
    VX_AUTO_FREE char *path = strdup(vx_upload_path(upload));
    assert_true(exists(path));
    vx_upload_free(upload);
    assert_false(exists(path));
}

static void sync_of_many_folders_fails_if_one_is_gone(void **state) {
    (void)state;
    VX_AUTO(vx_store) store = open_store(0);
    uint8_t digests[64][32];
    for (int i = 0; i < 64; i++)
        memset(digests[i], i / 2, 32); /* two of each folder */
    assert_int_equal(vx_store_sync(store, (const uint8_t(*)[32])digests, 64, NULL), 0);
    char folder[PATH_MAX];
    assert_true(snprintf(folder, sizeof folder, "%s/media/0b", dir) < (int)sizeof folder);
    assert_int_equal(rmdir(folder), 0);
    vx_err err;
    assert_int_equal(vx_store_sync(store, (const uint8_t(*)[32])digests, 64, &err), -ENOENT);
    assert_non_null(strstr(err.msg, "media/0b"));
    assert_int_equal(vx_store_sync(store, (const uint8_t(*)[32])digests, 2, &err), 0);
}

static void upload_published_lies_under_its_digest(void **state) {
    (void)state;
    VX_AUTO(vx_store) store = open_store(0);
    vx_upload *upload = sealed(store, "abc");
    assert_int_equal(vx_upload_publish(upload, NULL), 0);
    assert_int_equal(vx_store_sync(store, &sha256_of_abc, 1, NULL), 0);
    vx_upload_free(upload);
    char path[PATH_MAX];
    vx_store_path(store, sha256_of_abc, path, sizeof path);
    assert_non_null(strstr(path, "/media/ba/ba7816bf"));
    assert_true(exists(path));
    assert_int_equal(vx_store_remove(store, sha256_of_abc, NULL), 0);
    assert_int_equal(vx_store_remove(store, sha256_of_abc, NULL), 0);
    assert_false(exists(path));
}

static void upload_unpublished_is_sealed_again_and_goes_with_its_owner(void **state) {
    (void)state;
    VX_AUTO(vx_store) store = open_store(0);
    vx_upload *upload = sealed(store, "abc");
    assert_int_equal(vx_upload_publish(upload, NULL), 0);
    assert_int_equal(vx_upload_unpublish(upload, NULL), 0);
    char path[PATH_MAX];
    vx_store_path(store, sha256_of_abc, path, sizeof path);
    assert_false(exists(path));
    snprintf(path, sizeof path, "%s", vx_upload_path(upload));
    assert_true(exists(path));
    vx_upload_free(upload);
    assert_false(exists(path));
}

static bool is_synced(const char *path) {
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    for (int i = 0; i < n_synced; i++)
        if (synced[i] == info.st_ino)
            return true;
    return false;
}

/* Also where an earlier start made the folders, and a crash came before their sync. */
static void names_down_to_that_of_the_data_folder_are_durable_at_every_start(void **state) {
    (void)state;
    char data[96], media[112];
    snprintf(data, sizeof data, "%s/data", dir);
    snprintf(media, sizeof media, "%s/media", data);
    for (int start = 0; start < 2; start++) {
        VX_AUTO(vx_store) store = NULL;
        n_synced = 0;
        assert_int_equal(vx_store_open(&(vx_store_params){.data_dir = data}, &store, NULL), 0);
        assert_true(is_synced(dir));
        assert_true(is_synced(data));
        assert_true(is_synced(media));
    }
}

static void stored_file_that_is_gone_or_cut_off_is_missed_and_restored(void **state) {
    (void)state;
    VX_AUTO(vx_store) store = open_store(0);
    char path[PATH_MAX];
    vx_store_path(store, sha256_of_abc, path, sizeof path);
    for (int round = 0; round < 2; round++) {
        if (round == 1)
            assert_int_equal(truncate(path, 1), 0);
        assert_false(vx_store_has(store, sha256_of_abc, 3));
        VX_AUTO(vx_upload) upload = sealed(store, "abc");
        n_synced = 0;
        assert_int_equal(vx_upload_restore(upload, NULL), 0);
        assert_true(n_synced > 0);
        assert_true(vx_store_has(store, sha256_of_abc, 3));
        assert_false(vx_store_has(store, sha256_of_abc, 4));
    }
    assert_true(exists(path)); /* it does not go with its upload */
}

static void upload_abandoned_leaves_no_file(void **state) {
    (void)state;
    VX_AUTO(vx_store) store = open_store(0);
    vx_upload *upload = NULL;
    char path[PATH_MAX];
    assert_int_equal(vx_upload_begin(store, -1, &upload, NULL), 0);
    assert_int_equal(vx_upload_write(upload, "half", 4, NULL), 0);
    snprintf(path, sizeof path, "%s", vx_upload_path(upload));
    assert_true(exists(path));
    vx_upload_free(upload);
    assert_false(exists(path));
}

static void upload_over_the_limit_is_refused_announced_or_not(void **state) {
    (void)state;
    VX_AUTO(vx_store) store = open_store(4);
    VX_AUTO(vx_upload) upload = NULL;
    vx_err err = {0};
    assert_int_equal(vx_upload_begin(store, 5, &upload, &err), VX_UPLOAD_TOO_LARGE);
    assert_int_equal(vx_upload_begin(store, -1, &upload, &err), 0);
    assert_int_equal(vx_upload_write(upload, "1234", 4, &err), 0);
    assert_int_equal(vx_upload_write(upload, "5", 1, &err), VX_UPLOAD_TOO_LARGE);
}

static void upload_larger_than_the_free_disk_is_refused_before_it_begins(void **state) {
    (void)state;
    VX_AUTO(vx_store) store = open_store(0);
    vx_upload *upload = NULL;
    vx_err err = {0};
    assert_int_equal(vx_upload_begin(store, INT64_MAX / 2, &upload, &err), -ENOSPC);
    assert_non_null(strstr(err.msg, "bytes free"));
}

static void upload_of_any_announced_size_leaves_the_reserve_free(void **state) {
    (void)state;
    vx_store_params params = {.data_dir = dir, .reserve_bytes = 1};
    VX_AUTO(vx_store) store = NULL;
    vx_upload *upload = NULL;
    vx_err err = {0};
    assert_int_equal(vx_store_open(&params, &store, NULL), 0);
    assert_int_equal(vx_upload_begin(store, INT64_MAX, &upload, &err), -ENOSPC);
}

static void upload_kept_is_adopted_after_a_restart_with_its_bytes_checked(void **state) {
    (void)state;
    char name[64];
    vx_store *store = open_store(0);
    vx_upload *upload = sealed(store, "abc");
    assert_int_equal(vx_upload_keep(upload, NULL), 0);
    snprintf(name, sizeof name, "%s", vx_upload_name(upload));
    vx_upload_free(upload);
    vx_store_close(store);

    store = open_store(0);
    upload = NULL;
    uint8_t other[32] = {1};
    assert_int_equal(vx_upload_adopt(store, name, other, &upload, NULL), 0);
    assert_int_equal(vx_upload_verify(upload, NULL), -EIO);
    upload = vx_upload_free(upload);
    assert_int_equal(vx_upload_adopt(store, name, sha256_of_abc, &upload, NULL), 0);
    assert_memory_equal(vx_upload_sha256(upload), sha256_of_abc, 32);
    assert_int_equal(vx_upload_verify(upload, NULL), 0);
    assert_int_equal(vx_upload_bytes(upload), 3);
    vx_upload_unkeep(upload);
    upload = vx_upload_free(upload);
    assert_int_equal(vx_upload_adopt(store, name, sha256_of_abc, &upload, NULL), 0);
    assert_int_equal(vx_upload_verify(upload, NULL), -ENOENT);
    upload = vx_upload_free(upload);
    assert_int_equal(vx_upload_adopt(store, "../catalog.db", sha256_of_abc, &upload, NULL),
                     -EINVAL);
    vx_store_close(store);
}

static void upload_published_before_a_crash_is_adopted_out_of_the_store(void **state) {
    (void)state;
    VX_AUTO(vx_store) store = open_store(0);
    VX_AUTO(vx_upload) upload = sealed(store, "abc");
    assert_int_equal(vx_upload_keep(upload, NULL), 0);
    assert_int_equal(vx_upload_publish(upload, NULL), 0); /* and the transaction never commits */
    VX_AUTO(vx_upload) adopted = NULL;
    const char *name = vx_upload_name(upload);
    assert_int_equal(vx_upload_adopt(store, name, sha256_of_abc, &adopted, NULL), 0);
    assert_int_equal(vx_upload_verify(adopted, NULL), 0);
    assert_true(exists(vx_upload_path(adopted)));
    assert_false(exists(vx_upload_path(upload)));
}

static void kept_file_that_no_upload_holds_is_discarded_by_its_name(void **state) {
    (void)state;
    VX_AUTO(vx_store) store = open_store(0);
    VX_AUTO(vx_upload) upload = sealed(store, "abc");
    assert_int_equal(vx_upload_keep(upload, NULL), 0);
    assert_int_equal(vx_store_discard(store, vx_upload_name(upload), NULL), 0);
    assert_false(exists(vx_upload_path(upload)));
    assert_int_equal(vx_store_discard(store, vx_upload_name(upload), NULL), 0);
    assert_int_equal(vx_store_discard(store, "../catalog.db", NULL), -EINVAL);
}

static void external_file_is_hashed_and_never_removed(void **state) {
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/mine.mp4", dir);
    FILE *file = fopen(path, "w");
    fputs("abc", file);
    fclose(file);
    vx_upload *upload = NULL;
    assert_int_equal(vx_upload_external(path, &upload, NULL), 0);
    assert_memory_equal(vx_upload_sha256(upload), sha256_of_abc, 32);
    assert_int_equal(vx_upload_publish(upload, NULL), 0);
    assert_string_equal(vx_upload_external_path(upload), path);
    vx_upload_free(upload);
    assert_true(exists(path));
}

static bool count_down(void *ctx, int64_t n_bytes) {
    (void)n_bytes;
    return (*(int *)ctx)-- > 0;
}

static void file_in_place_is_read_by_its_descriptor(void **state) {
    (void)state;
    char path[128], other[128];
    snprintf(path, sizeof path, "%s/place.mp4", dir);
    snprintf(other, sizeof other, "%s/moved.mp4", dir);
    FILE *file = fopen(path, "w");
    fputs("abc", file);
    fclose(file);
    VX_AUTO(vx_upload) upload = NULL;
    int calls = 10, none = 0;
    assert_int_equal(vx_upload_in_place(open(path, O_RDONLY), count_down, &calls, &upload, NULL),
                     0);
    assert_int_equal(calls, 8); /* before the first MiB, and before the end is met */
    assert_memory_equal(vx_upload_sha256(upload), sha256_of_abc, 32);
    assert_string_equal(vx_upload_external_path(upload), VX_IN_PLACE);
    assert_int_equal(rename(path, other), 0);
    VX_AUTO_FD int again = open(vx_upload_path(upload), O_RDONLY);
    char text[4] = "";
    assert_int_equal(read(again, text, 4), 3);
    assert_string_equal(text, "abc");
    VX_AUTO(vx_upload) stopped = NULL;
    assert_int_equal(vx_upload_in_place(open(other, O_RDONLY), count_down, &none, &stopped, NULL),
                     -ECANCELED);
    assert_null(stopped);
}

static int open_abc(void *ctx, const uint8_t sha256[32], int *ret_fd, vx_err *err) {
    (void)sha256;
    if (!ctx)
        return VX_FAIL(err, -ENOENT, "it is missing");
    *ret_fd = open(ctx, O_RDONLY);
    return 0;
}

static void file_of_a_video_is_found_wherever_it_lies(void **state) {
    (void)state;
    char mine[128], stored[PATH_MAX];
    snprintf(mine, sizeof mine, "%s/found.mp4", dir);
    fclose(fopen(mine, "w"));
    VX_AUTO(vx_store) store = open_store(0);
    vx_stored_file file = VX_NO_STORED_FILE;
    vx_store_path(store, sha256_of_abc, stored, sizeof stored);
    assert_int_equal(vx_store_find_file(store, sha256_of_abc, NULL, &file, NULL), 0);
    assert_string_equal(file.path, stored);
    assert_int_equal(vx_store_find_file(store, sha256_of_abc, "/films/a.mp4", &file, NULL), 0);
    assert_string_equal(file.path, "/films/a.mp4");
    assert_int_equal(vx_store_find_file(store, sha256_of_abc, "", &file, NULL), -ENOENT);
    assert_int_equal(vx_store_find_file(store, sha256_of_abc, VX_IN_PLACE, &file, NULL), -ENOENT);
    vx_store_set_in_place(store, open_abc, NULL);
    assert_int_equal(vx_store_find_file(store, sha256_of_abc, VX_IN_PLACE, &file, NULL), -ENOENT);
    vx_store_set_in_place(store, open_abc, mine);
    assert_int_equal(vx_store_find_file(store, sha256_of_abc, VX_IN_PLACE, &file, NULL), 0);
    assert_true(file.fd >= 0 && exists(file.path));
    vx_stored_file_release(&file);
    assert_false(exists(file.path));
    vx_stored_file_release(&file);
}

static bool is_abc(void *ctx, const uint8_t sha256[32]) {
    (void)ctx;
    return !memcmp(sha256, sha256_of_abc, 32);
}

static bool is_named(void *ctx, const char *name) {
    return !strcmp(ctx, name);
}

static void store_without_memory_leaves_other_descriptors_alone(void **state) {
    (void)state;
    vx_store *store = NULL;
    vx_store_params params = {.data_dir = dir};
    no_memory = true;
    int rc = vx_store_open(&params, &store, NULL);
    no_memory = false;
    assert_int_equal(rc, -ENOMEM);
    assert_true(fcntl(STDIN_FILENO, F_GETFD) >= 0);
}

static void publish_without_memory_leaves_the_file_where_it_was(void **state) {
    (void)state;
    VX_AUTO(vx_store) store = open_store(0);
    VX_AUTO(vx_upload) upload = sealed(store, "abc");
    no_memory = true;
    int rc = vx_upload_publish(upload, NULL);
    no_memory = false;
    assert_int_equal(rc, -ENOMEM);
    assert_true(exists(vx_upload_path(upload)));
    assert_int_equal(vx_upload_publish(upload, NULL), 0);
    assert_true(exists(vx_upload_path(upload)));
    assert_int_equal(vx_upload_unpublish(upload, NULL), 0);
}

static void upload_that_cannot_be_made_durable_is_neither_sealed_nor_kept(void **state) {
    (void)state;
    vx_store *store = open_store(0);
    VX_AUTO(vx_upload) ended = NULL;
    VX_AUTO(vx_upload) done = sealed(store, "sealed");
    assert_int_equal(vx_upload_begin(store, -1, &ended, NULL), 0);
    assert_int_equal(vx_upload_write(ended, "ended", 5, NULL), 0);
    no_sync = true;
    int seal = vx_upload_seal(ended, NULL), keep = vx_upload_keep(done, NULL);
    no_sync = false;
    assert_int_equal(seal, -EIO);
    assert_int_equal(keep, -EIO);
    assert_int_equal(vx_upload_seal(ended, NULL), 0);
    assert_int_equal(vx_upload_keep(done, NULL), 0);
    vx_upload_unkeep(done);
    vx_upload_free(vx_take(ended));
    vx_upload_free(vx_take(done));
    vx_store_close(store);
}

static void sweep_removes_only_what_nobody_knows(void **state) {
    (void)state;
    VX_AUTO(vx_store) store = open_store(0);
    vx_upload *known = sealed(store, "abc"), *orphan = sealed(store, "orphan");
    vx_upload *wanted = sealed(store, "wanted"), *stale = sealed(store, "stale");
    assert_int_equal(vx_upload_publish(known, NULL) | vx_upload_publish(orphan, NULL), 0);
    assert_int_equal(vx_upload_keep(wanted, NULL) | vx_upload_keep(stale, NULL), 0);
    char note[128];
    snprintf(note, sizeof note, "%s/media/ba/notes.txt", dir);
    fclose(fopen(note, "w"));
    int64_t removed = 0;
    char wanted_name[64];
    snprintf(wanted_name, sizeof wanted_name, "%s", vx_upload_name(wanted));
    assert_int_equal(vx_store_sweep(store, is_abc, is_named, wanted_name, &removed, NULL), 0);
    assert_int_equal(removed, 2);
    assert_true(exists(vx_upload_path(known)) && exists(vx_upload_path(wanted)) && exists(note));
    assert_false(exists(vx_upload_path(orphan)) || exists(vx_upload_path(stale)));
    vx_upload_free(known), vx_upload_free(orphan), vx_upload_free(wanted), vx_upload_free(stale);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(upload_in_pieces_has_the_published_digest),
        TEST(upload_ended_is_readable_and_has_its_digest_before_it_is_sealed),
        TEST(upload_ended_and_dropped_leaves_no_file),
        TEST(sync_of_many_folders_fails_if_one_is_gone),
        TEST(upload_published_lies_under_its_digest),
        TEST(upload_unpublished_is_sealed_again_and_goes_with_its_owner),
        TEST(upload_abandoned_leaves_no_file),
        TEST(names_down_to_that_of_the_data_folder_are_durable_at_every_start),
        TEST(stored_file_that_is_gone_or_cut_off_is_missed_and_restored),
        TEST(upload_over_the_limit_is_refused_announced_or_not),
        TEST(upload_larger_than_the_free_disk_is_refused_before_it_begins),
        TEST(upload_of_any_announced_size_leaves_the_reserve_free),
        TEST(upload_kept_is_adopted_after_a_restart_with_its_bytes_checked),
        TEST(kept_file_that_no_upload_holds_is_discarded_by_its_name),
        TEST(upload_published_before_a_crash_is_adopted_out_of_the_store),
        TEST(external_file_is_hashed_and_never_removed),
        TEST(file_in_place_is_read_by_its_descriptor),
        TEST(file_of_a_video_is_found_wherever_it_lies),
        TEST(store_without_memory_leaves_other_descriptors_alone),
        TEST(publish_without_memory_leaves_the_file_where_it_was),
        TEST(upload_that_cannot_be_made_durable_is_neither_sealed_nor_kept),
        TEST(sweep_removes_only_what_nobody_knows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
