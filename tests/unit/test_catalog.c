/* Videos, transactions and lists: what goes in comes out, also after reopening. */
#include <errno.h>

#include "catalog_fixture.h"

/* ---- Videos ---- */

static void assert_same_float(float a, float b) {
    assert_true(a == b || (isnan(a) && isnan(b)));
}

static void assert_same_video(const vx_video *a, const vx_video *b) {
    assert_int_equal(a->row, b->row);
    assert_string_equal(a->id, b->id);
    assert_memory_equal(a->sha256, b->sha256, 32);
    assert_string_equal(a->filename, b->filename);
    assert_int_equal(!a->source_path, !b->source_path);
    if (a->source_path)
        assert_string_equal(a->source_path, b->source_path);
    assert_string_equal(a->metadata, b->metadata);
    assert_int_equal(a->bytes, b->bytes);
    assert_string_equal(a->container, b->container);
    assert_string_equal(a->codec, b->codec);
    assert_int_equal(a->width_px, b->width_px);
    assert_int_equal(a->height_px, b->height_px);
    assert_true(a->fps == b->fps && a->duration_s == b->duration_s);
    assert_int_equal(a->created_us, b->created_us);
    assert_int_equal(a->duplicate.kind, b->duplicate.kind);
    assert_string_equal(a->duplicate.of, b->duplicate.of);
    assert_same_float(a->duplicate.score, b->duplicate.score);
    assert_same_float(a->duplicate.share, b->duplicate.share);
    assert_same_float(a->duplicate.offset_s, b->duplicate.offset_s);
    assert_int_equal(a->duplicate.mirrored, b->duplicate.mirrored);
    assert_string_equal(a->decode_path, b->decode_path);
    assert_int_equal(a->frames_decoded, b->frames_decoded);
    assert_int_equal(a->frames_total, b->frames_total);
    assert_same_float((float)a->sample_aspect_ratio, (float)b->sample_aspect_ratio);
    assert_int_equal(a->rotation_deg, b->rotation_deg);
    assert_string_equal(a->hdr, b->hdr);
    assert_string_equal(a->clip_rule, b->clip_rule);
    assert_int_equal(a->rules, b->rules);
    assert_int_equal(a->fingerprints, b->fingerprints);
    assert_int_equal(a->n_clips, b->n_clips);
    for (size_t i = 0; i < a->n_clips; i++) {
        assert_int_equal(a->clips[i].row, b->clips[i].row);
        assert_int_equal(a->clips[i].index, (int)i);
        assert_true(a->clips[i].start_s == b->clips[i].start_s);
        assert_true(a->clips[i].end_s == b->clips[i].end_s);
    }
}

static void video_inserted_reads_back_every_field_after_reopening(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) plain = add_video(f, 3, 5);
    VX_AUTO(vx_video) external = make_video(6, 0);
    external->source_path = strdup("/videos/'; DROP TABLE videos; --.mp4");
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_insert_video(f->catalog, external, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    fixture_reopen(f);
    vx_video *stored[] = {plain, external};
    for (int i = 0; i < 2; i++) {
        VX_AUTO(vx_video) by_id = NULL;
        VX_AUTO(vx_video) by_sha = NULL;
        VX_AUTO(vx_video) by_row = NULL;
        OK(vx_catalog_get_video(f->catalog, stored[i]->id, &by_id, &oops));
        OK(vx_catalog_get_video_by_sha256(f->catalog, stored[i]->sha256, &by_sha, &oops));
        OK(vx_catalog_get_video_by_row(f->catalog, stored[i]->row, &by_row, &oops));
        assert_same_video(stored[i], by_id);
        assert_same_video(stored[i], by_sha);
        assert_same_video(stored[i], by_row);
    }
}

static void video_id_is_the_start_of_the_hash(void **state) {
    (void)state;
    uint8_t sha256[32];
    for (int i = 0; i < 32; i++)
        sha256[i] = (uint8_t)(0xF0 + i);
    char id[VX_VIDEO_ID_CHARS + 1];
    vx_video_id_of(sha256, id);
    assert_string_equal(id, "vf0f1f2f3f4f5f6f7f8f9fafb");
}

