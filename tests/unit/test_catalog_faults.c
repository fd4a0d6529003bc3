/* Full disks, killed processes, syncs, and readers beside a writer. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "catalog_fixture.h"

/* ---- Syncs: these definitions go before the C library's, for SQLite too ---- */

static atomic_int n_syncs, n_folder_syncs;

__attribute__((visibility("default"))) int fdatasync(int fd);
__attribute__((visibility("default"))) int fsync(int fd);

int fdatasync(int fd) {
    atomic_fetch_add(&n_syncs, 1);
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd) {
    struct stat facts;
    atomic_fetch_add(&n_syncs, 1);
    if (!fstat(fd, &facts) && S_ISDIR(facts.st_mode))
        atomic_fetch_add(&n_folder_syncs, 1);
    return (int)syscall(SYS_fsync, fd);
}

static void commit_of_a_video_or_a_group_is_one_sync(void **state) {
    fixture *f = *state;
    vx_video_free(add_video(f, 1, 1)); /* the log exists from here on */
    atomic_store(&n_syncs, 0);
    vx_video_free(add_video(f, 2, 1));
    assert_int_equal(atomic_load(&n_syncs), 1);
    OK(vx_catalog_begin(f->catalog, &oops));
    for (int seed = 3; seed < 20; seed++) {
        VX_AUTO(vx_video) v = make_video(seed, 3);
        OK(vx_catalog_savepoint(f->catalog, &oops));
        OK(insert_all(f, v, seed, &oops));
        OK(vx_catalog_release(f->catalog, &oops));
    }
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_int_equal(atomic_load(&n_syncs), 2);
}

static void name_of_a_new_catalog_is_durable_before_its_first_commit(void **state) {
    fixture *f = *state;
    f->catalog = vx_catalog_close(f->catalog);
    unlink(f->path);
    atomic_store(&n_folder_syncs, 0);
    fixture_open(f);
    assert_true(atomic_load(&n_folder_syncs) > 0);
}

/* ---- A full disk, injected into SQLite's own system calls ---- */

static int writes_left = -1; /* -1 = the disk is never full */
static bool stays_full;

static bool disk_is_full(void) {
    if (writes_left < 0)
        return false;
    if (writes_left > 0) {
        writes_left--;
        return false;
    }
    if (!stays_full)
        writes_left = -1;
    errno = ENOSPC;
    return true;
}

static ssize_t full_pwrite(int fd, const void *data, size_t n, off_t offset) {
    return disk_is_full() ? -1 : pwrite(fd, data, n, offset);
}

static ssize_t full_write(int fd, const void *data, size_t n) {
    return disk_is_full() ? -1 : write(fd, data, n);
}

static void inject_writes(bool on) {
    static const struct {
        const char *name;
        sqlite3_syscall_ptr replacement;
    } calls[] = {{"write", (sqlite3_syscall_ptr)full_write},
                 {"pwrite", (sqlite3_syscall_ptr)full_pwrite},
                 {"pwrite64", (sqlite3_syscall_ptr)full_pwrite}};
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    for (size_t i = 0; i < VX_LEN(calls); i++)
        if (vfs->xGetSystemCall(vfs, calls[i].name))
            vfs->xSetSystemCall(vfs, calls[i].name, on ? calls[i].replacement : NULL);
}

static int try_add(fixture *f, int seed) {
    VX_AUTO(vx_video) v = make_video(seed, 2);
    vx_err err;
    int rc = vx_catalog_begin(f->catalog, &err);
    if (rc)
        return rc;
    rc = insert_all(f, v, seed, &err);
    int commit_rc = vx_catalog_commit(f->catalog, &err);
    return rc ? rc : commit_rc;
}

/* The n-th write fails, for every n until a transaction needs fewer. */
static void disk_full_at_any_write_undoes_that_transaction_only(void **state) {
    fixture *f = *state;
    int failures = 0, stored = 0;
    inject_writes(true);
    for (int round = 0; round < 2; round++) {
        stays_full = round == 1;
        for (int n = 0;; n++) {
            writes_left = n;
            int rc = try_add(f, 1000 * round + 2 * n + 1);
            writes_left = -1;
            stored += rc == 0;
            assert_int_equal(raw_int(f, "SELECT count(*) FROM videos"), stored);
            assert_int_equal(raw_int(f, "SELECT count(*) FROM vectors"), 2 * stored);
            if (rc == 0)
                break;
            assert_int_equal(rc, -ENOSPC);
            failures++;
            assert_int_equal(try_add(f, 1000 * round + 2 * n + 2), 0);
            stored++;
        }
    }
    inject_writes(false);
    assert_true(failures >= 10); /* a commit writes some ten pages: the injection does bite */
    fixture_reopen(f);
    assert_int_equal(raw_int(f, "SELECT count(*) FROM videos"), stored);
}

