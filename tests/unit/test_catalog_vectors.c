/* Spaces, vectors and fingerprints, one by one and scanned. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "catalog_fixture.h"

static void space_is_found_again_and_differs_by_digest(void **state) {
    fixture *f = *state;
    int64_t again, other, sized;
    vx_err err;
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_insert_vector_space(f->catalog, "test", "d1", DIM, &again, &oops));
    OK(vx_catalog_insert_vector_space(f->catalog, "test", "d2", DIM, &other, &oops));
    assert_int_equal(vx_catalog_insert_vector_space(f->catalog, "test", "d1", 7, &sized, &err),
                     -EINVAL);
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_int_equal(again, f->space);
    assert_true(other != f->space);
}

static vx_vector_space *find_spaces(fixture *f, size_t n) {
    vx_vector_space *spaces = NULL;
    size_t found = 0;
    OK(vx_catalog_list_vector_spaces(f->catalog, &spaces, &found, &oops));
    assert_int_equal(found, n);
    return spaces;
}

static bool drop(fixture *f, int max) {
    bool more;
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_delete_retired_vectors(f->catalog, max, &more, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    return more;
}

static void retired_space_is_hidden_and_deleted_in_steps(void **state) {
    fixture *f = *state;
    vx_video_free(add_video(f, 1, 5));
    int64_t other, again;
    bool has;
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_insert_vector_space(f->catalog, "other", "d2", DIM, &other, &oops));
    OK(insert_vector(f->catalog, other, 1, (float[DIM]){1}, DIM, &oops));
    OK(vx_catalog_retire_vector_space(f->catalog, f->space, &oops));
    OK(vx_catalog_retire_vector_space(f->catalog, f->space, &oops)); /* twice is as once */
    OK(vx_catalog_insert_vector_space(f->catalog, "test", "d1", DIM, &again, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_true(again != f->space && again != other);
    OK(vx_catalog_has_vectors_of(f->catalog, "test", &has, &oops));
    assert_false(has);

    const int64_t left[] = {5, 3, 1};
    for (size_t i = 0; i < VX_LEN(left); i++) {
        VX_AUTO_FREE vx_vector_space *spaces = find_spaces(f, 3);
        assert_true(spaces[0].row == f->space && spaces[0].retired && !spaces[1].retired);
        assert_string_equal(spaces[0].digest, "d1:1"); /* of 64 digits only these are shown */
        assert_int_equal(spaces[0].vectors, left[i]);
        assert_true(drop(f, 2));
    }
    assert_false(drop(f, 2));
    VX_AUTO_FREE vx_vector_space *spaces = find_spaces(f, 2);
    assert_true(spaces[0].row == other && spaces[0].vectors == 1 && spaces[1].row == again);
    assert_int_equal(raw_int(f, "SELECT count(*) FROM vectors"), 1);
    OK(vx_catalog_has_vectors_of(f->catalog, "other", &has, &oops));
    assert_true(has);
}

static void space_counts_the_vectors_that_videos_bring_and_take(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) v = add_video(f, 1, 3);
    vx_video_free(add_video(f, 2, 2));
    VX_AUTO_FREE vx_vector_space *full = find_spaces(f, 1);
    assert_int_equal(full[0].vectors, 5);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_delete_video(f->catalog, v->id, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    VX_AUTO_FREE vx_vector_space *less = find_spaces(f, 1);
    assert_int_equal(less[0].vectors, 2);
}

static void vector_of_another_space_clip_or_size_is_refused(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) v = make_video(1, 1);
    float vector[DIM + 1] = {1, 2, 3, 4, 5, 6}, read[DIM];
    vx_err err;
    vx_catalog *c = f->catalog;
    OK(vx_catalog_begin(c, &oops));
    OK(vx_catalog_insert_video(c, v, &oops));
    int64_t clip = v->clips[0].row;
    assert_int_equal(insert_vector(c, f->space + 1, clip, vector, DIM, &err), -EINVAL);
    assert_int_equal(insert_vector(c, f->space, clip + 1, vector, DIM, &err), -EINVAL);
    assert_int_equal(insert_vector(c, f->space, clip, vector, DIM + 1, &err), -EINVAL);
    OK(insert_vector(c, f->space, clip, vector, DIM, &oops));
    assert_int_equal(insert_vector(c, f->space, clip, vector, DIM, &err), -EINVAL);
    OK(vx_catalog_commit(c, &oops));
    OK(vx_catalog_get_vector(c, f->space, clip, read, DIM, &oops));
    assert_memory_equal(read, vector, sizeof read);
    assert_int_equal(vx_catalog_get_vector(c, f->space, clip, read, DIM - 1, &err), -EINVAL);
}

