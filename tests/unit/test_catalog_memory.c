/* Memory that runs out inside SQLite: the n-th allocation fails, for every n. */
#include <errno.h>

#include "catalog_fixture.h"

static sqlite3_mem_methods plain;
static int allocations_left = -1; /* -1 = memory is never out */

static bool memory_is_out(void) {
    if (allocations_left < 0)
        return false;
    return allocations_left-- == 0; /* one fails, the next ones work again */
}

static void *failing_malloc(int bytes) {
    return memory_is_out() ? NULL : plain.xMalloc(bytes);
}

static void *failing_realloc(void *block, int bytes) {
    return memory_is_out() ? NULL : plain.xRealloc(block, bytes);
}

static void install_allocator(void) {
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &plain), SQLITE_OK);
    sqlite3_mem_methods failing = plain;
    failing.xMalloc = failing_malloc;
    failing.xRealloc = failing_realloc;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &failing), SQLITE_OK);
}

/* Statements not yet prepared: more places to fail. The disk is not what is tested here. */
static void reopen_without_syncs(fixture *f) {
    fixture_reopen(f);
    sqlite3_exec(f->catalog->writer.handle, "PRAGMA synchronous = OFF", NULL, NULL, NULL);
}

/* True when the countdown ran out, so that a larger n has something left to break. */
static bool was_used_up(void) {
    bool used_up = allocations_left < 0;
    allocations_left = -1;
    return used_up;
}

/* As a committer does: an item that fails is undone and the group goes on. Counts the items that
 * went well; they are stored if the result is 0. */
static int group_of_three(fixture *f, int seed, int *ret_n_ok) {
    vx_err err;
    *ret_n_ok = 0;
    int rc = vx_catalog_begin(f->catalog, &err);
    if (rc)
        return rc;
    for (int i = 0; i < 3; i++) {
        VX_AUTO(vx_video) v = make_video(seed + i, 2);
        if (vx_catalog_savepoint(f->catalog, &err))
            continue;
        int item_rc = insert_all(f, v, seed + i, &err);
        if (!item_rc)
            item_rc = vx_catalog_release(f->catalog, &err);
        if (item_rc)
            vx_catalog_rollback_to(f->catalog);
        *ret_n_ok += item_rc == 0;
    }
    return vx_catalog_commit(f->catalog, &err);
}

static void group_out_of_memory_stores_what_it_says(void **state) {
    fixture *f = *state;
    int failures = 0;
    bool used_up = true;
    for (int n = 0; used_up; n += 1 + n / 50) {
        reopen_without_syncs(f);
        int64_t before = raw_int(f, "SELECT count(*) FROM videos");
        allocations_left = n;
        int n_ok, rc = group_of_three(f, 3 * n + 1, &n_ok);
        used_up = was_used_up();
        assert_true(rc == 0 || rc == -ENOMEM);
        failures += rc != 0 || n_ok < 3;
        int64_t added = raw_int(f, "SELECT count(*) FROM videos") - before;
        assert_int_equal(added, rc ? 0 : n_ok);
    }
    assert_true(failures > 50);
    vx_video_free(add_video(f, 100000, 1));
}

static void read_out_of_memory_fails_and_the_next_read_works(void **state) {
    fixture *f = *state;
    for (int seed = 1; seed <= 3; seed++)
        vx_video_free(add_video(f, seed, 2));
    int failures = 0;
    bool used_up = true;
    for (int n = 0; used_up; n += 1 + n / 50) {
        reopen_without_syncs(f);
        vx_video **videos = NULL;
        size_t n_videos = 0;
        vx_video_query query = {.limit = 10};
        vx_err err;
        allocations_left = n;
        int rc = vx_catalog_list_videos(f->catalog, &query, &videos, &n_videos, &err);
        used_up = was_used_up();
        assert_true(rc == 0 || rc == -ENOMEM);
        failures += rc != 0;
        if (rc)
            OK(vx_catalog_list_videos(f->catalog, &query, &videos, &n_videos, &oops));
        assert_int_equal(n_videos, 3);
        for (size_t i = 0; i < n_videos; i++) {
            assert_int_equal(strlen(videos[i]->id), VX_VIDEO_ID_CHARS);
            assert_int_equal(videos[i]->n_clips, 2);
            vx_video_free(videos[i]);
        }
        free(videos);
    }
    assert_true(failures > 20);
}

static void open_out_of_memory_fails_and_the_next_one_works(void **state) {
    fixture *f = *state;
    f->catalog = vx_catalog_close(f->catalog);
    int failures = 0;
    bool used_up = true;
    for (int n = 0; used_up; n += 1 + n / 50) {
        allocations_left = n;
        vx_err err;
        int rc = vx_catalog_open(f->path, 1, &f->catalog, &err);
        used_up = was_used_up();
        failures += rc != 0;
        assert_true(rc == 0 || rc == -ENOMEM);
        f->catalog = rc ? NULL : vx_catalog_close(f->catalog);
    }
    assert_true(failures > 50);
    fixture_open(f);
}

int main(void) {
    install_allocator(); /* before SQLite starts */
    const struct CMUnitTest tests[] = {
        TEST(group_out_of_memory_stores_what_it_says),
        TEST(read_out_of_memory_fails_and_the_next_read_works),
        TEST(open_out_of_memory_fails_and_the_next_one_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