static void clip_row_leads_to_its_video_with_that_clip_alone(void **state) {
    fixture *f = *state;
    vx_video_free(add_video(f, 1, 2));
    VX_AUTO(vx_video) v = add_video(f, 2, 3);
    for (size_t i = 0; i < 3; i++) {
        VX_AUTO(vx_video) found = NULL;
        OK(vx_catalog_get_video_of_clip(f->catalog, v->clips[i].row, &found, &oops));
        assert_string_equal(found->id, v->id);
        assert_string_equal(found->metadata, v->metadata);
        assert_int_equal(found->n_clips, 1);
        assert_int_equal(found->clips[0].row, v->clips[i].row);
        assert_int_equal(found->clips[0].index, (int)i);
        assert_true(found->clips[0].start_s == v->clips[i].start_s);
        assert_true(found->clips[0].end_s == v->clips[i].end_s);
    }
}

static void hits_of_clips_are_what_their_videos_say(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) a = add_video(f, 1, 2);
    VX_AUTO(vx_video) b = add_video(f, 2, 3);
    const int64_t rows[] = {b->clips[2].row, 7777, a->clips[0].row, b->clips[2].row};
    const vx_video *const videos[] = {b, NULL, a, b};
    vx_clip_hit hits[VX_LEN(rows)];
    OK(vx_catalog_get_clip_hits(f->catalog, rows, VX_LEN(rows), hits, &oops));
    for (size_t i = 0; i < VX_LEN(rows); i++) {
        const vx_video *v = videos[i];
        if (!v) {
            assert_null(hits[i].filename);
            continue;
        }
        const vx_clip *clip = v == a ? &v->clips[0] : &v->clips[2];
        assert_string_equal(hits[i].video_id, v->id);
        assert_string_equal(hits[i].filename, v->filename);
        assert_string_equal(hits[i].metadata, v->metadata);
        assert_int_equal(hits[i].has_file, vx_video_has_file(v));
        assert_int_equal(hits[i].index, clip->index);
        assert_true(hits[i].start_s == clip->start_s && hits[i].end_s == clip->end_s);
        free(hits[i].filename);
        free(hits[i].metadata);
    }
}

static void unknown_things_are_not_found(void **state) {
    fixture *f = *state;
    const uint8_t sha256[32] = {9};
    vx_video *video = NULL;
    size_t bytes;
    void *blob = NULL;
    float vector[DIM];
    vx_job_row job;
    vx_err err = {0};
    vx_catalog *c = f->catalog;
    assert_int_equal(vx_catalog_get_video(c, "vnone", &video, &err), VX_CATALOG_NOT_FOUND);
    assert_int_equal(vx_catalog_get_video_by_sha256(c, sha256, &video, &err), VX_CATALOG_NOT_FOUND);
    assert_int_equal(vx_catalog_get_video_by_row(c, 77, &video, &err), VX_CATALOG_NOT_FOUND);
    assert_int_equal(vx_catalog_get_video_of_clip(c, 77, &video, &err), VX_CATALOG_NOT_FOUND);
    assert_int_equal(vx_catalog_get_vector(c, f->space, 77, vector, DIM, &err),
                     VX_CATALOG_NOT_FOUND);
    assert_int_equal(vx_catalog_get_fingerprint(c, 77, &blob, &bytes, &err), VX_CATALOG_NOT_FOUND);
    assert_int_equal(vx_catalog_get_job(c, "jnone", &job, &err), VX_CATALOG_NOT_FOUND);
    OK(vx_catalog_begin(c, &oops));
    assert_int_equal(vx_catalog_delete_video(c, "vnone", &err), VX_CATALOG_NOT_FOUND);
    assert_int_equal(vx_catalog_set_metadata(c, "vnone", "{}", &err), VX_CATALOG_NOT_FOUND);
    assert_int_equal(vx_catalog_update_job(c, "jnone", VX_JOB_RUNNING, NULL, 0, &err),
                     VX_CATALOG_NOT_FOUND);
    assert_string_equal(err.msg, "no job jnone");
    vx_catalog_rollback(c);
    assert_null(video);
    assert_null(blob);
}

static void video_of_known_bytes_exists(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) first = add_video(f, 1, 1);
    VX_AUTO(vx_video) again = make_video(1, 2);
    bool stored = false;
    vx_err err;
    OK(vx_catalog_begin(f->catalog, &oops));
    assert_int_equal(vx_catalog_insert_video(f->catalog, again, &err), VX_CATALOG_EXISTS);
    OK(vx_catalog_commit(f->catalog, &oops));
    OK(vx_catalog_has_sha256(f->catalog, first->sha256, &stored, &oops));
    assert_true(stored);
    assert_int_equal(raw_int(f, "SELECT count(*) FROM clips"), 1);
}