static void fingerprint_of_any_size_reads_back(void **state) {
    fixture *f = *state;
    static const size_t sizes[] = {0, 1, 32, 200000}; /* the last spans pages */
    for (size_t i = 0; i < VX_LEN(sizes); i++) {
        VX_AUTO(vx_video) v = make_video((int)i + 1, 0);
        VX_AUTO_FREE uint8_t *data = calloc(1, sizes[i] + 1);
        for (size_t j = 0; j < sizes[i]; j++)
            data[j] = (uint8_t)(j * 7 + i);
        OK(vx_catalog_begin(f->catalog, &oops));
        OK(vx_catalog_insert_video(f->catalog, v, &oops));
        OK(vx_catalog_insert_fingerprint(f->catalog, v->row, data, sizes[i], &oops));
        OK(vx_catalog_commit(f->catalog, &oops));
        VX_AUTO_FREE void *read = NULL;
        size_t bytes = 1;
        OK(vx_catalog_get_fingerprint(f->catalog, v->row, &read, &bytes, &oops));
        assert_int_equal(bytes, sizes[i]);
        assert_memory_equal(read, data, bytes);
    }
}

/* ---- Scans ---- */

#define MAX_CLIP 512

typedef struct scan_log {
    vx_mutex lock;
    int64_t space;
    int seen[MAX_CLIP];
    size_t largest_chunk, calls, stop_after;
} scan_log;

static int log_vectors(void *ctx, const int64_t *clips, const float *vectors, size_t n,
                       vx_err *err) {
    scan_log *log = ctx;
    vx_mutex_lock(&log->lock);
    for (size_t i = 0; i < n; i++) {
        float expected[DIM];
        make_vector(clips[i], log->space, expected);
        bool same = !memcmp(vectors + i * DIM, expected, sizeof expected);
        bool ascending = i == 0 || clips[i] > clips[i - 1];
        log->seen[clips[i]] += same && ascending ? 1 : 1000;
    }
    log->largest_chunk = n > log->largest_chunk ? n : log->largest_chunk;
    bool stop = ++log->calls >= log->stop_after && log->stop_after;
    vx_mutex_unlock(&log->lock);
    return stop ? VX_FAIL(err, 42, "enough") : 0;
}

static scan_log scan(fixture *f, int64_t space, size_t chunk, int threads) {
    scan_log log = {.space = space};
    vx_mutex_init(&log.lock);
    OK(vx_catalog_scan_vectors(f->catalog, space, DIM, chunk, threads, log_vectors, &log, &oops));
    vx_mutex_done(&log.lock);
    return log;
}

