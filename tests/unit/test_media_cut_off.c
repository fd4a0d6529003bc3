/* Media: the small clips of tests/fuzz/media (VX_TEST_SEEDS), cut off at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <libavutil/intreadwrite.h>
#include <sys/mman.h>
#include <unistd.h>

#include "media/packet_table.h"

typedef struct seed_file {
    uint8_t bytes[16 << 10];
    size_t n;
    int fd; /* what is opened: the first bytes of it */
} seed_file;

static void seed_read(seed_file *seed, const char *name) {
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", getenv("VX_TEST_SEEDS"), name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    seed->n = fread(seed->bytes, 1, sizeof(seed->bytes), file);
    assert_in_range(seed->n, 1000, sizeof(seed->bytes) - 1);
    fclose(file);
    seed->fd = memfd_create("cut", 0);
}

/* vx_media_open of the first n bytes; the frames in it, or minus the outcome with its sentence. */
static int64_t open_first(const seed_file *seed, size_t n, vx_err *err) {
    VX_AUTO(vx_media) media = NULL;
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", seed->fd);
    assert_int_equal(ftruncate(seed->fd, 0), 0);
    assert_int_equal(pwrite(seed->fd, seed->bytes, n, 0), (ssize_t)n);
    int rc = vx_media_open(path, NULL, &media, err);
    assert_true(rc >= 0);
    return rc ? -rc : vx_media_get_info(media)->n_frames;
}

static size_t find(const seed_file *seed, const char *name) {
    const uint8_t *at = memmem(seed->bytes, seed->n, name, 4);
    assert_non_null(at);
    return (size_t)(at - seed->bytes);
}

static void mp4_cut_anywhere_is_damaged_and_says_where(void **state) {
    static const char *const names[] = {"h264.mp4", "edit_list.mp4", "mjpeg.mov"};
    (void)state;
    for (size_t i = 0; i < VX_LEN(names); i++) {
        seed_file seed;
        seed_read(&seed, names[i]);
        size_t index = find(&seed, "moov") - 4;
        assert_true(open_first(&seed, seed.n, NULL) > 0);
        for (size_t n = 12; n < seed.n; n++) {
            vx_err err = {0};
            char there[64];
            assert_int_equal(open_first(&seed, n, &err), -VX_MEDIA_DAMAGED);
            assert_non_null(strstr(err.msg, "is its end missing?"));
            if (n >= index + 8) {
                snprintf(there, sizeof(there), ": %zu bytes are there of at least %zu;", n, seed.n);
                assert_non_null(strstr(err.msg, "breaks off inside its index (moov)"));
                assert_non_null(strstr(err.msg, there));
            }
        }
        close(seed.fd);
    }
}

static void fragmented_mp4_is_whole_only_between_its_fragments(void **state) {
    seed_file seed;
    (void)state;
    seed_read(&seed, "h264_fragmented.mp4");
    size_t first = find(&seed, "moof") - 4, first_end = find(&seed, "mdat") - 4;
    first_end += AV_RB32(seed.bytes + first_end);
    int64_t whole = open_first(&seed, seed.n, NULL), n_good = 0;
    for (size_t n = 12; n < seed.n; n++) {
        int64_t frames = open_first(&seed, n, NULL);
        if (n <= first || (n > first + 8 && n < first_end))
            assert_int_equal(frames, -VX_MEDIA_DAMAGED);
        if (n == first_end)
            assert_in_range(frames, 1, whole - 1);
        n_good += frames > 0 && frames < whole;
    }
    assert_in_range(n_good, 1, 3 * 8); /* up to the name of the next fragment's index */
    close(seed.fd);
}

/* Cut anywhere these are damaged up to their first picture; from then on what is there counts. */
static void stream_cut_anywhere_is_damaged_or_shows_what_is_there(void **state) {
    static const struct {
        const char *name;
        size_t from; /* before it the bytes do not even tell what kind of file this is */
        size_t step; /* FFmpeg takes part of a transport stream's packet for another packet size */
    } seeds[] = {{"vp9.webm", 16, 1},
                 {"vp8.webm", 16, 1},
                 {"hevc.mkv", 16, 1},
                 {"mpeg4.avi", 16, 1},
                 {"h264.ts", 2 * 188, 188}};
    (void)state;
    for (size_t i = 0; i < VX_LEN(seeds); i++) {
        seed_file seed;
        seed_read(&seed, seeds[i].name);
        int64_t before = -1, whole = open_first(&seed, seed.n, NULL);
        for (size_t n = seeds[i].from; n < seed.n; n += seeds[i].step) {
            vx_err err = {0};
            int64_t frames = open_first(&seed, n, &err);
            if (frames <= 0) {
                assert_int_equal(before, -1);
                assert_int_equal(frames, -VX_MEDIA_DAMAGED);
                assert_non_null(strstr(err.msg, "is its end missing?"));
                continue;
            }
            assert_in_range(frames, before > 0 ? before : 1, whole);
            before = frames;
        }
        assert_true(before > 0);
        close(seed.fd);
    }
}

typedef struct countdown {
    int n_calls, stop_at;
} countdown;

static bool count_down(void *ctx) {
    countdown *c = ctx;
    return ++c->n_calls < c->stop_at;
}

static void scan_that_its_caller_stops_ends_with_that_and_not_as_damage(void **state) {
    static const char *const names[] = {"h264.mp4", "hevc.mkv", "mpeg4.avi", "h264.ts"};
    (void)state;
    for (size_t i = 0; i < VX_LEN(names); i++) {
        seed_file seed;
        seed_read(&seed, names[i]);
        int64_t whole = open_first(&seed, seed.n, NULL);
        countdown all = {.stop_at = INT32_MAX};
        vx_media_open_params params = {.keep_going = count_down, .ctx = &all};
        char path[64];
        snprintf(path, sizeof(path), "/proc/self/fd/%d", seed.fd);
        VX_AUTO(vx_media) media = NULL;
        assert_int_equal(vx_media_open(path, &params, &media, NULL), 0);
        assert_int_equal(vx_media_get_info(media)->n_frames, whole);
        assert_in_range(all.n_calls, 2, 1000);
        for (int stop_at = 1; stop_at <= all.n_calls; stop_at++) {
            countdown some = {.stop_at = stop_at};
            params.ctx = &some;
            media = vx_media_free(media);
            assert_int_equal(vx_media_open(path, &params, &media, NULL), VX_MEDIA_STOPPED);
        }
        close(seed.fd);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mp4_cut_anywhere_is_damaged_and_says_where),
        cmocka_unit_test(fragmented_mp4_is_whole_only_between_its_fragments),
        cmocka_unit_test(stream_cut_anywhere_is_damaged_or_shows_what_is_there),
        cmocka_unit_test(scan_that_its_caller_stops_ends_with_that_and_not_as_damage),
    };
    return cmocka_run_group_tests_name("media_cut_off", tests, NULL, NULL);
}
