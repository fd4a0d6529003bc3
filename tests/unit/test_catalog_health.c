/* What a catalog that decays does: checksums, health, private files, and the log while nobody writes. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "catalog_fixture.h"

static void assert_healthy(fixture *f) {
    char reason[256] = "";
    assert_true(vx_catalog_health(f->catalog, reason, sizeof reason));
    assert_string_equal(reason, "");
}

static void assert_damaged(fixture *f, const char *expected) {
    char reason[256];
    assert_false(vx_catalog_health(f->catalog, reason, sizeof reason));
    if (!strstr(reason, expected))
        fail_msg("\"%s\" does not say \"%s\"", reason, expected);
}

static int count(void *ctx, const int64_t *clips, const float *vectors, size_t n, vx_err *err) {
    (void)clips, (void)vectors, (void)err;
    *(size_t *)ctx += n;
    return 0;
}

static size_t scan(fixture *f) {
    size_t n = 0;
    OK(vx_catalog_scan_vectors(f->catalog, f->space, DIM, 100, 1, count, &n, &oops));
    return n;
}

static int count_one(void *ctx, int64_t video, const void *blob, size_t bytes, vx_err *err) {
    (void)video, (void)blob, (void)bytes, (void)err;
    ++*(size_t *)ctx;
    return 0;
}

/* ---- Vectors in bulk ---- */

static void vectors_of_a_video_go_in_at_once_and_read_back(void **state) {
    fixture *f = *state;
    enum { N = 300 };
    VX_AUTO(vx_video) v = make_video(1, N);
    static float vectors[N][DIM];
    int64_t rows[N];
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_insert_video(f->catalog, v, &oops));
    for (int i = 0; i < N; i++) {
        rows[i] = v->clips[i].row;
        make_vector(rows[i], f->space, vectors[i]);
    }
    OK(vx_catalog_insert_vectors(f->catalog, f->space, rows, N, vectors[0], DIM, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_int_equal(raw_int(f, "SELECT vectors FROM spaces"), N);
    for (int i = 0; i < N; i++) {
        float read[DIM];
        OK(vx_catalog_get_vector(f->catalog, f->space, rows[i], read, DIM, &oops));
        assert_memory_equal(read, vectors[i], sizeof read);
    }
}

static void vectors_of_which_one_has_no_clip_are_counted_as_far_as_they_are_in(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) v = make_video(1, 3);
    vx_err err;
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_insert_video(f->catalog, v, &oops));
    int64_t rows[] = {v->clips[0].row, v->clips[1].row, 999, v->clips[2].row};
    float vectors[4][DIM] = {{0}};
    assert_int_equal(
        vx_catalog_insert_vectors(f->catalog, f->space, rows, 4, vectors[0], DIM, &err), -EINVAL);
    assert_string_equal(err.msg, "catalog: no clip 999");
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_int_equal(raw_int(f, "SELECT vectors FROM spaces"), 2);
    assert_int_equal(raw_int(f, "SELECT count(*) FROM vectors"), 2);
}

static void videos_of_clips_are_found_and_those_of_lost_clips_are_none(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) first = add_video(f, 1, 2);
    VX_AUTO(vx_video) second = add_video(f, 2, 2);
    int64_t clips[] = {first->clips[0].row, second->clips[1].row, 12345}, videos[3];
    OK(vx_catalog_find_videos_of_clips(f->catalog, clips, 3, videos, &oops));
    assert_true(videos[0] == first->row && videos[1] == second->row && videos[2] == 0);
    bool has;
    OK(vx_catalog_has_video(f->catalog, second->row, &has, &oops));
    assert_true(has);
    OK(vx_catalog_has_video(f->catalog, 12345, &has, &oops));
    assert_false(has);
}

/* ---- Damage ---- */

/* One bit of the first vector, in the file itself: what SQLite does not see. */
static void flip_a_bit_of_a_vector(fixture *f, int64_t clip) {
    float vector[DIM];
    make_vector(clip, f->space, vector);
    f->catalog = vx_catalog_close(f->catalog);
    FILE *file = fopen(f->path, "r+b");
    static char data[1 << 20];
    size_t n = fread(data, 1, sizeof data, file);
    char *at = memmem(data, n, vector, sizeof vector);
    assert_non_null(at);
    at[9] ^= 0x10;
    assert_int_equal(fseek(file, at - data, SEEK_SET), 0);
    assert_int_equal(fwrite(at, 1, sizeof vector, file), sizeof vector);
    fclose(file);
    fixture_open(f);
    assert_int_equal(raw_int(f, "SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
}

static void vector_with_a_flipped_bit_is_left_out_of_a_scan_and_told(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) v = add_video(f, 1, 3);
    flip_a_bit_of_a_vector(f, v->clips[1].row);
    assert_healthy(f); /* nobody has read it */
    assert_int_equal(scan(f), 2);
    char expected[64];
    snprintf(expected, sizeof expected, "vector of clip %d does not match its checksum",
             (int)v->clips[1].row);
    assert_damaged(f, expected);
}

static void vector_with_a_flipped_bit_is_no_answer(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) v = add_video(f, 1, 3);
    flip_a_bit_of_a_vector(f, v->clips[0].row);
    float read[DIM];
    vx_err err;
    OK(vx_catalog_get_vector(f->catalog, f->space, v->clips[1].row, read, DIM, &oops));
    assert_healthy(f);
    int64_t clip = v->clips[0].row;
    assert_int_equal(vx_catalog_get_vector(f->catalog, f->space, clip, read, DIM, &err), -EIO);
    assert_non_null(strstr(err.msg, "is damaged"));
    assert_damaged(f, "does not match its checksum");
}