static void transaction_lost_in_the_middle_is_not_committed_in_part(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) first = make_video(1, 1);
    VX_AUTO(vx_video) second = make_video(2, 1);
    VX_AUTO(vx_video) third = make_video(3, 1);
    static uint8_t big[4 << 20];
    vx_err err;
    vx_catalog *c = f->catalog;
    sqlite3_exec(c->writer.handle, "PRAGMA max_page_count = 100", NULL, NULL, NULL);
    OK(vx_catalog_begin(c, &oops));
    OK(vx_catalog_savepoint(c, &oops));
    OK(insert_all(f, first, 1, &oops));
    OK(vx_catalog_release(c, &oops));
    OK(vx_catalog_savepoint(c, &oops));
    OK(vx_catalog_insert_video(c, second, &oops));
    assert_int_equal(vx_catalog_insert_fingerprint(c, second->row, big, sizeof big, &err), -ENOSPC);
    assert_false(vx_db_in_transaction(&c->writer)); /* what makes this test worth having */
    vx_catalog_rollback_to(c);
    assert_int_equal(vx_catalog_savepoint(c, &err), -ENOSPC);
    assert_int_equal(insert_all(f, third, 3, &err), -ENOSPC);
    assert_int_equal(vx_catalog_commit(c, &err), -ENOSPC);
    assert_string_equal(err.msg, "catalog: an earlier failure undid the transaction: "
                                 "No space left on device");
    assert_int_equal(raw_int(f, "SELECT count(*) FROM videos"), 0);
    vx_video_free(add_video(f, 4, 1));
    assert_int_equal(raw_int(f, "SELECT count(*) FROM videos"), 1);
}

/* The same on a real file system, where the test may mount one. */
static void disk_really_full_keeps_the_acknowledged_and_recovers(void **state) {
    fixture *f = *state;
    char dir[80], filler[96];
    snprintf(dir, sizeof dir, "%s/small", f->dir);
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mkdir(dir, 0700) || mount("vx", dir, "tmpfs", 0, "size=4m")) {
        rmdir(dir);
        skip();
    }
    fixture small = {0};
    snprintf(small.path, sizeof small.path, "%s/catalog.db", dir);
    snprintf(filler, sizeof filler, "%s/filler", dir);
    FILE *file = fopen(filler, "wb");
    for (int i = 0; i < 1 << 20; i++)
        fputc('x', file);
    assert_int_equal(fclose(file), 0);
    fixture_open(&small);
    OK(vx_catalog_begin(small.catalog, &oops));
    OK(vx_catalog_insert_vector_space(small.catalog, "test", "d1", DIM, &small.space, &oops));
    OK(vx_catalog_commit(small.catalog, &oops));
    int stored = 0, rc = 0;
    while (stored < 1000 && (rc = try_add(&small, stored + 1)) == 0)
        stored++;
    assert_int_equal(rc, -ENOSPC);
    assert_true(stored > 3);
    assert_int_equal(raw_int(&small, "SELECT count(*) FROM videos"), stored);
    unlink(filler);
    assert_int_equal(try_add(&small, 2000), 0);
    fixture_reopen(&small);
    assert_int_equal(raw_int(&small, "SELECT count(*) FROM videos"), stored + 1);
    vx_catalog_close(small.catalog);
    assert_int_equal(umount(dir), 0);
    rmdir(dir);
}

/* ---- A killed process ---- */

/* Commits n videos, starts one more, and dies without closing anything. */
static void add_and_die(const char *path, int n) {
    fixture f = {0};
    snprintf(f.path, sizeof f.path, "%s", path);
    vx_err err;
    if (vx_catalog_open(path, 0, &f.catalog, &err) || vx_catalog_begin(f.catalog, &err) ||
        vx_catalog_insert_vector_space(f.catalog, "test", "d1", DIM, &f.space, &err) ||
        vx_catalog_commit(f.catalog, &err))
        _exit(1);
    for (int seed = 1; seed <= n + 1; seed++) {
        vx_video *v = make_video(seed, 2);
        if (vx_catalog_begin(f.catalog, &err) || insert_all(&f, v, seed, &err))
            _exit(1);
        if (seed <= n && vx_catalog_commit(f.catalog, &err))
            _exit(1);
    }
    raise(SIGKILL);
}

