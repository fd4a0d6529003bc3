/* Model packages and the batching worker. Good and broken packages come from
 * tests/testmodel/make.py, in $VX_TEST_MODELS. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/thread.h"
#include "embed/embed.h"
#include "package_fixture.h"

enum { T = 4, SIZE = 64, DIM = 64, CLIP_FLOATS = T * 3 * SIZE * SIZE };

static void fill(float *clip, int seed) {
    for (int i = 0; i < CLIP_FLOATS; i++)
        clip[i] = (float)((i * (seed + 3) + i / (97 + seed)) % 255) / 127.0f - 1.0f;
}

/* ---- packages --------------------------------------------------------------------------------*/

static void package_of_tiny_reads_every_field(void **state) {
    (void)state;
    vx_err err;
    VX_AUTO(vx_embedder) e = NULL;
    assert_int_equal(open_package(models(), "tiny", &e, &err), 0);
    const vx_model_info *m = vx_embedder_info(e);
    assert_string_equal(m->name, "tiny");
    assert_string_equal(m->device, "cpu");
    assert_string_equal(m->dtype, "fp32");
    assert_string_equal(m->license, "Apache-2.0");
    assert_int_equal(m->dim, DIM);
    assert_int_equal(m->n_frames, T);
    assert_float_equal(m->target_fps, 2.0, 0);
    assert_int_equal(m->sampling, VX_SAMPLE_SPREAD);
    assert_int_equal(m->preprocess.width_px, SIZE);
    assert_int_equal(m->preprocess.filter, VX_RESIZE_BILINEAR_ANTIALIAS);
    assert_int_equal(m->preprocess.fit, VX_FIT_SQUASH);
    assert_float_equal(m->preprocess.mean[1], 0.5, 0);
    assert_float_equal(m->preprocess.std[2], 0.5, 0);
    assert_float_equal(m->similar_threshold, 0.97, 1e-6);
    assert_int_equal(strlen(m->digest), 64);
    assert_int_equal(strspn(m->digest, "0123456789abcdef"), 64);
}

static void manifest_with_one_wrong_field_is_refused_by_name(void **state) {
    (void)state;
    static const wrong_field rows[] = {
        {NULL, "dim", "0", "dim is 0"},
        {NULL, "dim", "8193", "dim is 8193"},
        {NULL, "dim", "64.0", "dim is not a whole number"},
        {NULL, "dim", "\"64\"", "dim is not a whole number"},
        {NULL, "dim", NULL, "dim is missing"},
        {NULL, "format", "2", "format is 2"},
        {NULL, "metric", "\"l2\"", "metric is 'l2'"},
        {NULL, "name", "\"../tiny\"", "name may hold"},
        {NULL, "name", "\"other\"", "name is 'other'"},
        {NULL, "license", "\"\"", "license is empty"},
        {NULL, "source", "\"a\\u0000b\"", "manifest.json: line"},
        {NULL, "samplng", "\"spread\"", "samplng is no field"},
        {NULL, "files", "[]", "files is not an object"},
        {NULL, "video", "[]", "video is not a list"},
        {NULL, "threshold", "0.9", "threshold is not an object"},
        {"frames", "count", "0", "frames.count is 0"},
        {"frames", "count", "65", "frames.count is 65"},
        {"frames", "fps", "1e999", "manifest.json: line"},
        {"frames", "fps", "-2", "frames.fps is -2"},
        {"frames", "sampling", "\"first\"", "frames.sampling is 'first'"},
        {"picture", "width", "0", "picture.width is 0"},
        {"picture", "height", "1025", "picture.height is 1025"},
        {"picture", "filter", "\"nearest\"", "picture.filter is 'nearest'"},
        {"picture", "fit", "\"pad\"", "picture.fit is 'pad'"},
        {"picture", "std", "[0.5, 0, 0.5]", "picture.std holds"},
        {"picture", "mean", "[0.5, 0.5]", "picture.mean is not a list of 3"},
        {"threshold", "similar", "1.5", "threshold.similar is 1.5"},
        {"files", "../x", "\"00\"", "files.../x is no file name"},
        {"files", ".hidden", "\"00\"", "files..hidden is no file name"},
        {"files", "manifest.json", "\"00\"", "is no file name"},
        {"files", "video.pt", "\"00\"", "files.video.pt is not a SHA-256"},
        {"video[0]", "file", "\"/etc/passwd\"", "video[0].file is not listed"},
        {"video[0]", "device", "\"tpu\"", "video[0].device is 'tpu'"},
        {"video[0]", "dtype", "\"int4\"", "video[0].dtype is 'int4'"},
        {"video[0]", "max_batch", "0", "video[0].max_batch is 0"},
        {"video[0]", "max_batch", "100000000000", "video[0].max_batch is 1e+11"},
        {"video[0]", "needs_amx", "1", "video[0].needs_amx is neither"},
        {"video[0]", "slow", "\"yes\"", "video[0].slow is neither"},
        {"video[0]", "batch", "8", "video[0].batch is no field"},
    };
    expect_each_refused("tiny", rows, VX_LEN(rows));
}

