/* The verdict from an earlier scan and the videos that were inserted since, against that of a scan now. */
#include <jansson.h>

#include "catalog_fixture.h"
#include "fingerprint/fingerprint.h"
#include "verdict/verdict.h"

enum { FRAMES = 20 };

static const vx_model_info info = {.dim = DIM, .similar_threshold = 0.9f};

typedef struct setup {
    fixture *f;
    vx_models models;
    vx_collection collection;
} setup;

static int open_setup(void **state) {
    setup *s = calloc(1, sizeof *s);
    fixture_setup((void **)&s->f);
    s->collection.catalog = s->f->catalog;
    s->collection.models = &s->models;
    s->models.n = 1;
    s->models.items[0].info = &info;
    s->models.items[0].space = s->f->space;
    OK(vx_index_new(&(vx_index_params){.dim = DIM, .threads = 1}, &s->models.items[0].index,
                    &oops));
    OK(vx_fp_index_new(&s->collection.fingerprints, &oops));
    *state = s;
    return 0;
}

static int close_setup(void **state) {
    setup *s = *state;
    vx_index_free(s->models.items[0].index);
    vx_fp_index_free(s->collection.fingerprints);
    fixture_teardown((void **)&s->f);
    free(s);
    return 0;
}

/* Unit vectors at an angle in one plane: the cosine of two is that of the angle between them. */
static void at_angle(double degrees, float vector[DIM]) {
    memset(vector, 0, DIM * sizeof *vector);
    vector[0] = (float)cos(degrees * M_PI / 180);
    vector[1] = (float)sin(degrees * M_PI / 180);
}

/* One frame each half second; of another film for each seed. */
static void make_film(uint32_t seed, vx_fp_frame frames[FRAMES]) {
    uint32_t x = seed * 2654435761U + 1;
    for (int i = 0; i < FRAMES; i++) {
        frames[i] = (vx_fp_frame){.time_s = (float)i / 2, .quality = 100};
        for (int k = 0; k < 32; k++) {
            x = x * 1664525U + 1013904223U;
            frames[i].hash[k] = (uint8_t)(x >> 24);
        }
    }
}

/* What the writer does with a new video, but for its file. Gives its row. */
static int64_t store(setup *s, int seed, double degrees, uint32_t film) {
    float vector[DIM];
    vx_fp_frame frames[FRAMES];
    at_angle(degrees, vector);
    make_film(film, frames);
    VX_AUTO(vx_video) video = make_video(seed, 1);
    video->duration_s = FRAMES / 2.0;
    vx_video_id_of(video->sha256, video->id);
    VX_AUTO_FREE void *blob = NULL;
    size_t bytes;
    OK(vx_fp_pack(frames, FRAMES, &blob, &bytes, &oops));
    OK(vx_catalog_begin(s->collection.catalog, &oops));
    OK(vx_catalog_insert_video(s->collection.catalog, video, &oops));
    OK(vx_catalog_insert_fingerprint(s->collection.catalog, video->row, blob, bytes, &oops));
    OK(vx_catalog_commit(s->collection.catalog, &oops));
    OK(vx_index_add(s->models.items[0].index, &video->clips[0].row, &video->row, vector, 1, &oops));
    OK(vx_fp_index_add(s->collection.fingerprints, video->row, frames, FRAMES, &oops));
    vx_collection_note_recent(&s->collection, video->row);
    return video->row;
}

/* Without the rows of the indexes: what the rest of a group sees of a video deleted in it. */
static void delete_video(setup *s, int64_t row) {
    VX_AUTO(vx_video) video = NULL;
    OK(vx_catalog_get_video_by_row(s->collection.catalog, row, &video, &oops));
    OK(vx_catalog_begin(s->collection.catalog, &oops));
    OK(vx_catalog_delete_video(s->collection.catalog, video->id, &oops));
    OK(vx_catalog_commit(s->collection.catalog, &oops));
}

/* A new video, as extracted. */
typedef struct new_video {
    float vector[DIM];
    vx_fp_frame frames[FRAMES];
    vx_fp_video fingerprint;
    vx_verdict_subject subject;
    vx_verdict_candidates candidates;
} new_video;

static void scan_for(setup *s, new_video *a, double degrees, uint32_t film) {
    at_angle(degrees, a->vector);
    make_film(film, a->frames);
    a->fingerprint = (vx_fp_video){.frames = a->frames, .n_frames = FRAMES};
    a->subject = (vx_verdict_subject){.n_clips = 1,
                                      .vectors = a->vector,
                                      .fingerprint = &a->fingerprint,
                                      .length_s = FRAMES / 2.0};
    OK(vx_verdict_find_candidates(&s->collection, &a->subject, &a->candidates, &oops));
}

/* The verdict, after scan_for() and whatever happened since; row of what it names, 0 = none. */
static vx_verdict_kind decide(setup *s, new_video *a, int64_t *ret_row) {
    vx_verdict_row verdict;
    VX_AUTO(vx_video) of = NULL;
    OK(vx_verdict_decide(&s->collection, &a->subject, &a->candidates, &verdict, &of, &oops));
    vx_verdict_candidates_clear(&a->candidates);
    *ret_row = of ? of->row : 0;
    return verdict.kind;
}

