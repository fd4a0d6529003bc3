/* What an outside store has yet to hear: one row for each video that changed, whatever changed it. */
#include "catalog_fixture.h"

static void add_store(fixture *f, const char *name, int64_t space) {
    char url[] = "qdrant://example.org/clips";
    vx_outside_row row = {
        .url = url, .model = "m", .space = space, .check_due = 1, .created_us = 7};
    snprintf(row.name, sizeof row.name, "%s", name);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_insert_outside(f->catalog, &row, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
}

static size_t changes_above(fixture *f, int64_t above, vx_change ret[16]) {
    size_t n;
    int64_t counted;
    OK(vx_catalog_list_changes(f->catalog, above, 16, ret, &n, &oops));
    OK(vx_catalog_count_changes(f->catalog, above, &counted, &oops));
    assert_int_equal(n, counted);
    return n;
}

static int64_t last_change(fixture *f) {
    vx_change changes[16];
    size_t n = changes_above(f, 0, changes);
    return n ? changes[n - 1].seq : 0;
}

static int64_t add_space(fixture *f) {
    int64_t space;
    char digest[65];
    memset(digest, 'a', 64);
    digest[64] = 0;
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_insert_vector_space(f->catalog, "m", digest, 2, &space, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    return space;
}

static void without_a_store_nothing_is_noted(void **state) {
    fixture *f = *state;
    vx_change changes[16];
    VX_AUTO(vx_video) video = add_video(f, 1, 2);
    assert_true(video->row > 0);
    assert_int_equal(changes_above(f, 0, changes), 0);
}

static void first_store_hears_of_every_video_and_last_one_leaves_nothing(void **state) {
    fixture *f = *state;
    vx_change changes[16];
    VX_AUTO(vx_video) a = add_video(f, 1, 2);
    VX_AUTO(vx_video) b = add_video(f, 2, 2);
    add_store(f, "s", 1);
    assert_int_equal(changes_above(f, 0, changes), 2);
    assert_true(changes[0].video == a->row && changes[1].video == b->row);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_delete_outside(f->catalog, "s", &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_int_equal(changes_above(f, 0, changes), 0);
}

static void second_store_of_a_name_is_refused(void **state) {
    fixture *f = *state;
    char url[] = "x";
    vx_outside_row row = {.name = "s", .url = url, .model = "m"};
    add_store(f, "s", 1);
    OK(vx_catalog_begin(f->catalog, &oops));
    assert_int_equal(vx_catalog_insert_outside(f->catalog, &row, &oops), VX_CATALOG_EXISTS);
    vx_catalog_rollback(f->catalog);
}

static void every_kind_of_change_moves_its_video_to_the_end(void **state) {
    fixture *f = *state;
    vx_change changes[16];
    int64_t space = add_space(f);
    add_store(f, "s", space);
    VX_AUTO(vx_video) video = add_video(f, 1, 3);
    VX_AUTO(vx_video) other = add_video(f, 2, 3);
    int64_t at = last_change(f);
    const float vector[2] = {1, 0};
    for (int kind = 0; kind < 5; kind++) {
        OK(vx_catalog_begin(f->catalog, &oops));
        if (kind == 0)
            OK(vx_catalog_set_metadata(f->catalog, video->id, "{\"a\":1}", &oops));
        if (kind == 1)
            OK(vx_catalog_insert_vectors(f->catalog, space, &video->clips[1].row, 1, vector, 2,
                                         &oops));
        if (kind == 2)
            OK(vx_catalog_delete_vectors(f->catalog, space, &video->clips[1].row, 1, &oops));
        if (kind == 3)
            OK(vx_catalog_mark_changed(f->catalog, video->row, &oops));
        if (kind == 4)
            OK(vx_catalog_set_filename(f->catalog, video->id, "new.mp4", &oops));
        OK(vx_catalog_commit(f->catalog, &oops));
        assert_int_equal(changes_above(f, at, changes), 1);
        assert_true(changes[0].video == video->row && !changes[0].deleted[0]);
        assert_true(changes[0].seq > at);
        at = changes[0].seq;
    }
    assert_true(other->row > video->row);
}

static void vectors_of_another_model_and_verdicts_are_no_change(void **state) {
    fixture *f = *state;
    vx_change changes[16];
    int64_t space = add_space(f);
    VX_AUTO(vx_video) video = add_video(f, 1, 1);
    add_store(f, "s", space + 1);
    int64_t at = last_change(f);
    const float vector[2] = {1, 0};
    vx_verdict_row verdict = vx_verdict_row_new();
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_insert_vectors(f->catalog, space, &video->clips[0].row, 1, vector, 2, &oops));
    OK(vx_catalog_set_verdict(f->catalog, video->row, &verdict, VX_EVIDENCE_NONE, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_int_equal(changes_above(f, at, changes), 0);
}

static void video_that_is_gone_leaves_its_id_and_how_many_clips_it_had(void **state) {
    fixture *f = *state;
    vx_change changes[16];
    add_store(f, "s", 1);
    VX_AUTO(vx_video) video = add_video(f, 1, 5);
    OK(vx_catalog_begin(f->catalog, &oops));
    video->n_clips = 2; /* it had five */
    OK(vx_catalog_replace_clips(f->catalog, video, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_int_equal(changes_above(f, 0, changes), 1);
    assert_int_equal(changes[0].clips, 5);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_delete_video(f->catalog, video->id, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_int_equal(changes_above(f, 0, changes), 1);
    assert_string_equal(changes[0].deleted, video->id);
    assert_int_equal(changes[0].clips, 5);
    video->n_clips = 5;
}

static void change_that_is_undone_was_none(void **state) {
    fixture *f = *state;
    vx_change changes[16];
    VX_AUTO(vx_video) video = add_video(f, 1, 1);
    add_store(f, "s", 1);
    int64_t at = last_change(f);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_delete_video(f->catalog, video->id, &oops));
    vx_catalog_rollback(f->catalog);
    assert_int_equal(changes_above(f, at, changes), 0);
}

/* A number that was forgotten with its row must not be given out again below a store's place. */
static void numbers_rise_even_when_every_video_is_gone_and_forgotten(void **state) {
    fixture *f = *state;
    vx_change changes[16];
    const float vector[2] = {1, 0};
    int64_t space = add_space(f);
    add_store(f, "s", space);
    VX_AUTO(vx_video) a = add_video(f, 1, 1);
    VX_AUTO(vx_video) b = add_video(f, 2, 1);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_delete_video(f->catalog, a->id, &oops));
    OK(vx_catalog_delete_video(f->catalog, b->id, &oops));
    vx_outside_row row = {.name = "s", .space = space};
    OK(vx_catalog_commit(f->catalog, &oops));
    row.sent = last_change(f);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_update_outside(f->catalog, &row, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_int_equal(changes_above(f, 0, changes), 1); /* the last one */
    VX_AUTO(vx_video) c = add_video(f, 3, 1);
    assert_int_equal(changes_above(f, row.sent, changes), 0); /* it has nothing for a store yet */
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_insert_vectors(f->catalog, space, &c->clips[0].row, 1, vector, 2, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_int_equal(changes_above(f, row.sent, changes), 1);
    assert_int_equal(changes[0].video, c->row);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(without_a_store_nothing_is_noted),
        TEST(first_store_hears_of_every_video_and_last_one_leaves_nothing),
        TEST(second_store_of_a_name_is_refused),
        TEST(every_kind_of_change_moves_its_video_to_the_end),
        TEST(vectors_of_another_model_and_verdicts_are_no_change),
        TEST(video_that_is_gone_leaves_its_id_and_how_many_clips_it_had),
        TEST(change_that_is_undone_was_none),
        TEST(numbers_rise_even_when_every_video_is_gone_and_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