static void health_is_good_again_once_each_damaged_row_is_replaced_or_gone(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) v = add_video(f, 1, 3);
    VX_AUTO(vx_video) other = add_video(f, 2, 1);
    raw_exec(f->path, "UPDATE vectors SET data = zeroblob(length(data)) WHERE key & 3 < 3;"
                      "UPDATE fingerprints SET data = x'00' WHERE video = 2");
    assert_int_equal(scan(f), 1); /* of clips 1 to 4 the third stays */
    size_t n = 0;
    OK(vx_catalog_scan_fingerprints(f->catalog, count_one, &n, &oops));
    assert_damaged(f, "vector of clip 1 does not match");
    float vector[DIM];
    OK(vx_catalog_begin(f->catalog, &oops));
    for (int i = 0; i < 2; i++) {
        int64_t clip = v->clips[i].row;
        make_vector(clip, f->space, vector);
        OK(vx_catalog_delete_vectors(f->catalog, f->space, &clip, 1, &oops));
        OK(vx_catalog_insert_vectors(f->catalog, f->space, &clip, 1, vector, DIM, &oops));
    }
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_damaged(f, "vector of clip 4 does not match");
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_delete_video(f->catalog, other->id, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_healthy(f);
    raw_exec(f->path, "UPDATE vectors SET data = zeroblob(length(data))");
    assert_int_equal(scan(f), 0); /* and what is damaged later is told again */
    assert_damaged(f, "vector of clip 1 does not match");
}

static void vector_under_the_key_of_another_is_told(void **state) {
    fixture *f = *state;
    vx_video_free(add_video(f, 1, 2));
    raw_exec(f->path, "UPDATE vectors SET data = (SELECT data FROM vectors ORDER BY key LIMIT 1),"
                      " checksum = (SELECT checksum FROM vectors ORDER BY key LIMIT 1)");
    assert_int_equal(scan(f), 1);
    assert_damaged(f, "does not match its checksum");
}

static void fingerprint_that_changed_is_no_answer(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) v = add_video(f, 7, 1);
    vx_video_free(add_video(f, 8, 1));
    raw_exec(f->path, "UPDATE fingerprints SET data = x'00' WHERE video = 1");
    VX_AUTO_FREE void *blob = NULL;
    size_t bytes, n = 0;
    vx_err err;
    assert_int_equal(vx_catalog_get_fingerprint(f->catalog, v->row, &blob, &bytes, &err),
                     VX_CATALOG_DAMAGED);
    assert_damaged(f, "fingerprint of video 1 does not match");
    OK(vx_catalog_scan_fingerprints(f->catalog, count_one, &n, &oops));
    assert_int_equal(n, 1);
}

static void page_that_sqlite_cannot_read_is_told(void **state) {
    fixture *f = *state;
    for (int seed = 1; seed < 60; seed++)
        vx_video_free(add_video(f, seed, 20));
    int64_t page = raw_int(f, "SELECT rootpage FROM sqlite_master WHERE name = 'videos'");
    f->catalog = vx_catalog_close(f->catalog);
    int fd = open(f->path, O_RDWR);
    char junk[16384];
    memset(junk, 0xEE, sizeof junk);
    assert_int_equal(pwrite(fd, junk, sizeof junk, (page - 1) * 16384), sizeof junk);
    close(fd);
    fixture_open(f);
    assert_healthy(f);
    int64_t n;
    vx_err err;
    assert_int_equal(vx_catalog_count_videos(f->catalog, &n, &err), 0); /* it counts by an index */
    VX_AUTO(vx_video) video = NULL;
    assert_int_equal(vx_catalog_get_video_by_row(f->catalog, 1, &video, &err), -EIO);
    assert_damaged(f, "malformed");
}

static void full_disk_and_what_is_not_there_are_no_damage(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) video = NULL;
    vx_err err;
    assert_int_equal(vx_catalog_get_video_by_row(f->catalog, 1, &video, &err),
                     VX_CATALOG_NOT_FOUND);
    static uint8_t big[4 << 20];
    VX_AUTO(vx_video) v = make_video(1, 1);
    sqlite3_exec(f->catalog->writer.handle, "PRAGMA max_page_count = 100", NULL, NULL, NULL);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_insert_video(f->catalog, v, &oops));
    assert_int_equal(vx_catalog_insert_fingerprint(f->catalog, v->row, big, sizeof big, &err),
                     -ENOSPC);
    vx_catalog_rollback(f->catalog);
    assert_healthy(f);
}

/* ---- Rows of before ---- */