static void scan_gives_every_vector_of_the_space_once(void **state) {
    fixture *f = *state;
    int expected[MAX_CLIP] = {0};
    int64_t second;
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_insert_vector_space(f->catalog, "second", "d1", DIM, &second, &oops));
    for (int seed = 1; seed <= 60; seed++) {
        VX_AUTO(vx_video) v = make_video(seed, seed % 7);
        OK(insert_all(f, v, seed, &oops));
        for (size_t i = 0; i < v->n_clips; i++) {
            float vector[DIM];
            make_vector(v->clips[i].row, second, vector);
            OK(insert_vector(f->catalog, second, v->clips[i].row, vector, DIM, &oops));
            expected[v->clips[i].row] = seed % 10 != 0;
        }
        if (seed % 10 == 0)
            OK(vx_catalog_delete_video(f->catalog, v->id, &oops));
    }
    OK(vx_catalog_commit(f->catalog, &oops));
    static const size_t chunks[] = {1, 16, 1000};
    static const int threads[] = {0, 1, 2, 5, 200};
    for (size_t i = 0; i < VX_LEN(chunks); i++) {
        for (size_t j = 0; j < VX_LEN(threads); j++) {
            scan_log log = scan(f, j % 2 ? second : f->space, chunks[i], threads[j]);
            assert_memory_equal(log.seen, expected, sizeof expected);
            assert_true(log.largest_chunk <= chunks[i]);
        }
    }
    assert_int_equal(scan(f, second + 1, 10, 2).calls, 0);
}

static void scan_stopped_by_its_callback_returns_that_code(void **state) {
    fixture *f = *state;
    vx_video_free(add_video(f, 1, 50));
    for (int threads = 1; threads <= 3; threads++) {
        scan_log log = {.space = f->space, .stop_after = 2};
        vx_mutex_init(&log.lock);
        vx_err err = {0};
        assert_int_equal(
            vx_catalog_scan_vectors(f->catalog, f->space, DIM, 2, threads, log_vectors, &log, &err),
            42);
        assert_string_equal(err.msg, "enough");
        assert_true(log.calls < 2 + (size_t)threads);
        vx_mutex_done(&log.lock);
    }
}

static void scan_meeting_a_vector_of_wrong_size_says_so(void **state) {
    fixture *f = *state;
    vx_video_free(add_video(f, 1, 3));
    raw_exec(f->path, "UPDATE vectors SET data = x'00' WHERE key & 0xFF = 2");
    scan_log log = {.space = f->space};
    vx_mutex_init(&log.lock);
    vx_err err = {0};
    assert_int_equal(
        vx_catalog_scan_vectors(f->catalog, f->space, DIM, 8, 1, log_vectors, &log, &err), -EIO);
    assert_string_equal(err.msg, "catalog: the vector of clip 2 has 1 bytes, not 20");
    assert_int_equal(
        vx_catalog_scan_vectors(f->catalog, f->space, DIM, 0, 1, log_vectors, &log, &err), -EINVAL);
    vx_mutex_done(&log.lock);
}