static void copy_model_with_what_its_role_has_not_is_refused(void **state) {
    (void)state;
    static const wrong_field rows[] = {
        {NULL, "role", "\"shots\"", "role is 'shots', not one of search copy"},
        {NULL, "role", "1", "role is not a string"},
        {NULL, "role", NULL, "no \"role\": \"copy\""},
        {"frames", "count", "2", "frames.count is not 1, as role copy has it"},
    };
    copy c = copy_package("pictures");
    vx_embedder *e = NULL;
    vx_err err;
    expect_bad(&c, "has the role copy: it describes pictures");
    const vx_embedder_params params = {
        .models_dir = c.dir, .name = c.name, .role = VX_ROLE_COPY, .device = "cpu", .threads = 1};
    assert_int_equal(vx_embedder_open(&params, &e, &err), 0);
    assert_int_equal(vx_embedder_info(e)->role, VX_ROLE_COPY);
    assert_int_equal(vx_embedder_info(e)->n_frames, 1);
    vx_embedder_free(e);
    for (size_t i = 0; i < VX_LEN(rows); i++) {
        copy bad = copy_package("pictures");
        put(&bad, rows[i].object, rows[i].field, rows[i].value);
        vx_embedder_params of_bad = params;
        of_bad.models_dir = bad.dir;
        int rc = vx_embedder_open(&of_bad, &e, &err);
        if (rc != VX_EMBED_BAD_PACKAGE || !strstr(err.msg, rows[i].reason))
            fail_msg("expected '%s', got %d: %s", rows[i].reason, rc, rc ? err.msg : "");
        remove_copy(&bad);
    }
    remove_copy(&c);
}

static void manifest_that_is_no_json_is_refused_with_its_line(void **state) {
    (void)state;
    copy c = copy_package("tiny");
    FILE *file = fopen(c.manifest_path, "w");
    fputs("{\n\"format\": 1,,}", file);
    fclose(file);
    expect_bad(&c, "manifest.json: line 2");
    file = fopen(c.manifest_path, "w");
    for (int i = 0; i < 300 * 1024; i++)
        fputc(' ', file);
    fclose(file);
    expect_bad(&c, "not a file of at most");
    remove_copy(&c);
}

static void package_with_a_changed_byte_is_refused(void **state) {
    (void)state;
    copy c = copy_package("tiny");
    const char *path = path_in(&c, "video.pt");
    unlink(path);
    FILE *file = fopen(path, "w");
    fputs("something else", file);
    fclose(file);
    expect_bad(&c, "video.pt is damaged");
    unlink(path);
    expect_bad(&c, "video.pt is listed in the manifest but missing");
    remove_copy(&c);
}