static void rows_without_checksum_are_read_and_get_theirs_in_steps(void **state) {
    fixture *f = *state;
    for (int seed = 1; seed <= 5; seed++)
        vx_video_free(add_video(f, seed, 3));
    bool more = true;
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_add_checksums(f->catalog, 4, &more, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_false(more); /* no scan has met any */
    int64_t sum = raw_int(f, "SELECT sum(checksum) FROM vectors");
    int64_t fingerprints = raw_int(f, "SELECT sum(checksum) FROM fingerprints");
    raw_exec(f->path,
             "UPDATE vectors SET checksum = NULL; UPDATE fingerprints SET checksum = NULL");
    assert_int_equal(scan(f), 15);
    assert_healthy(f);
    int steps = 0;
    for (more = true; more; steps++) {
        OK(vx_catalog_begin(f->catalog, &oops));
        OK(vx_catalog_add_checksums(f->catalog, 4, &more, &oops));
        OK(vx_catalog_commit(f->catalog, &oops));
        assert_true(steps < 20);
    }
    assert_true(steps > 4);
    assert_int_equal(raw_int(f, "SELECT sum(checksum) FROM vectors"), sum);
    assert_int_equal(raw_int(f, "SELECT sum(checksum) FROM fingerprints"), fingerprints);
}

/* ---- Files ---- */

static int mode_of(const fixture *f, const char *suffix) {
    char path[128];
    struct stat facts;
    snprintf(path, sizeof path, "%s%s", f->path, suffix);
    assert_int_equal(stat(path, &facts), 0);
    return facts.st_mode & 0777;
}

static void files_are_for_their_owner_alone_also_those_of_before(void **state) {
    fixture *f = *state;
    mode_t mask = umask(0);
    vx_video_free(add_video(f, 1, 1));
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    for (size_t i = 0; i < VX_LEN(suffixes); i++)
        assert_int_equal(mode_of(f, suffixes[i]), 0600);
    f->catalog = vx_catalog_close(f->catalog);
    char lock[128];
    snprintf(lock, sizeof lock, "%s.lock", f->path);
    assert_int_equal(chmod(f->path, 0644) | chmod(lock, 0666), 0);
    fixture_open(f);
    vx_video_free(add_video(f, 2, 1));
    for (size_t i = 0; i < VX_LEN(suffixes); i++)
        assert_int_equal(mode_of(f, suffixes[i]), 0600);
    umask(mask);
}

static int64_t log_bytes(const fixture *f) {
    char path[128];
    struct stat facts;
    snprintf(path, sizeof path, "%s-wal", f->path);
    return stat(path, &facts) ? -1 : facts.st_size;
}

static void log_is_emptied_once_nobody_writes_and_not_before(void **state) {
    fixture *f = *state;
    vx_video_free(add_video(f, 1, 50));
    assert_true(log_bytes(f) > 0);
    OK(vx_catalog_checkpoint_when_idle(f->catalog, 60 * 1000000, &oops));
    assert_true(log_bytes(f) > 0);
    OK(vx_catalog_checkpoint_when_idle(f->catalog, 0, &oops));
    assert_int_equal(log_bytes(f), 0);
    vx_video_free(add_video(f, 2, 50)); /* and the next commit is as durable as ever */
    assert_true(log_bytes(f) > 0);
    assert_int_equal(raw_int(f, "SELECT count(*) FROM videos"), 2);
}

static void log_that_a_transaction_uses_is_left_alone(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) v = make_video(2, 1);
    vx_video_free(add_video(f, 1, 50));
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(insert_all(f, v, 2, &oops));
    int64_t start_us = vx_clock_monotonic_us();
    OK(vx_catalog_checkpoint_when_idle(f->catalog, 0, &oops));
    assert_true(vx_clock_monotonic_us() - start_us < 2000000); /* it waits for no one */
    OK(vx_catalog_commit(f->catalog, &oops));
    OK(vx_catalog_checkpoint_when_idle(f->catalog, 0, &oops));
    assert_int_equal(log_bytes(f), 0);
    assert_int_equal(raw_int(f, "SELECT count(*) FROM videos"), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(vectors_of_a_video_go_in_at_once_and_read_back),
        TEST(vectors_of_which_one_has_no_clip_are_counted_as_far_as_they_are_in),
        TEST(videos_of_clips_are_found_and_those_of_lost_clips_are_none),
        TEST(vector_with_a_flipped_bit_is_left_out_of_a_scan_and_told),
        TEST(vector_with_a_flipped_bit_is_no_answer),
        TEST(health_is_good_again_once_each_damaged_row_is_replaced_or_gone),
        TEST(vector_under_the_key_of_another_is_told),
        TEST(fingerprint_that_changed_is_no_answer),
        TEST(page_that_sqlite_cannot_read_is_told),
        TEST(full_disk_and_what_is_not_there_are_no_damage),
        TEST(rows_without_checksum_are_read_and_get_theirs_in_steps),
        TEST(files_are_for_their_owner_alone_also_those_of_before),
        TEST(log_is_emptied_once_nobody_writes_and_not_before),
        TEST(log_that_a_transaction_uses_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