static void video_with_a_forged_id_is_refused_not_taken_for_the_stored(void **state) {
    fixture *f = *state;
    vx_video_free(add_video(f, 1, 1));
    VX_AUTO(vx_video) forged = make_video(1, 1);
    forged->sha256[31] ^= 1;
    bool stored = true;
    vx_err err;
    vx_video *found = NULL;
    OK(vx_catalog_begin(f->catalog, &oops));
    assert_int_equal(vx_catalog_insert_video(f->catalog, forged, &err), -EEXIST);
    vx_catalog_rollback(f->catalog);
    OK(vx_catalog_has_sha256(f->catalog, forged->sha256, &stored, &oops));
    assert_false(stored);
    assert_int_equal(vx_catalog_get_video_by_sha256(f->catalog, forged->sha256, &found, &err),
                     VX_CATALOG_NOT_FOUND);
}

static void verdict_float_of_nan_is_null_in_the_file(void **state) {
    fixture *f = *state;
    vx_video_free(add_video(f, 1, 0));
    assert_int_equal(raw_int(f, "SELECT score IS NULL AND offset_s IS NULL AND share IS NOT NULL "
                                "FROM videos"),
                     1);
}

static void metadata_with_quotes_and_utf8_is_replaced_literally(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) v = add_video(f, 1, 0);
    VX_AUTO(vx_video) other = add_video(f, 2, 0);
    static const char metadata[] = "{\"a'b\":\"\\\"\xE6\xBC\xA2\\n' OR 1=1 --\"}";
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_set_metadata(f->catalog, v->id, metadata, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    VX_AUTO(vx_video) found = NULL;
    VX_AUTO(vx_video) untouched = NULL;
    OK(vx_catalog_get_video(f->catalog, v->id, &found, &oops));
    OK(vx_catalog_get_video(f->catalog, other->id, &untouched, &oops));
    assert_string_equal(found->metadata, metadata);
    assert_same_video(untouched, other);
}

/* From RFC 7396, appendix A, and what clients write. */
static void metadata_patch_merges_as_rfc_7396_says(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) v = add_video(f, 1, 0);
    static const char *const cases[][3] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[1,2]}", "{\"a\":[3]}", "{\"a\":[3]}"},
        {"{\"it's\":1}", "{\"\xE6\xBC\xA2\":\"\\\"\"}", "{\"it's\":1,\"\xE6\xBC\xA2\":\"\\\"\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    };
    for (size_t i = 0; i < VX_LEN(cases); i++) {
        VX_AUTO(vx_video) found = NULL;
        OK(vx_catalog_begin(f->catalog, &oops));
        OK(vx_catalog_set_metadata(f->catalog, v->id, cases[i][0], &oops));
        OK(vx_catalog_merge_metadata(f->catalog, v->id, cases[i][1], &oops));
        OK(vx_catalog_commit(f->catalog, &oops));
        OK(vx_catalog_get_video(f->catalog, v->id, &found, &oops));
        assert_string_equal(found->metadata, cases[i][2]);
    }
    vx_err err;
    OK(vx_catalog_begin(f->catalog, &oops));
    assert_int_equal(vx_catalog_merge_metadata(f->catalog, "vnone", "{}", &err),
                     VX_CATALOG_NOT_FOUND);
    vx_catalog_rollback(f->catalog);
}

