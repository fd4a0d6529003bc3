/* NVDEC without a card: whole clips, divided among decoders, and what makes one go to the CPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <libavformat/avformat.h>
#include <unistd.h>

#include "media/demux.h"
#include "media/nvdec.h"
#include "nvdec_fixture.h"

/* ---- whole clips ---- */

/* A Matroska file with one packet for each text; no demuxer looks into MJPEG's packets. */
static char *write_clip(const char *const *packets, int64_t n) {
    char *path = strdup("/tmp/vidx-nvdec-XXXXXX");
    close(mkstemp(path));
    AVFormatContext *out = NULL;
    assert_true(avformat_alloc_output_context2(&out, NULL, "matroska", path) >= 0);
    AVStream *stream = avformat_new_stream(out, NULL);
    stream->codecpar->codec_type = AVMEDIA_TYPE_VIDEO;
    stream->codecpar->codec_id = AV_CODEC_ID_MJPEG;
    stream->codecpar->width = 1920;
    stream->codecpar->height = 1080;
    stream->codecpar->format = AV_PIX_FMT_YUVJ420P;
    assert_true(avio_open(&out->pb, path, AVIO_FLAG_WRITE) >= 0);
    assert_true(avformat_write_header(out, NULL) >= 0);
    for (int64_t i = 0; i < n; i++) {
        AVPacket *packet = av_packet_alloc();
        size_t n_bytes = strlen(packets[i]);
        assert_int_equal(av_new_packet(packet, (int)n_bytes), 0);
        memcpy(packet->data, packets[i], n_bytes);
        packet->pts = packet->dts = i * 100;
        packet->flags = AV_PKT_FLAG_KEY;
        assert_true(av_write_frame(out, packet) >= 0);
        av_packet_free(&packet);
    }
    av_write_trailer(out);
    avio_closep(&out->pb);
    avformat_free_context(out);
    return path;
}

/* A clip of n_gops groups of 10 pictures, whose packet `odd_at` holds `odd` instead. */
typedef struct clip_fixture {
    table t;
    const char *packets[400];
    char *path;
    vx_nvdec *nvdec;
    pthread_mutex_t lock;
    int times_got[400];
    int fail_at; /* this frame is refused by the receiver */
    atomic_int asked, stop_at;
} clip_fixture;

static void clip_begin(clip_fixture *f, int n_gops, int odd_at, const char *odd, int max_decoders) {
    char stream[500] = "";
    memset(f, 0, sizeof *f);
    pthread_mutex_init(&f->lock, NULL);
    for (int g = 0; g < n_gops; g++)
        strcat(stream, "IPPPPPPPPP");
    make_table(&f->t, stream);
    vx_media *m = &f->t.media;
    for (int64_t i = 0; i < m->n_packets; i++) {
        f->packets[i] = i == odd_at ? odd : i % 10 == 0 ? HD "P" : "P";
        f->t.packets[i].n_bytes = (uint32_t)strlen(f->packets[i]);
        f->t.packets[i].pos = -1;
    }
    f->path = write_clip(f->packets, m->n_packets);
    m->path = f->path;
    m->limits = vx_media_limits_or_default(NULL);
    fake_reset();
    const vx_nvdec_params params = {.max_decoders = max_decoders, .driver = &fake_driver};
    assert_int_equal(vx_nvdec_open(&params, &f->nvdec, NULL), 0);
}

static void clip_end(clip_fixture *f) {
    vx_nvdec_free(f->nvdec);
    assert_true(fake_is_empty());
    unlink(f->path);
    free(f->path);
}

static int note_frame(void *ctx, const vx_frame *frame, bool requested, vx_err *err) {
    clip_fixture *f = ctx;
    (void)requested;
    pthread_mutex_lock(&f->lock);
    f->times_got[frame->number]++;
    pthread_mutex_unlock(&f->lock);
    return f->fail_at && frame->number == f->fail_at ? VX_FAIL(err, 7, "enough") : 0;
}

static bool goes_on_until(void *ctx) {
    clip_fixture *f = ctx;
    return ++f->asked != f->stop_at;
}