/* Gigabytes for another device are not read, but a package without them is not whole. */
static void file_that_is_not_loaded_must_only_be_there(void **state) {
    (void)state;
    copy c = copy_package("tiny");
    vx_err err;
    VX_AUTO(vx_embedder) e = NULL;
    json_object_set_new(json_object_get(c.manifest, "files"), "text.pt",
                        json_string("00000000000000000000000000000000"
                                    "00000000000000000000000000000000"));
    json_t *other = json_deep_copy(json_array_get(json_object_get(c.manifest, "video"), 0));
    json_object_set_new(other, "file", json_string("text.pt"));
    json_object_set_new(other, "dtype", json_string("bf16"));
    json_array_append_new(json_object_get(c.manifest, "video"), other);
    write_manifest(&c);
    expect_bad(&c, "text.pt is listed in the manifest but missing");
    FILE *file = fopen(path_in(&c, "text.pt"), "w");
    fputs("of another digest", file);
    fclose(file);
    if (open_package(c.dir, c.name, &e, &err))
        fail_msg("%s", err.msg);
    assert_string_equal(vx_embedder_info(e)->dtype, "fp32");
    VX_AUTO(vx_embedder) chosen = NULL;
    vx_embedder_params params = {
        .models_dir = c.dir, .name = c.name, .device = "cpu", .dtype = "bf16", .threads = 1};
    assert_int_equal(vx_embedder_open(&params, &chosen, &err), VX_EMBED_BAD_PACKAGE);
    assert_non_null(strstr(err.msg, "text.pt is damaged"));
    remove_copy(&c);
}

static void digest_follows_what_changes_vectors_alone(void **state) {
    (void)state;
    vx_err err;
    copy c = copy_package("tiny");
    char before[65];
    static const struct {
        const char *object, *field;
        double value;
        bool changes;
    } rows[] = {{"threshold", "similar", 0.5, false}, {"frames", "fps", 4.0, true}};
    for (size_t i = 0; i < VX_LEN(rows); i++) {
        VX_AUTO(vx_embedder) e = NULL;
        VX_AUTO(vx_embedder) after = NULL;
        assert_int_equal(open_package(c.dir, "tiny", &e, &err), 0);
        strcpy(before, vx_embedder_info(e)->digest);
        json_object_set_new(json_object_get(c.manifest, rows[i].object), rows[i].field,
                            json_real(rows[i].value));
        write_manifest(&c);
        assert_int_equal(open_package(c.dir, "tiny", &after, &err), 0);
        assert_int_equal(strcmp(before, vx_embedder_info(after)->digest) != 0, rows[i].changes);
    }
    remove_copy(&c);
}

static void module_that_answers_nonsense_is_refused_at_open(void **state) {
    (void)state;
    static const struct {
        const char *name, *reason;
    } rows[] = {
        {"answers-nan", "NaN"},
        {"answers-long", "length 16, not 1"},
        {"answers-dim", "[1, 65], expected [1, 64]"},
        {"answers-tuple", "not a tensor"},
        {"throws", "is invalid for input"},
        {"no-script", "no-script/video.pt"},
    };
    for (size_t i = 0; i < VX_LEN(rows); i++) {
        vx_err err;
        vx_embedder *e = NULL;
        int r = open_package(models(), rows[i].name, &e, &err);
        if (r != VX_EMBED_BAD_PACKAGE || !strstr(err.msg, rows[i].reason))
            fail_msg("%s: expected '%s', got %d: %s", rows[i].name, rows[i].reason, r, err.msg);
        assert_null(e);
    }
}

enum { HUNGRY_FLOATS = 8 * 3 * 32 * 32, HUNGRY_DIM = 48 };