static void video_deleted_leaves_no_row_of_it(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) kept = add_video(f, 1, 2);
    VX_AUTO(vx_video) gone = add_video(f, 2, 3);
    int64_t second;
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_insert_vector_space(f->catalog, "other", "d1", DIM, &second, &oops));
    float vector[DIM] = {0};
    OK(insert_vector(f->catalog, second, gone->clips[0].row, vector, DIM, &oops));
    OK(insert_vector(f->catalog, second, kept->clips[0].row, vector, DIM, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_int_equal(raw_int(f, "SELECT count(*) FROM vectors"), 7);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_delete_video(f->catalog, gone->id, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_int_equal(raw_int(f, "SELECT count(*) FROM videos"), 1);
    assert_int_equal(raw_int(f, "SELECT count(*) FROM clips"), 2);
    assert_int_equal(raw_int(f, "SELECT count(*) FROM vectors"), 3);
    assert_int_equal(raw_int(f, "SELECT count(*) FROM fingerprints"), 1);
    VX_AUTO(vx_video) found = NULL;
    OK(vx_catalog_get_video(f->catalog, kept->id, &found, &oops));
    assert_same_video(kept, found);
}

/* ---- read again ---- */

static void videos_read_by_older_rules_are_found_and_counted(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) old = add_video(f, 1, 1);   /* odd: rules 0 */
    VX_AUTO(vx_video) newer = add_video(f, 2, 1); /* rules 7 */
    VX_AUTO(vx_video) older = add_video(f, 3, 1);
    int64_t rows[2], n_outdated;
    size_t n;
    OK(vx_catalog_find_outdated(f->catalog, 7, 0, 0, 2, rows, &n, &oops));
    assert_int_equal(n, 2);
    assert_true(rows[0] == old->row && rows[1] == older->row);
    OK(vx_catalog_find_outdated(f->catalog, 7, 0, old->row, 1, rows, &n, &oops));
    assert_true(n == 1 && rows[0] == older->row);
    OK(vx_catalog_count_outdated(f->catalog, 8, 0, &n_outdated, &oops));
    assert_int_equal(n_outdated, 3);
    OK(vx_catalog_count_outdated(f->catalog, newer->rules, 0, &n_outdated, &oops));
    assert_int_equal(n_outdated, 2);
}

static void videos_of_which_fewer_pictures_were_hashed_are_outdated(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) none = add_video(f, 1, 1); /* odd: fingerprints 0 */
    VX_AUTO(vx_video) full = add_video(f, 2, 1); /* fingerprints 2 */
    int64_t rows[2], n_outdated;
    size_t n;
    OK(vx_catalog_find_outdated(f->catalog, 0, 1, 0, 2, rows, &n, &oops));
    assert_true(n == 1 && rows[0] == none->row);
    OK(vx_catalog_count_outdated(f->catalog, 0, full->fingerprints, &n_outdated, &oops));
    assert_int_equal(n_outdated, 1);
    OK(vx_catalog_count_outdated(f->catalog, 0, full->fingerprints + 1, &n_outdated, &oops));
    assert_int_equal(n_outdated, 2);
    OK(vx_catalog_find_outdated(f->catalog, 0, 0, 0, 2, rows, &n, &oops));
    assert_int_equal(n, 0);
}

static void media_of_a_video_are_replaced_and_nothing_else(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) video = add_video(f, 1, 2);
    VX_AUTO(vx_video) now = make_video(8, 0);
    VX_AUTO(vx_video) found = NULL;
    vx_err err;
    now->row = video->row;
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_set_media(f->catalog, now, &oops));
    now->row = 99;
    assert_int_equal(vx_catalog_set_media(f->catalog, now, &err), VX_CATALOG_NOT_FOUND);
    OK(vx_catalog_commit(f->catalog, &oops));
    OK(vx_catalog_get_video_by_row(f->catalog, video->row, &found, &oops));
    assert_true(found->width_px == now->width_px && found->duration_s == now->duration_s);
    assert_string_equal(found->hdr, now->hdr);
    assert_string_equal(found->clip_rule, now->clip_rule);
    assert_int_equal(found->rotation_deg, now->rotation_deg);
    assert_int_equal(found->rules, now->rules);
    assert_int_equal(found->fingerprints, now->fingerprints);
    assert_string_equal(found->filename, video->filename);
    assert_int_equal(found->bytes, video->bytes);
    assert_int_equal(found->n_clips, 2);
}

static void clips_replaced_keep_the_rows_of_their_index_and_lose_their_vectors(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) video = add_video(f, 1, 3);
    VX_AUTO(vx_video) other = add_video(f, 2, 2);
    for (int n = 2; n <= 5; n += 3) { /* fewer, then more */
        VX_AUTO(vx_video) now = make_video(1, n);
        VX_AUTO(vx_video) found = NULL;
        now->row = video->row;
        now->clips[1].start_s = 0.25;
        OK(vx_catalog_begin(f->catalog, &oops));
        OK(vx_catalog_replace_clips(f->catalog, now, &oops));
        OK(vx_catalog_commit(f->catalog, &oops));
        assert_int_equal(now->clips[0].row, video->clips[0].row);
        assert_int_equal(now->clips[1].row, video->clips[1].row);
        assert_true(n < 5 || now->clips[4].row > other->clips[1].row);
        OK(vx_catalog_get_video_by_row(f->catalog, video->row, &found, &oops));
        assert_int_equal(found->n_clips, n);
        assert_true(found->clips[1].start_s == 0.25);
        assert_int_equal(raw_int(f, "SELECT count(*) FROM vectors"), 2);
        assert_int_equal(raw_int(f, "SELECT vectors FROM spaces"), 2);
    }
}