static int decode_frames(clip_fixture *f, int64_t step, vx_nvdec_decode_stats *stats, vx_err *err) {
    int64_t frames[400], n = 0;
    for (int64_t i = 0; i < f->t.media.info.n_frames; i += step)
        frames[n++] = i;
    const vx_nvdec_decode_params params = {.frames = frames,
                                           .n = n,
                                           .keep_going = f->stop_at ? goes_on_until : NULL,
                                           .on_frame = note_frame,
                                           .ctx = f};
    return vx_nvdec_decode(f->nvdec, &f->t.media, &params, stats, err);
}

static void a_clip_alone_is_decoded_by_several_decoders(void **state) {
    (void)state;
    clip_fixture f;
    vx_nvdec_decode_stats stats;
    clip_begin(&f, 12, -1, NULL, 4);
    assert_int_equal(decode_frames(&f, 1, &stats, NULL), 0);
    assert_int_equal(stats.n_parts, 4);
    assert_int_equal(stats.n_fed, 120);
    for (int i = 0; i < 120; i++)
        assert_int_equal(f.times_got[i], 1);
    assert_int_equal(decode_frames(&f, 10, &stats, NULL), 0);
    assert_int_equal(stats.n_fed, 12);
    for (int i = 0; i < 120; i++)
        assert_int_equal(f.times_got[i], i % 10 == 0 ? 2 : 1);
    vx_nvdec_stats all;
    vx_nvdec_get_stats(f.nvdec, &all);
    assert_int_equal(all.n_queued, 0);
    clip_end(&f);
}

static void a_clip_with_a_damaged_picture_goes_to_the_cpu(void **state) {
    (void)state;
    static const char *const odd[] = {"?", "E", "L", "Sx\x22\x08P"};
    static const vx_nvdec_reason reasons[] = {VX_NVDEC_DAMAGED, VX_NVDEC_DAMAGED, VX_NVDEC_DAMAGED,
                                              VX_NVDEC_CHANGED};
    for (size_t i = 0; i < VX_LEN(odd); i++) {
        clip_fixture f;
        vx_nvdec_decode_stats stats;
        vx_err err = {0};
        clip_begin(&f, 12, 65, odd[i], 4);
        assert_int_equal(decode_frames(&f, 1, &stats, &err), VX_NVDEC_REFUSED);
        assert_int_equal(stats.reason, reasons[i]);
        assert_true(err.msg[0] != 0);
        clip_end(&f);
    }
}

static void a_clip_whose_file_was_cut_off_goes_to_the_cpu(void **state) {
    (void)state;
    clip_fixture f;
    vx_nvdec_decode_stats stats;
    clip_begin(&f, 4, -1, NULL, 2);
    unlink(f.path);
    free(f.path);
    f.t.media.path = f.path = write_clip(f.packets, 25);
    assert_int_equal(decode_frames(&f, 1, &stats, NULL), VX_NVDEC_REFUSED);
    assert_int_equal(stats.reason, VX_NVDEC_DAMAGED);
    clip_end(&f);
}

static void clips_without_proven_packets_are_not_tried(void **state) {
    (void)state;
    clip_fixture f;
    vx_nvdec_decode_stats stats;
    clip_begin(&f, 4, -1, NULL, 2);
    f.t.media.may_skip = false;
    assert_int_equal(decode_frames(&f, 1, &stats, NULL), VX_NVDEC_REFUSED);
    assert_int_equal(stats.reason, VX_NVDEC_STREAM);
    f.t.media.may_skip = true;
    f.t.media.by_order = true;
    assert_int_equal(decode_frames(&f, 1, &stats, NULL), VX_NVDEC_REFUSED);
    assert_int_equal(stats.reason, VX_NVDEC_STREAM);
    assert_int_equal(fake.calls[FAKE_PARSE], 0);
    clip_end(&f);
}