/* hungry runs out of memory on more than two clips, unless they are white. */
static void batch_without_room_is_run_in_halves_from_then_on(void **state) {
    (void)state;
    enum { N = 7 };
    vx_err err;
    VX_AUTO(vx_embedder) e = NULL;
    assert_int_equal(open_package(models(), "hungry", &e, &err), 0);
    VX_AUTO_FREE float *clips = vx_new_array(N * HUNGRY_FLOATS, sizeof(float));
    float together[N * HUNGRY_DIM], alone[HUNGRY_DIM];
    for (int i = 0; i < N * HUNGRY_FLOATS; i++)
        clips[i] = (float)(i * 7 % 255 + i / HUNGRY_FLOATS * 11 % 40) / 150.0f - 1.0f;
    vx_embedder_stats stats;
    vx_embedder_get_stats(e, &stats);
    assert_int_equal(stats.batch, 8);
    assert_int_equal(vx_embedder_run(e, clips, N, together, &err), 0);
    vx_embedder_get_stats(e, &stats);
    assert_int_equal(stats.batch, 2); /* 7, 4, 2 */
    assert_int_equal(stats.out_of_memory, 2);
    assert_int_equal(vx_embedder_run(e, clips, N, together, &err), 0);
    vx_embedder_get_stats(e, &stats);
    assert_int_equal(stats.out_of_memory, 2); /* it was not tried again */
    for (int clip = 0; clip < N; clip++) {
        assert_int_equal(vx_embedder_run(e, clips + clip * HUNGRY_FLOATS, 1, alone, &err), 0);
        for (int i = 0; i < HUNGRY_DIM; i++)
            assert_float_equal(alone[i], together[clip * HUNGRY_DIM + i], 1e-5);
    }
}

static void count_relief(void *ctx) {
    ++*(int *)ctx;
}

static void others_are_told_when_a_batch_has_no_room(void **state) {
    (void)state;
    vx_err err;
    VX_AUTO(vx_embedder) e = NULL;
    assert_int_equal(open_package(models(), "hungry", &e, &err), 0);
    VX_AUTO_FREE float *clips = vx_new_array(7 * HUNGRY_FLOATS, sizeof(float));
    float vectors[7 * HUNGRY_DIM];
    int n_relieved = 0;
    vx_embedder_on_no_memory(e, count_relief, &n_relieved);
    assert_int_equal(vx_embedder_run(e, clips, 7, vectors, &err), 0);
    assert_int_equal(n_relieved, 2); /* 7, 4, 2 */
    assert_int_equal(vx_embedder_run(e, clips, 7, vectors, &err), 0);
    assert_int_equal(n_relieved, 2);
}

static vx_embedder_stats stats_of(vx_embedder *e) {
    vx_embedder_stats stats;
    vx_embedder_get_stats(e, &stats);
    return stats;
}

static void halved_batch_grows_back_when_many_runs_had_room(void **state) {
    (void)state;
    enum { N = 8 };
    vx_err err;
    VX_AUTO(vx_embedder) e = NULL;
    assert_int_equal(open_package(models(), "hungry", &e, &err), 0);
    VX_AUTO_FREE float *clips = vx_new_array(N * HUNGRY_FLOATS, sizeof(float)); /* grey */
    float vectors[N * HUNGRY_DIM];
    assert_int_equal(vx_embedder_run(e, clips, N, vectors, &err), 0);
    assert_int_equal(stats_of(e).batch, 2); /* 8, 4, 2; then four runs of two */
    for (int full = 4; full < 200; full += 4) {
        assert_int_equal(stats_of(e).batch, 2);
        assert_int_equal(vx_embedder_run(e, clips, N, vectors, &err), 0);
    }
    assert_int_equal(stats_of(e).batch, 4);
    assert_int_equal(vx_embedder_run(e, clips, 3, vectors, &err), 0);
    assert_int_equal(stats_of(e).batch, 2); /* it still lacks */
    assert_int_equal(stats_of(e).out_of_memory, 3);
    for (int i = 0; i < N * HUNGRY_FLOATS; i++)
        clips[i] = 1;
    for (int run = 0; run < 50 + 100; run++)
        assert_int_equal(vx_embedder_run(e, clips, N, vectors, &err), 0);
    assert_int_equal(stats_of(e).batch, 8); /* and no more */
    assert_int_equal(stats_of(e).out_of_memory, 3);
}