static void video_marked_is_rejudged_with_those_whose_verdict_names_it(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) named = add_video(f, 4, 1);
    VX_AUTO(vx_video) copy = make_video(1, 1);
    VX_AUTO(vx_video) other = add_video(f, 8, 1); /* new: names none */
    strcpy(copy->duplicate.of, named->id);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(insert_all(f, copy, 1, &oops));
    OK(vx_catalog_mark_rejudged(f->catalog, named->row, named->id, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    int64_t rows[3];
    size_t n;
    OK(vx_catalog_find_rejudged(f->catalog, 0, 3, rows, &n, &oops));
    assert_int_equal(n, 2);
    assert_true(rows[0] == named->row && rows[1] == copy->row && other->row != rows[1]);
}

static void row_of_a_deleted_video_or_clip_is_never_given_again(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) first = add_video(f, 1, 3);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_delete_video(f->catalog, first->id, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    fixture_reopen(f);
    VX_AUTO(vx_video) second = add_video(f, 1, 1);
    assert_true(second->row > first->row);
    assert_true(second->clips[0].row > first->clips[2].row);
}

/* The indexes may have shown them to a search before the transaction was undone. */
static void row_that_an_undone_transaction_gave_out_is_never_given_again(void **state) {
    fixture *f = *state;
    vx_video_free(add_video(f, 1, 3));
    fixture_reopen(f);
    VX_AUTO(vx_video) lost = make_video(2, 2);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(insert_all(f, lost, 2, &oops));
    vx_catalog_rollback(f->catalog);
    VX_AUTO(vx_video) next = add_video(f, 3, 1);
    assert_true(lost->row > 1 && next->row > lost->row);
    assert_true(lost->clips[0].row > 3 && next->clips[0].row > lost->clips[1].row);
}

/* ---- Transactions ---- */

static void write_outside_a_transaction_is_refused(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) v = make_video(1, 1);
    vx_err err;
    assert_int_equal(vx_catalog_insert_video(f->catalog, v, &err), -EINVAL);
    assert_int_equal(vx_catalog_savepoint(f->catalog, &err), -EINVAL);
    assert_int_equal(vx_catalog_commit(f->catalog, &err), -EINVAL);
    OK(vx_catalog_begin(f->catalog, &oops));
    assert_int_equal(vx_catalog_begin(f->catalog, &err), -EINVAL);
    vx_catalog_rollback(f->catalog);
    assert_int_equal(raw_int(f, "SELECT count(*) FROM videos"), 0);
}

static void savepoint_undone_keeps_the_other_items_of_the_group(void **state) {
    fixture *f = *state;
    OK(vx_catalog_begin(f->catalog, &oops));
    for (int seed = 1; seed <= 4; seed++) {
        VX_AUTO(vx_video) v = make_video(seed, 2);
        OK(vx_catalog_savepoint(f->catalog, &oops));
        OK(insert_all(f, v, seed, &oops));
        if (seed % 2)
            OK(vx_catalog_release(f->catalog, &oops));
        else
            vx_catalog_rollback_to(f->catalog);
    }
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_int_equal(raw_int(f, "SELECT count(*) FROM videos"), 2);
    assert_int_equal(raw_int(f, "SELECT sum(frames_decoded) FROM videos"), 1 + 3);
    assert_int_equal(raw_int(f, "SELECT count(*) FROM vectors"), 4);
}

static void rollback_undoes_all_and_the_next_transaction_works(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) v = make_video(1, 2);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(insert_all(f, v, 1, &oops));
    vx_catalog_rollback(f->catalog);
    assert_int_equal(raw_int(f, "SELECT count(*) FROM clips"), 0);
    vx_video_free(add_video(f, 1, 2));
    assert_int_equal(raw_int(f, "SELECT count(*) FROM clips"), 2);
}

static void read_inside_the_transaction_sees_its_own_writes_only_there(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) v = make_video(1, 2);
    VX_AUTO(vx_video) found = NULL;
    int64_t n = -1;
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(insert_all(f, v, 1, &oops));
    OK(vx_catalog_get_video(f->catalog, v->id, &found, &oops));
    assert_same_video(v, found);
    assert_int_equal(raw_int(f, "SELECT count(*) FROM videos"), 0);
    OK(vx_catalog_count_videos(f->catalog, &n, &oops));
    assert_int_equal(n, 1);
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_int_equal(raw_int(f, "SELECT count(*) FROM videos"), 1);
}