static void video_like_none_is_new(void **state) {
    setup *s = *state;
    new_video a;
    int64_t of;
    store(s, 1, 0, 1);
    scan_for(s, &a, 60, 2);
    assert_int_equal(decide(s, &a, &of), VX_VERDICT_NEW);
    assert_int_equal(of, 0);
}

static void similar_video_found_by_the_scan_is_named(void **state) {
    setup *s = *state;
    new_video a;
    int64_t of, near = store(s, 1, 10, 1);
    store(s, 2, 20, 2);
    scan_for(s, &a, 0, 3);
    assert_int_equal(decide(s, &a, &of), VX_VERDICT_SIMILAR);
    assert_int_equal(of, near);
}

static void similar_video_inserted_after_the_scan_is_named(void **state) {
    setup *s = *state;
    new_video a;
    int64_t of;
    store(s, 1, 20, 1);
    scan_for(s, &a, 0, 3);
    int64_t nearer = store(s, 2, 10, 2);
    assert_int_equal(decide(s, &a, &of), VX_VERDICT_SIMILAR);
    assert_int_equal(of, nearer);
}

static void copy_inserted_after_the_scan_is_named(void **state) {
    setup *s = *state;
    new_video a;
    int64_t of;
    scan_for(s, &a, 0, 3);
    int64_t copy = store(s, 1, 60, 3);
    assert_int_equal(decide(s, &a, &of), VX_VERDICT_COPY);
    assert_int_equal(of, copy);
}

static void oldest_of_more_videos_than_are_remembered_is_named(void **state) {
    setup *s = *state;
    new_video a;
    int64_t of;
    scan_for(s, &a, 0, 3);
    int64_t first = store(s, 1, 10, 2);
    for (int i = 0; i < VX_RECENT_MAX; i++)
        store(s, 2 + i, 90, 4 + (uint32_t)i);
    assert_int_equal(decide(s, &a, &of), VX_VERDICT_SIMILAR);
    assert_int_equal(of, first);
}

/* The scan keeps eight; the ninth takes their place. */
static void video_behind_those_deleted_after_the_scan_is_named(void **state) {
    setup *s = *state;
    new_video a;
    int64_t of, nearest[8];
    for (int i = 0; i < 8; i++)
        nearest[i] = store(s, 1 + i, 1 + i, 1 + (uint32_t)i);
    int64_t ninth = store(s, 9, 10, 9);
    scan_for(s, &a, 0, 30);
    for (int i = 0; i < 8; i++) {
        delete_video(s, nearest[i]);
        int64_t clip = nearest[i]; /* one clip a video: the rows count alike */
        OK(vx_index_remove(s->models.items[0].index, &clip, 1, &oops));
    }
    assert_int_equal(decide(s, &a, &of), VX_VERDICT_SIMILAR);
    assert_int_equal(of, ninth);
}

static void video_deleted_in_the_same_group_is_not_named(void **state) {
    setup *s = *state;
    new_video a;
    int64_t of, gone = store(s, 1, 5, 3);
    scan_for(s, &a, 0, 3);
    delete_video(s, gone);
    assert_int_equal(decide(s, &a, &of), VX_VERDICT_NEW);
    assert_int_equal(of, 0);
}

static void deleted_recent_insert_is_not_named(void **state) {
    setup *s = *state;
    new_video a;
    int64_t of;
    scan_for(s, &a, 0, 3);
    delete_video(s, store(s, 1, 5, 3));
    assert_int_equal(decide(s, &a, &of), VX_VERDICT_NEW);
    assert_int_equal(of, 0);
}

/* 16 candidates are kept, all of them deleted since. */
static void copy_behind_deleted_copies_is_named(void **state) {
    setup *s = *state;
    new_video a;
    int64_t of, copies[VX_VERDICT_COPIES + 1];
    for (int i = 0; i <= VX_VERDICT_COPIES; i++)
        copies[i] = store(s, 1 + i, 90, 3);
    scan_for(s, &a, 0, 3);
    for (int i = 0; i < VX_VERDICT_COPIES; i++) {
        delete_video(s, copies[i]);
        OK(vx_fp_index_remove(s->collection.fingerprints, copies[i], &oops));
    }
    assert_int_equal(decide(s, &a, &of), VX_VERDICT_COPY);
    assert_int_equal(of, copies[VX_VERDICT_COPIES]);
}

/* ---- matches whose pictures are looked at again (vx_verdict_check, which notes what it sees) ---- */

static int try_decide(setup *s, new_video *a, vx_verdict_kind *ret_kind) {
    vx_verdict_row verdict = {0};
    VX_AUTO(vx_video) of = NULL;
    int rc = vx_verdict_decide(&s->collection, &a->subject, &a->candidates, &verdict, &of, &oops);
    *ret_kind = verdict.kind;
    return rc;
}

static void note_seen(new_video *a, int64_t video, vx_evidence_kind said) {
    a->candidates.seen[a->candidates.n_seen] = video;
    a->candidates.said[a->candidates.n_seen++] = said;
}