static void clips_lead_to_the_rows_of_their_videos(void **state) {
    fixture *f = *state;
    VX_AUTO(vx_video) a = add_video(f, 1, 2);
    VX_AUTO(vx_video) b = add_video(f, 2, 3);
    VX_AUTO(vx_video) c = add_video(f, 3, 1);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_delete_video(f->catalog, b->id, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    /* Without a's first clip; b's are gone; the last was never there. */
    int64_t clips[] = {a->clips[1].row, b->clips[0].row, b->clips[2].row, c->clips[0].row,
                       c->clips[0].row + 9};
    int64_t want[] = {a->row, 0, 0, c->row, 0}, got[5];
    memset(got, 77, sizeof got);
    OK(vx_catalog_find_videos_of_clips(f->catalog, clips, 5, got, &oops));
    assert_memory_equal(got, want, sizeof got);
    OK(vx_catalog_find_videos_of_clips(f->catalog, clips, 0, got, &oops));
}

/* ---- Scans and the page cache ---- */

enum { WIDE = 1280, N_WIDE = 2000 };

static size_t file_pages(fixture *f) {
    struct stat facts;
    assert_int_equal(fstat(f->catalog->file_fd, &facts), 0);
    return (size_t)(facts.st_size + 4095) / 4096;
}

static size_t cached_pages(fixture *f) {
    size_t n = file_pages(f), cached = 0;
    unsigned char *in_core = calloc(n, 1);
    void *map = mmap(NULL, n * 4096, PROT_READ, MAP_SHARED, f->catalog->file_fd, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mincore(map, n * 4096, in_core), 0);
    for (size_t i = 0; i < n; i++)
        cached += in_core[i] & 1;
    munmap(map, n * 4096);
    free(in_core);
    return cached;
}

/* 10 MB of vectors in a space of their own, folded into the file and out of the page cache. */
static int64_t fill_and_evict(fixture *f) {
    static const float vector[WIDE];
    int64_t space;
    VX_AUTO(vx_video) v = make_video(1, N_WIDE);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_insert_vector_space(f->catalog, "wide", "d1", WIDE, &space, &oops));
    OK(vx_catalog_insert_video(f->catalog, v, &oops));
    for (size_t i = 0; i < v->n_clips; i++)
        OK(insert_vector(f->catalog, space, v->clips[i].row, vector, WIDE, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    fixture_reopen(f);
    assert_int_equal(fsync(f->catalog->file_fd), 0);
    assert_int_equal(posix_fadvise(f->catalog->file_fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    return space;
}

static int count_rows(void *ctx, const int64_t *clips, const float *vectors, size_t n,
                      vx_err *err) {
    (void)clips, (void)vectors, (void)err;
    atomic_fetch_add((atomic_size_t *)ctx, n);
    return 0;
}

static void scan_wide(fixture *f, int64_t space) {
    atomic_size_t seen = 0;
    OK(vx_catalog_scan_vectors(f->catalog, space, WIDE, 100, 2, count_rows, &seen, &oops));
    assert_int_equal(seen, N_WIDE);
}

static void scan_leaves_the_page_cache_as_it_was(void **state) {
    fixture *f = *state;
    int64_t space = fill_and_evict(f);
    size_t n = file_pages(f);
    if (cached_pages(f) > n / 2)
        skip(); /* a file system in memory */
    scan_wide(f, space);
    assert_true(cached_pages(f) < n / 2);
    char page[4096];
    for (size_t i = 0; i < n; i++)
        assert_true(pread(f->catalog->file_fd, page, sizeof page, (off_t)i * 4096) > 0);
    scan_wide(f, space);
    assert_true(cached_pages(f) > n - n / 10);
}

static int check_fingerprint(void *ctx, int64_t video, const void *blob, size_t bytes,
                             vx_err *err) {
    int64_t *next = ctx;
    uint8_t expected[100];
    memset(expected, (int)*next, sizeof expected);
    if (video != *next || bytes != (size_t)*next || (bytes && memcmp(blob, expected, bytes)))
        return VX_FAIL(err, -EILSEQ, "video %d", (int)video);
    return ++*next == 9 ? 43 : 0;
}

static void scan_of_fingerprints_gives_each_in_order_until_stopped(void **state) {
    fixture *f = *state;
    for (int i = 1; i <= 7; i++)
        vx_video_free(add_video(f, i, 0));
    int64_t next = 1;
    OK(vx_catalog_scan_fingerprints(f->catalog, check_fingerprint, &next, &oops));
    assert_int_equal(next, 8);
    vx_video_free(add_video(f, 8, 0));
    vx_video_free(add_video(f, 9, 0));
    next = 1;
    vx_err err;
    assert_int_equal(vx_catalog_scan_fingerprints(f->catalog, check_fingerprint, &next, &err), 43);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(space_is_found_again_and_differs_by_digest),
        TEST(retired_space_is_hidden_and_deleted_in_steps),
        TEST(space_counts_the_vectors_that_videos_bring_and_take),
        TEST(vector_of_another_space_clip_or_size_is_refused),
        TEST(fingerprint_of_any_size_reads_back),
        TEST(scan_gives_every_vector_of_the_space_once),
        TEST(scan_stopped_by_its_callback_returns_that_code),
        TEST(scan_meeting_a_vector_of_wrong_size_says_so),
        TEST(clips_lead_to_the_rows_of_their_videos),
        TEST(scan_leaves_the_page_cache_as_it_was),
        TEST(scan_of_fingerprints_gives_each_in_order_until_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