static void module_without_room_for_one_clip_is_no_device(void **state) {
    (void)state;
    vx_err err;
    vx_embedder *e = NULL;
    assert_int_equal(open_package(models(), "starving", &e, &err), VX_EMBED_NO_DEVICE);
    assert_non_null(strstr(err.msg, "cpu lacks memory for 1 items of starving"));
}

static void fitted_batch_follows_the_measured_memory(void **state) {
    (void)state;
    const int64_t MIB = 1 << 20;
    assert_int_equal(vx_embedder_fit_batch(16, 100000 * MIB, 300 * MIB, 400 * MIB), 16);
    assert_int_equal(vx_embedder_fit_batch(16, 1000 * MIB, 300 * MIB, 400 * MIB), 6); /* 800 */
    assert_int_equal(vx_embedder_fit_batch(16, 1120 * MIB, 300 * MIB, 400 * MIB), 6); /* 896 */
    assert_int_equal(vx_embedder_fit_batch(16, 1130 * MIB, 300 * MIB, 400 * MIB), 7); /* 904 */
    assert_int_equal(vx_embedder_fit_batch(16, 200 * MIB, 300 * MIB, 400 * MIB), 1);
    assert_int_equal(vx_embedder_fit_batch(16, 500 * MIB, 300 * MIB, 300 * MIB), 16);
    assert_int_equal(vx_embedder_fit_batch(1, 10, 300 * MIB, 400 * MIB), 1);
}

static void package_that_is_not_there_is_no_package(void **state) {
    (void)state;
    static const char *const names[] = {"absent",       "",     "..",     "../tiny",
                                        "tiny/../tiny", "Tiny", "tiny\n", ".tiny"};
    for (size_t i = 0; i < VX_LEN(names); i++) {
        vx_err err;
        vx_embedder *e = NULL;
        assert_int_equal(open_package(models(), names[i], &e, &err), VX_EMBED_NO_PACKAGE);
        assert_null(e);
    }
}

static void device_or_dtype_that_is_not_there_is_no_device(void **state) {
    (void)state;
    static const struct {
        const char *device, *dtype, *reason;
    } rows[] = {{"cuda:0", NULL, "no variant for cuda:0"},
                {"gpu", NULL, "is not auto, cpu, all, cuda:N or a list of cuda:N"},
                {"cuda", NULL, "is not auto, cpu, all, cuda:N or a list of cuda:N"},
                {"cpu", "bf16", "no bf16 variant for cpu"}};
    for (size_t i = 0; i < VX_LEN(rows); i++) {
        vx_err err;
        vx_embedder *e = NULL;
        vx_embedder_params params = {.models_dir = models(),
                                     .name = "tiny",
                                     .device = rows[i].device,
                                     .dtype = rows[i].dtype};
        assert_int_equal(vx_embedder_open(&params, &e, &err), VX_EMBED_NO_DEVICE);
        assert_non_null(strstr(err.msg, rows[i].reason));
    }
}

/* A package with a way to run on a GPU and one on the CPU, as the large ones are. */
static void device_that_is_not_there_is_named_though_another_way_comes_last(void **state) {
    (void)state;
    vx_err err;
    vx_embedder *e = NULL;
    copy c = copy_package("tiny");
    json_t *list = json_object_get(c.manifest, "video");
    json_t *way = json_deep_copy(json_array_get(list, 0));
    json_object_set_new(way, "device", json_string("cuda"));
    json_array_insert_new(list, 0, way);
    write_manifest(&c);
    vx_embedder_params params = {.models_dir = c.dir, .name = "tiny", .device = "cuda:99"};
    assert_int_equal(vx_embedder_open(&params, &e, &err), VX_EMBED_NO_DEVICE);
    assert_non_null(strstr(err.msg, "model tiny"));
    assert_non_null(strstr(err.msg, "no device cuda:99: this machine has"));
    remove_copy(&c);
}

/* ---- batching --------------------------------------------------------------------------------*/

typedef struct caller {
    vx_embedder *embedder;
    int seed, n_clips, code;
    float *clips, *vectors;
    pthread_t thread;
    vx_err err;
} caller;