static void process_killed_in_a_transaction_loses_that_one_only(void **state) {
    fixture *f = *state;
    f->catalog = vx_catalog_close(f->catalog);
    pid_t child = fork();
    if (child == 0)
        add_and_die(f->path, 7);
    int status = 0;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    fixture_open(f);
    int64_t n = 0;
    OK(vx_catalog_count_videos(f->catalog, &n, &oops));
    assert_int_equal(n, 7);
    assert_int_equal(raw_int(f, "SELECT count(*) FROM vectors"), 14);
    assert_int_equal(raw_int(f, "SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
}

/* ---- Readers beside a writer ---- */

typedef struct readers {
    fixture *f;
    atomic_bool stop;
    atomic_int n_reads, n_wrong;
} readers;

/* A page must be of one moment: every video has its two clips, and they have their vectors. */
static int check_page(fixture *f) {
    vx_video **videos = NULL;
    size_t n = 0;
    int wrong = 0;
    vx_video_query query = {.limit = 50};
    if (vx_catalog_list_videos(f->catalog, &query, &videos, &n, NULL))
        return 1;
    for (size_t i = 0; i < n; i++) {
        float vector[DIM], expected[DIM];
        wrong += videos[i]->n_clips != 2;
        for (size_t j = 0; j < videos[i]->n_clips; j++) {
            int64_t clip = videos[i]->clips[j].row;
            make_vector(clip, f->space, expected);
            int rc = vx_catalog_get_vector(f->catalog, f->space, clip, vector, DIM, NULL);
            wrong += rc != VX_CATALOG_NOT_FOUND && /* deleted since */
                     (rc || memcmp(vector, expected, sizeof vector));
        }
        vx_video_free(videos[i]);
    }
    free(videos);
    return wrong;
}

static void *read_on(void *ctx) {
    readers *r = ctx;
    while (!atomic_load(&r->stop)) {
        atomic_fetch_add(&r->n_wrong, check_page(r->f));
        atomic_fetch_add(&r->n_reads, 1);
    }
    return NULL;
}

static void readers_beside_a_writer_see_whole_transactions(void **state) {
    fixture *f = *state;
    readers r = {.f = f};
    pthread_t threads[6]; /* more than the pool has connections */
    for (size_t i = 0; i < VX_LEN(threads); i++)
        OK(vx_thread_start(&threads[i], "reader", read_on, &r, &oops));
    for (int seed = 1; seed <= 60 || atomic_load(&r.n_reads) < 60; seed++) {
        VX_AUTO(vx_video) v = add_video(f, seed, 2);
        OK(vx_catalog_begin(f->catalog, &oops));
        if (seed % 3 == 0)
            OK(vx_catalog_delete_video(f->catalog, v->id, &oops));
        OK(vx_catalog_commit(f->catalog, &oops));
    }
    atomic_store(&r.stop, true);
    for (size_t i = 0; i < VX_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&r.n_wrong), 0);
}

static void *add_ten(void *ctx) {
    fixture *f = ctx;
    static atomic_int next_seed = 1;
    for (int i = 0; i < 10; i++)
        vx_video_free(add_video(f, atomic_fetch_add(&next_seed, 1), 1));
    return NULL;
}

static void writers_on_many_threads_take_turns(void **state) {
    fixture *f = *state;
    pthread_t threads[4];
    for (size_t i = 0; i < VX_LEN(threads); i++)
        OK(vx_thread_start(&threads[i], "writer", add_ten, f, &oops));
    for (size_t i = 0; i < VX_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(raw_int(f, "SELECT count(*) FROM videos"), 40);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(commit_of_a_video_or_a_group_is_one_sync),
        TEST(name_of_a_new_catalog_is_durable_before_its_first_commit),
        TEST(disk_full_at_any_write_undoes_that_transaction_only),
        TEST(transaction_lost_in_the_middle_is_not_committed_in_part),
        TEST(disk_really_full_keeps_the_acknowledged_and_recovers),
        TEST(process_killed_in_a_transaction_loses_that_one_only),
        TEST(readers_beside_a_writer_see_whole_transactions),
        TEST(writers_on_many_threads_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
