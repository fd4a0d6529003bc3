/* The text tower of a package: what the loader refuses, and what a text becomes. tiny-text is tiny
 * with a text tower that knows seven words, see tests/testmodel/make.py. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/thread.h"
#include "package_fixture.h"

enum { T = 4, SIZE = 64, DIM = 64, CLIP_FLOATS = T * 3 * SIZE * SIZE };

static int run(vx_embedder *e, const char *text, float vector[DIM], vx_err *err) {
    return vx_embedder_run_text(e, text, strlen(text), vector, err);
}

static float dot(const float *a, const float *b) {
    float sum = 0;
    for (int i = 0; i < DIM; i++)
        sum += a[i] * b[i];
    return sum;
}

static void package_with_text_says_so(void **state) {
    (void)state;
    vx_err err;
    VX_AUTO(vx_embedder) with = NULL;
    VX_AUTO(vx_embedder) without = NULL;
    assert_int_equal(open_package(models(), "tiny-text", &with, &err), 0);
    assert_int_equal(open_package(models(), "tiny", &without, &err), 0);
    assert_true(vx_embedder_info(with)->has_text);
    assert_int_equal(vx_embedder_info(with)->text_length, 16);
    assert_string_equal(vx_embedder_info(with)->text_quality, "7 words");
    assert_false(vx_embedder_info(without)->has_text);
    float vector[DIM];
    assert_int_equal(run(without, "left", vector, &err), VX_EMBED_NO_TEXT);
    assert_non_null(strstr(err.msg, "model tiny takes no text"));
}

static void text_tower_does_not_change_the_space_of_the_videos(void **state) {
    (void)state;
    vx_err err;
    VX_AUTO(vx_embedder) with = NULL;
    VX_AUTO(vx_embedder) without = NULL;
    assert_int_equal(open_package(models(), "tiny-text", &with, &err), 0);
    assert_int_equal(open_package(models(), "tiny", &without, &err), 0);
    assert_string_equal(vx_embedder_info(with)->digest, vx_embedder_info(without)->digest);
}

/* A clip whose frames are lighter on one side, and the words for the four sides. */
static void words_are_near_the_clips_that_they_describe(void **state) {
    (void)state;
    static const char *const words[] = {"left", "right", "top", "bottom"};
    vx_err err;
    VX_AUTO(vx_embedder) e = NULL;
    assert_int_equal(open_package(models(), "tiny-text", &e, &err), 0);
    VX_AUTO_FREE float *clip = vx_new_array(CLIP_FLOATS, sizeof(float));
    for (int side = 0; side < 4; side++) {
        for (int i = 0; i < CLIP_FLOATS; i++) {
            int at = side < 2 ? i % SIZE : i / SIZE % SIZE;
            clip[i] = (float)(side % 2 ? at : SIZE - 1 - at) / SIZE;
        }
        float of_clip[DIM], best = -2;
        int found = -1;
        assert_int_equal(vx_embedder_run(e, clip, 1, of_clip, &err), 0);
        for (int word = 0; word < 4; word++) {
            float of_word[DIM];
            assert_int_equal(run(e, words[word], of_word, &err), 0);
            assert_float_equal(dot(of_word, of_word), 1, 1e-5);
            if (dot(of_word, of_clip) > best)
                best = dot(of_word, of_clip), found = word;
        }
        assert_int_equal(found, side);
        assert_true(best > 0.8f);
    }
}

static void text_is_folded_and_cut_as_the_tokenizer_does(void **state) {
    (void)state;
    vx_err err;
    VX_AUTO(vx_embedder) e = NULL;
    assert_int_equal(open_package(models(), "tiny-text", &e, &err), 0);
    float a[DIM], b[DIM];
    assert_int_equal(run(e, "left red", a, &err), 0);
    assert_int_equal(run(e,
                         "  L\xc3\x89"
                         "FT\tRED \n",
                         b, &err),
                     0);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(run(e, "left left left left left left left", a, &err), 0);
    assert_int_equal(
        run(e, "left left left left left left left left left left left left left left", a, &err),
        0); /* [CLS], 14 words, [SEP]: what fits */
    assert_int_equal(
        run(e, "left left left left left left left left left left left left left left red red", b,
            &err),
        0);
    assert_memory_equal(a, b, sizeof a);
}

/* How many ids the modules of these two packages saw is the place of the 1 in what they answer. */
static int seen_length(const char *package, const char *text) {
    vx_err err;
    VX_AUTO(vx_embedder) e = NULL;
    assert_int_equal(open_package(models(), package, &e, &err), 0);
    float vector[DIM];
    assert_int_equal(run(e, text, vector, &err), 0);
    int place = 0;
    while (place < DIM && vector[place] < 0.5f)
        place++;
    return place;
}

static void padding_is_cut_off_to_a_multiple_of_eight(void **state) {
    (void)state;
    assert_int_equal(seen_length("text-tells-length", "red"), 8);
    assert_int_equal(seen_length("text-tells-length", "red left left left left left"), 8);
    assert_int_equal(seen_length("text-tells-length", "red left left left left left left"), 16);
}

static void padding_stays_where_the_module_answers_otherwise_without_it(void **state) {
    (void)state;
    assert_int_equal(seen_length("text-needs-length", "red"), 16);
}