static void *call(void *ctx) {
    caller *c = ctx;
    c->code = vx_embedder_run(c->embedder, c->clips, c->n_clips, c->vectors, &c->err);
    return NULL;
}

static void prepare(caller *c, vx_embedder *e, int seed, int n_clips) {
    *c = (caller){.embedder = e, .seed = seed, .n_clips = n_clips, .code = 77};
    c->clips = vx_new_array((size_t)(n_clips * CLIP_FLOATS), sizeof(float));
    c->vectors = vx_new_array((size_t)(n_clips * DIM), sizeof(float));
    for (int i = 0; i < n_clips; i++)
        fill(c->clips + i * CLIP_FLOATS, seed * 20 + i);
}

static void release(caller *c) {
    free(c->clips);
    free(c->vectors);
}

/* 12 callers with 1 to 11 clips each meet a slow model with batches of 8, so that requests are
 * joined and split; a second embedder with batches of 1 is the oracle. */
static void concurrent_callers_get_what_lone_clips_get(void **state) {
    (void)state;
    enum { N = 12 };
    vx_err err;
    VX_AUTO(vx_embedder) batching = NULL;
    VX_AUTO(vx_embedder) single = NULL;
    assert_int_equal(open_package(models(), "slow", &batching, &err), 0);
    vx_embedder_params params = {
        .models_dir = models(), .name = "tiny", .device = "cpu", .max_batch = 1, .threads = 1};
    assert_int_equal(vx_embedder_open(&params, &single, &err), 0);
    caller callers[N];
    int n_clips = 0;
    for (int i = 0; i < N; i++) {
        prepare(&callers[i], batching, i, i % 4 == 3 ? 11 : 1 + i % 3);
        n_clips += callers[i].n_clips;
        assert_int_equal(vx_thread_start(&callers[i].thread, "caller", call, &callers[i], &err), 0);
    }
    for (int i = 0; i < N; i++)
        pthread_join(callers[i].thread, NULL);
    for (int i = 0; i < N; i++) {
        assert_int_equal(callers[i].code, 0);
        for (int j = 0; j < callers[i].n_clips; j++) {
            float alone[DIM];
            assert_int_equal(
                vx_embedder_run(single, callers[i].clips + j * CLIP_FLOATS, 1, alone, &err), 0);
            for (int d = 0; d < DIM; d++)
                assert_float_equal(alone[d], callers[i].vectors[j * DIM + d], 1e-5);
        }
        release(&callers[i]);
    }
    vx_embedder_stats stats;
    vx_embedder_get_stats(batching, &stats);
    assert_int_equal(stats.clips, n_clips);
    assert_true(stats.batches < n_clips / 2); /* they were joined */
    assert_true(stats.batches >= (n_clips + 7) / 8);
    assert_true(stats.busy_us > 0);
}

static void clip_with_nan_fails_its_own_caller_alone(void **state) {
    (void)state;
    enum { N = 6 };
    vx_err err;
    VX_AUTO(vx_embedder) e = NULL;
    assert_int_equal(open_package(models(), "slow", &e, &err), 0);
    caller callers[N];
    for (int i = 0; i < N; i++) {
        prepare(&callers[i], e, i, 2);
        if (i == 3)
            callers[i].clips[CLIP_FLOATS + 77] = NAN;
        assert_int_equal(vx_thread_start(&callers[i].thread, "caller", call, &callers[i], &err), 0);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].code, i == 3 ? -EIO : 0);
        release(&callers[i]);
    }
}