static void stopping_ends_a_decode_whenever_it_comes(void **state) {
    (void)state;
    for (int at = 1; at < 130; at += 16) {
        clip_fixture f;
        clip_begin(&f, 12, -1, NULL, 2);
        f.stop_at = at;
        int rc = decode_frames(&f, 1, NULL, NULL);
        assert_true(rc == VX_MEDIA_STOPPED || (rc == 0 && at > 120));
        clip_end(&f);
    }
}

static void what_the_receiver_returns_is_returned(void **state) {
    (void)state;
    clip_fixture f;
    vx_err err = {0};
    clip_begin(&f, 12, -1, NULL, 4);
    f.fail_at = 77;
    assert_int_equal(decode_frames(&f, 1, NULL, &err), 7);
    assert_string_equal(err.msg, "enough");
    clip_end(&f);
}

static void a_full_card_decodes_with_fewer_decoders(void **state) {
    (void)state;
    clip_fixture f;
    vx_nvdec_decode_stats stats;
    clip_begin(&f, 12, -1, NULL, 4);
    fake.memory_for = 1;
    assert_int_equal(decode_frames(&f, 1, &stats, NULL), 0);
    assert_int_equal(stats.n_parts, 4);
    assert_int_equal(fake.most_decoders, 1);
    clip_end(&f);
}

static void a_card_without_memory_refuses_the_clip(void **state) {
    (void)state;
    clip_fixture f;
    vx_nvdec_decode_stats stats;
    clip_begin(&f, 2, -1, NULL, 1);
    fake.fail_at[FAKE_CREATE_DECODER] = 1;
    fake.fail_with = VX_CUDA_OUT_OF_MEMORY;
    assert_int_equal(decode_frames(&f, 1, &stats, NULL), VX_NVDEC_REFUSED);
    assert_int_equal(stats.reason, VX_NVDEC_MEMORY);
    assert_int_equal(decode_frames(&f, 1, &stats, NULL), 0); /* when there is memory again */
    clip_end(&f);
}

typedef struct caller {
    clip_fixture *f;
    int rc;
} caller;

static void *call_decode(void *ctx) {
    caller *c = ctx;
    for (int i = 0; i < 5 && c->rc == 0; i++)
        c->rc = decode_frames(c->f, 1, NULL, NULL);
    return NULL;
}

static void many_callers_share_the_decoders(void **state) {
    (void)state;
    enum { N = 8 };
    clip_fixture f;
    caller callers[N];
    pthread_t threads[N];
    clip_begin(&f, 12, -1, NULL, 3);
    for (int i = 0; i < N; i++) {
        callers[i] = (caller){.f = &f};
        pthread_create(&threads[i], NULL, call_decode, &callers[i]);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(callers[i].rc, 0);
    }
    for (int i = 0; i < 120; i++)
        assert_int_equal(f.times_got[i], 5 * N);
    assert_true(fake.most_decoders <= 3);
    clip_end(&f);
}

static void a_card_that_is_not_there_is_an_error(void **state) {
    (void)state;
    fake_reset();
    vx_nvdec *nvdec = NULL;
    vx_err err = {0};
    const vx_nvdec_params params = {.device = 3, .driver = &fake_driver};
    assert_int_equal(vx_nvdec_open(&params, &nvdec, &err), -ENODEV);
    assert_non_null(strstr(err.msg, "cuda:3"));
    assert_true(fake_is_empty());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clip_alone_is_decoded_by_several_decoders),
        cmocka_unit_test(a_clip_with_a_damaged_picture_goes_to_the_cpu),
        cmocka_unit_test(a_clip_whose_file_was_cut_off_goes_to_the_cpu),
        cmocka_unit_test(clips_without_proven_packets_are_not_tried),
        cmocka_unit_test(stopping_ends_a_decode_whenever_it_comes),
        cmocka_unit_test(what_the_receiver_returns_is_returned),
        cmocka_unit_test(a_full_card_decodes_with_fewer_decoders),
        cmocka_unit_test(a_card_without_memory_refuses_the_clip),
        cmocka_unit_test(many_callers_share_the_decoders),
        cmocka_unit_test(a_card_that_is_not_there_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