static void match_inserted_after_the_check_is_to_be_checked_first(void **state) {
    setup *s = *state;
    new_video a;
    vx_verdict_kind kind;
    scan_for(s, &a, 0, 3);
    a.candidates.checked = true;
    int64_t match = store(s, 1, 60, 3);
    assert_int_equal(try_decide(s, &a, &kind), VX_VERDICT_UNSEEN);
    assert_int_equal(a.candidates.unseen, match);
    note_seen(&a, match, VX_EVIDENCE_NOTHING);
    OK(try_decide(s, &a, &kind));
    assert_int_equal(kind, VX_VERDICT_COPY);
    vx_verdict_candidates_clear(&a.candidates);
}

static void other_take_is_passed_over_and_may_be_similar(void **state) {
    setup *s = *state;
    new_video a, b;
    int64_t of, take = store(s, 1, 60, 3), near = store(s, 2, 5, 4);
    scan_for(s, &a, 0, 3);
    a.candidates.checked = true;
    note_seen(&a, take, VX_EVIDENCE_OTHER_TAKE);
    assert_int_equal(decide(s, &a, &of), VX_VERDICT_SIMILAR);
    assert_int_equal(of, near);
    scan_for(s, &b, 60, 3);
    b.candidates.checked = true;
    note_seen(&b, take, VX_EVIDENCE_OTHER_TAKE);
    assert_int_equal(decide(s, &b, &of), VX_VERDICT_SIMILAR);
    assert_int_equal(of, take);
}

static void copy_behind_other_takes_is_named(void **state) {
    setup *s = *state;
    new_video a;
    int64_t of, take = store(s, 1, 60, 3), copy = store(s, 2, 60, 3);
    scan_for(s, &a, 0, 3);
    a.candidates.checked = true;
    note_seen(&a, take, VX_EVIDENCE_OTHER_TAKE);
    note_seen(&a, copy, VX_EVIDENCE_COPY);
    assert_int_equal(decide(s, &a, &of), VX_VERDICT_COPY);
    assert_int_equal(of, copy);
}

/* Each of a hundred takes of one camera matches by its hashes: not all of them are decoded. */
static void match_behind_as_many_other_takes_as_are_checked_does_not_count(void **state) {
    setup *s = *state;
    new_video a;
    int64_t of, takes[VX_VERDICT_CHECKS + 1];
    for (int i = 0; i <= VX_VERDICT_CHECKS; i++)
        takes[i] = store(s, 1 + i, 60, 3);
    scan_for(s, &a, 0, 3);
    a.candidates.checked = true;
    for (int i = 0; i < VX_VERDICT_CHECKS; i++)
        note_seen(&a, takes[i], VX_EVIDENCE_OTHER_TAKE);
    assert_int_equal(decide(s, &a, &of), VX_VERDICT_NEW);
}

/* 0.999062f printed as a double is 0.999062002: an answer and a job's report must say the same. */
static void verdict_as_json_has_the_digits_of_its_floats(void **state) {
    (void)state;
    vx_verdict_row row = {.kind = VX_VERDICT_COPY,
                          .score = 0.999062f,
                          .share = 1,
                          .share_of_new = 1,
                          .share_of_stored = 0.25f,
                          .offset_s = NAN};
    strcpy(row.of, "v0123456789abcdef01234567");
    json_t *json = vx_verdict_json(&row);
    char *text = json_dumps(json, JSON_COMPACT | VX_VERDICT_JSON_DIGITS);
    json_decref(json);
    assert_string_equal(text, "{\"verdict\":\"copy\",\"of\":\"v0123456789abcdef01234567\","
                              "\"score\":0.999062,\"share\":1.0,\"share_of_new\":1.0,"
                              "\"share_of_stored\":0.25,\"offset_s\":null,"
                              "\"mirrored\":false}");
    free(text);
}

#define VERDICT_TEST(name) cmocka_unit_test_setup_teardown(name, open_setup, close_setup)

int main(void) {
    const struct CMUnitTest tests[] = {
        VERDICT_TEST(video_like_none_is_new),
        VERDICT_TEST(similar_video_found_by_the_scan_is_named),
        VERDICT_TEST(similar_video_inserted_after_the_scan_is_named),
        VERDICT_TEST(copy_inserted_after_the_scan_is_named),
        VERDICT_TEST(oldest_of_more_videos_than_are_remembered_is_named),
        VERDICT_TEST(video_behind_those_deleted_after_the_scan_is_named),
        VERDICT_TEST(video_deleted_in_the_same_group_is_not_named),
        VERDICT_TEST(deleted_recent_insert_is_not_named),
        VERDICT_TEST(copy_behind_deleted_copies_is_named),
        VERDICT_TEST(match_inserted_after_the_check_is_to_be_checked_first),
        VERDICT_TEST(other_take_is_passed_over_and_may_be_similar),
        VERDICT_TEST(copy_behind_other_takes_is_named),
        VERDICT_TEST(match_behind_as_many_other_takes_as_are_checked_does_not_count),
        cmocka_unit_test(verdict_as_json_has_the_digits_of_its_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