static void free_while_callers_wait_answers_closed(void **state) {
    (void)state;
    enum { N = 6, CLIPS = 40 };
    vx_err err;
    vx_embedder *e = NULL;
    assert_int_equal(open_package(models(), "slow", &e, &err), 0);
    caller callers[N];
    for (int i = 0; i < N; i++) {
        prepare(&callers[i], e, i, CLIPS);
        assert_int_equal(vx_thread_start(&callers[i].thread, "caller", call, &callers[i], &err), 0);
    }
    vx_embedder_stats stats;
    do { /* wait for the first batch, so that calls are inside */
        usleep(1000);
        vx_embedder_get_stats(e, &stats);
    } while (stats.batches == 0);
    usleep(50 * 1000);
    assert_null(vx_embedder_free(e));
    int n_closed = 0;
    for (int i = 0; i < N; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_true(callers[i].code == 0 || callers[i].code == VX_EMBED_CLOSED);
        n_closed += callers[i].code == VX_EMBED_CLOSED;
        release(&callers[i]);
    }
    assert_true(n_closed > 0); /* 240 clips take far longer than the wait above */
}

/* ---- sampling --------------------------------------------------------------------------------*/

static void sampling_follows_the_published_tables(void **state) {
    (void)state;
    static const struct {
        vx_sampling rule;
        int t;
        int64_t n, want[8];
    } rows[] = {
        {VX_SAMPLE_SPREAD, 8, 17, {0, 2, 4, 6, 9, 11, 13, 16}},
        {VX_SAMPLE_SPREAD, 8, 8, {0, 1, 2, 3, 4, 5, 6, 7}},
        {VX_SAMPLE_SPREAD, 8, 21, {0, 2, 5, 8, 11, 14, 17, 20}},
        {VX_SAMPLE_SPREAD, 8, 3, {0, 0, 0, 0, 1, 1, 1, 2}},
        {VX_SAMPLE_SPREAD, 8, 1, {0}},
        {VX_SAMPLE_SPREAD, 1, 9, {0}},
        {VX_SAMPLE_CURATOR, 8, 21, {0, 2, 4, 6, 8, 10, 12, 14}},
        {VX_SAMPLE_CURATOR, 8, 15, {0, 1, 2, 3, 4, 5, 6, 7}},
        {VX_SAMPLE_CURATOR, 8, 16, {0, 2, 4, 6, 8, 10, 12, 14}},
        {VX_SAMPLE_CURATOR, 8, 3, {0, 0, 0, 0, 1, 1, 1, 2}},
    };
    for (size_t i = 0; i < VX_LEN(rows); i++) {
        vx_model_info model = {.n_frames = rows[i].t, .sampling = rows[i].rule};
        int64_t got[8];
        vx_model_sample(&model, rows[i].n, got);
        for (int k = 0; k < rows[i].t; k++)
            assert_int_equal(got[k], rows[i].want[k]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(package_of_tiny_reads_every_field),
        cmocka_unit_test(manifest_with_one_wrong_field_is_refused_by_name),
        cmocka_unit_test(copy_model_with_what_its_role_has_not_is_refused),
        cmocka_unit_test(manifest_that_is_no_json_is_refused_with_its_line),
        cmocka_unit_test(package_with_a_changed_byte_is_refused),
        cmocka_unit_test(file_that_is_not_loaded_must_only_be_there),
        cmocka_unit_test(digest_follows_what_changes_vectors_alone),
        cmocka_unit_test(module_that_answers_nonsense_is_refused_at_open),
        cmocka_unit_test(batch_without_room_is_run_in_halves_from_then_on),
        cmocka_unit_test(others_are_told_when_a_batch_has_no_room),
        cmocka_unit_test(halved_batch_grows_back_when_many_runs_had_room),
        cmocka_unit_test(module_without_room_for_one_clip_is_no_device),
        cmocka_unit_test(fitted_batch_follows_the_measured_memory),
        cmocka_unit_test(package_that_is_not_there_is_no_package),
        cmocka_unit_test(device_or_dtype_that_is_not_there_is_no_device),
        cmocka_unit_test(device_that_is_not_there_is_named_though_another_way_comes_last),
        cmocka_unit_test(concurrent_callers_get_what_lone_clips_get),
        cmocka_unit_test(clip_with_nan_fails_its_own_caller_alone),
        cmocka_unit_test(free_while_callers_wait_answers_closed),
        cmocka_unit_test(sampling_follows_the_published_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
