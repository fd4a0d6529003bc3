/* The columns of filters beside the catalog: what they missed, they read again, and filters are right meanwhile. */
#include <jansson.h>

#include "base/log.h"
#include "catalog_fixture.h"
#include "collection/collection.h"

static vx_models no_models;
static const atomic_bool never;

static vx_collection *open_collection(fixture *f) {
    vx_collection *collection = NULL;
    OK(vx_collection_open(f->catalog, &no_models, 1, false, &collection, &oops));
    return collection;
}

/* A video without a fingerprint. */
static vx_video *add(fixture *f, int seed) {
    vx_video *video = make_video(seed, 1);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_insert_video(f->catalog, video, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    return video;
}

/* The rows of videos with this name, newest first, as "3 1". */
static void assert_named(vx_collection *collection, const char *name, const char *expected) {
    char text[64], found[64] = "", pointer[VX_FILTER_POINTER_BYTES];
    snprintf(text, sizeof text, "{\"filename\": \"%s\"}", name);
    json_t *json = json_loads(text, 0, NULL);
    VX_AUTO(vx_filter) filter = NULL;
    OK(vx_filter_parse(json, NULL, &filter, pointer, &oops));
    json_decref(json);
    VX_AUTO_FREE int64_t *rows = NULL;
    size_t n = 0;
    OK(vx_collection_select(collection, filter, 0, 0, &rows, &n, &oops));
    for (size_t i = 0; i < n; i++)
        snprintf(found + strlen(found), sizeof found - strlen(found), i ? " %d" : "%d",
                 (int)rows[i]);
    assert_string_equal(found, expected);
}

static void rename_video(fixture *f, const vx_video *video, const char *name) {
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_set_filename(f->catalog, video->id, name, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
}

/* A video that another program puts back below those that the columns have is refused by them. */
static vx_video *lose_a_change(fixture *f, vx_collection **ret_collection) {
    vx_video *first = add(f, 1);
    vx_video_free(add(f, 2));
    vx_video_free(add(f, 3));
    raw_exec(f->path, "CREATE TABLE kept AS SELECT * FROM videos WHERE row = 1;"
                      "DELETE FROM videos WHERE row = 1");
    *ret_collection = open_collection(f);
    raw_exec(f->path, "INSERT INTO videos SELECT * FROM kept; DROP TABLE kept");
    assert_false(vx_collection_has_lost_columns(*ret_collection));
    rename_video(f, first, "new");
    assert_true(vx_collection_has_lost_columns(*ret_collection));
    return first;
}

static void change_that_the_columns_missed_is_found_in_the_catalog(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_collection) collection = NULL;
    VX_AUTO(vx_video) first = lose_a_change(f, &collection);
    assert_named(collection, "new", "1");
    VX_AUTO(vx_video) fourth = add(f, 4);
    rename_video(f, fourth, "new");
    assert_named(collection, "new", "4 1");
    rename_video(f, first, "old");
    assert_named(collection, "new", "4");
}

static void lost_columns_are_read_again_and_follow_changes(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_collection) collection = NULL;
    VX_AUTO(vx_video) first = lose_a_change(f, &collection);
    vx_collection_heal_columns(collection, &never);
    assert_false(vx_collection_has_lost_columns(collection));
    assert_named(collection, "new", "1");
    VX_AUTO(vx_video) fourth = add(f, 4);
    rename_video(f, fourth, "new");
    rename_video(f, first, "old");
    assert_false(vx_collection_has_lost_columns(collection));
    assert_named(collection, "new", "4");
    assert_named(collection, "old", "1");
}

static void healing_that_is_stopped_leaves_filters_to_the_catalog(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_collection) collection = NULL;
    vx_video_free(lose_a_change(f, &collection));
    const atomic_bool stop = true;
    vx_collection_heal_columns(collection, &stop);
    assert_true(vx_collection_has_lost_columns(collection));
    assert_named(collection, "new", "1");
}

typedef struct healer {
    vx_collection *collection;
    atomic_bool stop;
} healer;

static void *heal_again_and_again(void *ctx) {
    healer *h = ctx;
    while (!atomic_load(&h->stop)) {
        atomic_store(&h->collection->lost_columns.are_lost, true);
        vx_collection_heal_columns(h->collection, &never);
    }
    return NULL;
}

static void changes_during_healing_are_in_the_columns(void **state) {
    fixture *f = *state;
    vx_video *videos[200];
    VX_AUTO(vx_collection) collection = open_collection(f);
    healer h = {.collection = collection};
    pthread_t thread;
    OK(vx_thread_start(&thread, "healer", heal_again_and_again, &h, &oops));
    for (int i = 0; i < 200; i++) {
        videos[i] = add(f, i + 1);
        rename_video(f, videos[i], i % 2 ? "odd" : "even");
        if (i >= 100) {
            OK(vx_catalog_begin(f->catalog, &oops));
            OK(vx_catalog_delete_video(f->catalog, videos[i - 100]->id, &oops));
            OK(vx_catalog_commit(f->catalog, &oops));
        }
    }
    atomic_store(&h.stop, true);
    pthread_join(thread, NULL);
    assert_false(vx_collection_has_lost_columns(collection));
    for (int i = 103; i < 200; i++)
        rename_video(f, videos[i], "other");
    assert_named(collection, "odd", "102");
    assert_named(collection, "even", "103 101");
    for (int i = 0; i < 200; i++)
        vx_video_free(videos[i]);
}

int main(void) {
    vx_log_set_level(VX_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        TEST(change_that_the_columns_missed_is_found_in_the_catalog),
        TEST(lost_columns_are_read_again_and_follow_changes),
        TEST(healing_that_is_stopped_leaves_filters_to_the_catalog),
        TEST(changes_during_healing_are_in_the_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