static void text_that_cannot_be_read_is_bad_text(void **state) {
    (void)state;
    enum { LONG = 1 << 20 };
    vx_err err;
    VX_AUTO(vx_embedder) e = NULL;
    VX_AUTO_FREE char *large = malloc(LONG);
    assert_int_equal(open_package(models(), "tiny-text", &e, &err), 0);
    memset(large, 'a', LONG);
    float vector[DIM];
    assert_int_equal(run(e, "left \xff", vector, &err), VX_EMBED_BAD_TEXT);
    assert_non_null(strstr(err.msg, "UTF-8"));
    assert_int_equal(vx_embedder_run_text(e, large, LONG, vector, &err), VX_EMBED_BAD_TEXT);
    assert_non_null(strstr(err.msg, "1048576"));
    static const char *const empty[] = {"", "  \t\n", "\xc2\xa0"};
    for (size_t i = 0; i < VX_LEN(empty); i++) {
        assert_int_equal(run(e, empty[i], vector, &err), VX_EMBED_BAD_TEXT);
        assert_non_null(strstr(err.msg, "no words"));
    }
}

/* ---- concurrent callers ------------------------------------------------------------------------*/

typedef struct caller {
    vx_embedder *embedder;
    const char *text;
    float vector[DIM];
    int code;
    pthread_t thread;
} caller;

static void *call(void *ctx) {
    caller *c = ctx;
    for (int i = 0; i < 50 && !c->code; i++)
        c->code = run(c->embedder, c->text, c->vector, NULL);
    return NULL;
}

static void concurrent_texts_get_what_lone_texts_get(void **state) {
    (void)state;
    enum { N = 24 };
    static const char *const texts[] = {"left",       "right red", "top",
                                        "green blue", "a",         "bottom x y"};
    vx_err err;
    VX_AUTO(vx_embedder) e = NULL;
    assert_int_equal(open_package(models(), "tiny-text", &e, &err), 0);
    caller callers[N];
    for (int i = 0; i < N; i++) {
        callers[i] = (caller){.embedder = e, .text = texts[i % (int)VX_LEN(texts)]};
        assert_int_equal(vx_thread_start(&callers[i].thread, "caller", call, &callers[i], &err), 0);
    }
    for (int i = 0; i < N; i++) {
        float alone[DIM];
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].code, 0);
        assert_int_equal(run(e, callers[i].text, alone, &err), 0);
        for (int d = 0; d < DIM; d++)
            assert_float_equal(alone[d], callers[i].vector[d], 1e-6);
    }
    vx_embedder_stats stats;
    vx_embedder_get_stats(e, &stats);
    assert_int_equal(stats.clips, 0); /* which counts videos */
}

/* ---- packages that are wrong -------------------------------------------------------------------*/

static void wrong_text_field_is_refused_by_name(void **state) {
    (void)state;
    static const wrong_field rows[] = {
        {NULL, "text", "true", "text is not an object"},
        {"text", "file", NULL, "text.file is missing"},
        {"text", "file", "\"other.pt\"", "text.file is not listed"},
        {"text", "file", "\"video.pt\"", "text.file is a file of the video tower"},
        {"text", "vocab", NULL, "text.vocab is missing"},
        {"text", "vocab", "\"../vocab.txt\"", "text.vocab is not listed"},
        {"text", "vocab", "\"video.pt\"", "text.vocab is a file of the video tower"},
        {"text", "vocab", "\"text.pt\"", "text.vocab is the same as file"},
        {"text", "length", NULL, "text.length is missing"},
        {"text", "length", "1", "text.length is 1"},
        {"text", "length", "513", "text.length is 513"},
        {"text", "quality", "7", "text.quality is not a string"},
        {"text", "tokens", "7", "text.tokens is no field"},
    };
    expect_each_refused("tiny-text", rows, VX_LEN(rows));
}

static void text_tower_that_answers_nonsense_is_refused_at_open(void **state) {
    (void)state;
    static const struct {
        const char *name, *reason;
    } rows[] = {
        {"text-nan", "NaN"}, {"text-dim", "[1, 65], expected [1, 64]"}, {"text-no-unk", "[UNK]"}};
    for (size_t i = 0; i < VX_LEN(rows); i++) {
        vx_err err;
        vx_embedder *e = NULL;
        int r = open_package(models(), rows[i].name, &e, &err);
        if (r != VX_EMBED_BAD_PACKAGE || !strstr(err.msg, rows[i].reason))
            fail_msg("%s: expected '%s', got %d: %s", rows[i].name, rows[i].reason, r, err.msg);
        assert_null(e);
    }
}

static void changed_vocabulary_is_refused(void **state) {
    (void)state;
    copy c = copy_package("tiny-text");
    unlink(path_in(&c, "vocab.txt"));
    FILE *file = fopen(c.path, "w");
    fputs("[PAD]\n", file);
    fclose(file);
    expect_bad(&c, "vocab.txt is damaged");
    /* where no text is asked for, it is not read either */
    vx_err err;
    VX_AUTO(vx_embedder) e = NULL;
    vx_embedder_params params = {
        .models_dir = c.dir, .name = c.name, .device = "cpu", .threads = 1, .video_only = true};
    if (vx_embedder_open(&params, &e, &err))
        fail_msg("%s", err.msg);
    remove_copy(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(package_with_text_says_so),
        cmocka_unit_test(text_tower_does_not_change_the_space_of_the_videos),
        cmocka_unit_test(words_are_near_the_clips_that_they_describe),
        cmocka_unit_test(text_is_folded_and_cut_as_the_tokenizer_does),
        cmocka_unit_test(padding_is_cut_off_to_a_multiple_of_eight),
        cmocka_unit_test(padding_stays_where_the_module_answers_otherwise_without_it),
        cmocka_unit_test(text_that_cannot_be_read_is_bad_text),
        cmocka_unit_test(concurrent_texts_get_what_lone_texts_get),
        cmocka_unit_test(wrong_text_field_is_refused_by_name),
        cmocka_unit_test(text_tower_that_answers_nonsense_is_refused_at_open),
        cmocka_unit_test(changed_vocabulary_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