/* ---- Lists ---- */

static size_t list(fixture *f, const vx_video_query *query, vx_video ***videos) {
    size_t n = 0;
    OK(vx_catalog_list_videos(f->catalog, query, videos, &n, &oops));
    return n;
}

static void free_list(vx_video **videos, size_t n) {
    for (size_t i = 0; i < n; i++)
        vx_video_free(videos[i]);
    free(videos);
}

static void list_pages_newest_first_with_the_clips_of_each(void **state) {
    fixture *f = *state;
    vx_video *added[7];
    for (int i = 0; i < 7; i++)
        added[i] = add_video(f, i + 1, i % 3);
    int64_t before = 0;
    size_t seen = 0;
    for (;;) {
        vx_video **page;
        size_t n = list(f, &(vx_video_query){.limit = 3, .before_row = before}, &page);
        for (size_t i = 0; i < n; i++)
            assert_same_video(added[6 - seen++], page[i]);
        before = n ? page[n - 1]->row : 0;
        free_list(page, n);
        if (n < 3)
            break;
    }
    assert_int_equal(seen, 7);
    int64_t count = 0;
    OK(vx_catalog_count_videos(f->catalog, &count, &oops));
    assert_int_equal(count, 7);
    for (int i = 0; i < 7; i++)
        vx_video_free(added[i]);
}

static void list_of_too_many_is_refused(void **state) {
    fixture *f = *state;
    vx_video **page;
    size_t n;
    vx_err err;
    assert_int_equal(
        vx_catalog_list_videos(f->catalog, &(vx_video_query){.limit = 1001}, &page, &n, &err),
        -EINVAL);
}

static void videos_by_their_rows_come_with_clips_and_without_those_gone(void **state) {
    fixture *f = *state;
    int64_t rows[5];
    for (int i = 0; i < 5; i++) {
        VX_AUTO(vx_video) added = add_video(f, i + 1, i % 3);
        rows[4 - i] = added->row;
    }
    VX_AUTO(vx_video) gone = NULL;
    OK(vx_catalog_get_video_by_row(f->catalog, rows[2], &gone, &oops));
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_delete_video(f->catalog, gone->id, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    vx_video **page;
    size_t n;
    OK(vx_catalog_get_videos(f->catalog, rows + 1, 3, &page, &n, &oops));
    assert_int_equal(n, 2);
    for (size_t i = 0; i < n; i++) {
        VX_AUTO(vx_video) expected = NULL;
        OK(vx_catalog_get_video_by_row(f->catalog, rows[1 + 2 * i], &expected, &oops));
        assert_same_video(expected, page[i]);
    }
    free_list(page, n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(video_inserted_reads_back_every_field_after_reopening),
        cmocka_unit_test(video_id_is_the_start_of_the_hash),
        TEST(clip_row_leads_to_its_video_with_that_clip_alone),
        TEST(hits_of_clips_are_what_their_videos_say),
        TEST(unknown_things_are_not_found),
        TEST(video_of_known_bytes_exists),
        TEST(video_with_a_forged_id_is_refused_not_taken_for_the_stored),
        TEST(verdict_float_of_nan_is_null_in_the_file),
        TEST(metadata_with_quotes_and_utf8_is_replaced_literally),
        TEST(metadata_patch_merges_as_rfc_7396_says),
        TEST(video_deleted_leaves_no_row_of_it),
        TEST(videos_read_by_older_rules_are_found_and_counted),
        TEST(videos_of_which_fewer_pictures_were_hashed_are_outdated),
        TEST(media_of_a_video_are_replaced_and_nothing_else),
        TEST(clips_replaced_keep_the_rows_of_their_index_and_lose_their_vectors),
        TEST(video_marked_is_rejudged_with_those_whose_verdict_names_it),
        TEST(row_of_a_deleted_video_or_clip_is_never_given_again),
        TEST(row_that_an_undone_transaction_gave_out_is_never_given_again),
        TEST(write_outside_a_transaction_is_refused),
        TEST(savepoint_undone_keeps_the_other_items_of_the_group),
        TEST(rollback_undoes_all_and_the_next_transaction_works),
        TEST(read_inside_the_transaction_sees_its_own_writes_only_there),
        TEST(list_pages_newest_first_with_the_clips_of_each),
        TEST(list_of_too_many_is_refused),
        TEST(videos_by_their_rows_come_with_clips_and_without_those_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
