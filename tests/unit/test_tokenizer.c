/* Text to token ids with small vocabularies whose answers can be worked out by hand;
 * tests/tokenizer compares the whole with the tokenizers package. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "embed/embed.h"
#include "embed/tokenizer.h"

#define SPECIAL "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"
static const char small[] = SPECIAL "a\nab\nabc\n##c\n##cd\n!\ncafe\nmass\n\u4e2d\n##d\n##cx\n";
enum { PAD, UNK, CLS, SEP, MASK, A, AB, ABC, _C, _CD, BANG, CAFE, MASS, ZHONG, _D, LENGTH = 8 };

static vx_tokenizer *new_tokenizer(const char *vocab) {
    vx_tokenizer *t = NULL;
    vx_err err;
    if (vx_tokenizer_new(vocab, strlen(vocab), &t, &err))
        fail_msg("%s", err.msg);
    return t;
}

/* Compares the ids between [CLS] and [SEP] with `wanted`, which ends with -1; the rest is PAD. */
static void expect(const char *text, size_t n_bytes, const int64_t *wanted) {
    VX_AUTO(vx_tokenizer) t = new_tokenizer(small);
    int64_t ids[LENGTH], mask[LENGTH];
    vx_err err;
    if (vx_tokenizer_encode(t, text, n_bytes, LENGTH, ids, mask, &err))
        fail_msg("%s", err.msg);
    int n = 0;
    assert_int_equal(ids[0], CLS);
    for (; wanted[n] >= 0; n++)
        assert_int_equal(ids[1 + n], wanted[n]);
    assert_int_equal(ids[1 + n], SEP);
    for (int i = 0; i < LENGTH; i++)
        assert_int_equal(mask[i], i < n + 2);
    for (int i = n + 2; i < LENGTH; i++)
        assert_int_equal(ids[i], PAD);
}
#define EXPECT(text, ...) expect(text, sizeof text - 1, (const int64_t[]){__VA_ARGS__, -1})
#define EXPECT_NOTHING(text) expect(text, sizeof text - 1, (const int64_t[]){-1})

static void word_with_pieces_takes_the_longest_first(void **state) {
    (void)state;
    EXPECT("abc", ABC);
    EXPECT("abcc", ABC, _C);
    EXPECT("abccd", ABC, _CD);
    EXPECT("acdd", A, _CD, _D);
}

/* "ab" and "##cx" would do, but the longest token "abc" is taken and leaves an "x" alone. */
static void word_is_not_searched_for_another_split(void **state) {
    (void)state;
    EXPECT("abcx", UNK);
    EXPECT("abcd", ABC, _D);
}

static void word_without_pieces_is_unknown_as_a_whole(void **state) {
    (void)state;
    EXPECT("abx a", UNK, A);
    EXPECT("c", UNK);
}

static void character_rules_part_and_fold(void **state) {
    (void)state;
    EXPECT("A!ab", A, BANG, AB);
    EXPECT(" \t\r\n\u00a0\u3000a\u2028a", A, A);
    EXPECT("CAF\u00c9 cafe\u0301", CAFE, CAFE);
    EXPECT("a\u4e2da", A, ZHONG, A);
    EXPECT("a\u00adb a\u200bb a\x01\x7f\ufffd\0b", AB, AB, AB);
    EXPECT("ma\u017f\u017f", UNK); /* long s has its own lower case and no decomposition */
    EXPECT_NOTHING("");
    EXPECT_NOTHING(" \u0301\t ");
}

static void special_tokens_in_the_text_are_themselves(void **state) {
    (void)state;
    EXPECT("a[SEP]a [MASK]", A, SEP, A, MASK);
    EXPECT("[sep]", UNK, UNK, UNK);
    EXPECT("[SEP", UNK, UNK);
}

static void text_of_too_many_tokens_is_cut(void **state) {
    (void)state;
    EXPECT("a a a a a a", A, A, A, A, A, A);
    EXPECT("a a a a a abcc a a", A, A, A, A, A, ABC);
}

static void word_of_100_characters_is_the_longest(void **state) {
    (void)state;
    char word[101];
    memset(word, 'a', sizeof word);
    static const char vocab[] = SPECIAL "a\n##a\n##aaaaaaaaa\n";
    VX_AUTO(vx_tokenizer) t = new_tokenizer(vocab);
    int64_t ids[128], mask[128];
    assert_int_equal(vx_tokenizer_encode(t, word, 100, 128, ids, mask, NULL), 0);
    assert_int_equal(ids[1], 5);
    for (int i = 2; i < 13; i++)
        assert_int_equal(ids[i], 7);
    assert_int_equal(ids[13], SEP);
    assert_int_equal(vx_tokenizer_encode(t, word, 101, 128, ids, mask, NULL), 0);
    assert_int_equal(ids[1], UNK);
    assert_int_equal(ids[2], SEP);
}

static void expect_bad_text(const char *text, size_t n_bytes, const char *reason) {
    VX_AUTO(vx_tokenizer) t = new_tokenizer(small);
    int64_t ids[LENGTH], mask[LENGTH];
    vx_err err;
    int r = vx_tokenizer_encode(t, text, n_bytes, LENGTH, ids, mask, &err);
    if (r != VX_EMBED_BAD_TEXT || !strstr(err.msg, reason))
        fail_msg("expected '%s', got %d: %s", reason, r, r ? err.msg : "");
}

static void text_that_is_not_utf8_is_refused_with_the_place(void **state) {
    (void)state;
    expect_bad_text("ab\xff", 3, "byte 2");
    expect_bad_text("\xe4\xb8", 2, "byte 0");              /* cut short */
    expect_bad_text("a\xc0\xaf", 3, "byte 1");             /* longer than need be */
    expect_bad_text("\xed\xa0\x80", 3, "byte 0");          /* a surrogate */
    expect_bad_text("a a a a a a a a\x80", 16, "byte 15"); /* behind what is used */
}

static void text_over_the_limit_is_refused(void **state) {
    (void)state;
    size_t n = VX_TOKENIZER_MAX_TEXT_BYTES + 1;
    char *text = malloc(n);
    assert_non_null(text);
    memset(text, 'a', n);
    expect_bad_text(text, n, "65537 bytes");
    expect(text, n - 1, (const int64_t[]){UNK, -1});
    free(text);
}

static void expect_bad_vocab(const char *vocab, size_t n_bytes, const char *reason) {
    vx_tokenizer *t = NULL;
    vx_err err;
    int r = vx_tokenizer_new(vocab, n_bytes, &t, &err);
    if (r != VX_EMBED_BAD_PACKAGE || !strstr(err.msg, reason))
        fail_msg("expected '%s', got %d: %s", reason, r, r ? err.msg : "");
    assert_null(t);
}
#define EXPECT_BAD_VOCAB(vocab, reason) expect_bad_vocab(vocab, sizeof vocab - 1, reason)

static void vocabulary_with_a_fault_is_refused_with_the_line(void **state) {
    (void)state;
    EXPECT_BAD_VOCAB("", "0 bytes");
    EXPECT_BAD_VOCAB("[UNK]\n[CLS]\n[SEP]\n", "no token [PAD]");
    EXPECT_BAD_VOCAB("[PAD]\n[CLS]\n[SEP]\n", "no token [UNK]");
    EXPECT_BAD_VOCAB("[PAD]\n[UNK]\n[SEP]\n", "no token [CLS]");
    EXPECT_BAD_VOCAB("[PAD]\n[UNK]\n[CLS]\n", "no token [SEP]");
    EXPECT_BAD_VOCAB(SPECIAL "a\nb\na\n", "line 8 repeats line 6: 'a'");
    EXPECT_BAD_VOCAB(SPECIAL "\nb\n", "line 6 is empty");
    EXPECT_BAD_VOCAB(SPECIAL "b\n\n", "line 7 is empty");
    EXPECT_BAD_VOCAB(SPECIAL "\xff\n", "line 6 is not UTF-8");
    char text[600] = SPECIAL;
    memset(text + strlen(text), 'x', VX_VOCAB_MAX_TOKEN_BYTES + 1);
    expect_bad_vocab(text, strlen(text), "line 6 is too long");
}

static void vocabulary_over_the_limit_is_refused(void **state) {
    (void)state;
    size_t n = VX_VOCAB_MAX_BYTES + 1;
    char *vocab = malloc(n);
    assert_non_null(vocab);
    memset(vocab, '\n', n);
    expect_bad_vocab(vocab, n, "8388609 bytes");
    free(vocab);
}

static void vocabulary_with_other_line_ends_is_the_same(void **state) {
    (void)state;
    VX_AUTO(vx_tokenizer) t = new_tokenizer("[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\nab");
    int64_t ids[4], mask[4];
    assert_int_equal(vx_tokenizer_encode(t, "ab", 2, 4, ids, mask, NULL), 0);
    assert_int_equal(ids[1], 4);
    /* no [MASK] there, no piece inside a word either */
    assert_int_equal(vx_tokenizer_encode(t, "abab", 4, 4, ids, mask, NULL), 0);
    assert_int_equal(ids[1], 1);
    assert_int_equal(vx_tokenizer_encode(t, "[MASK]", 6, 3, ids, mask, NULL), 0);
    assert_int_equal(ids[1], 1);
}

static void vocabulary_file_that_is_none_is_refused_by_name(void **state) {
    (void)state;
    vx_tokenizer *t = NULL;
    vx_err err;
    assert_int_equal(vx_tokenizer_open("/", &t, &err), VX_EMBED_BAD_PACKAGE);
    assert_non_null(strstr(err.msg, "/ is not a file"));
    assert_int_equal(vx_tokenizer_open("/dev/null/vocab.txt", &t, &err), -ENOTDIR);
    char path[] = "/tmp/vx-vocab-XXXXXX";
    VX_AUTO_FD int fd = mkstemp(path);
    assert_int_equal(write(fd, "a\na\n", 4), 4);
    int r = vx_tokenizer_open(path, &t, &err);
    unlink(path);
    assert_int_equal(r, VX_EMBED_BAD_PACKAGE);
    assert_non_null(strstr(err.msg, path));
    assert_non_null(strstr(err.msg, "line 2 repeats line 1"));
    assert_null(t);
}

static void length_without_room_is_refused(void **state) {
    (void)state;
    VX_AUTO(vx_tokenizer) t = new_tokenizer(small);
    int64_t ids[2], mask[2];
    assert_int_equal(vx_tokenizer_encode(t, "a", 1, 1, ids, mask, NULL), -EINVAL);
    assert_int_equal(vx_tokenizer_encode(t, "a", 1, 2, ids, mask, NULL), 0);
    assert_int_equal(ids[0], CLS);
    assert_int_equal(ids[1], SEP);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(word_with_pieces_takes_the_longest_first),
        cmocka_unit_test(word_is_not_searched_for_another_split),
        cmocka_unit_test(word_without_pieces_is_unknown_as_a_whole),
        cmocka_unit_test(character_rules_part_and_fold),
        cmocka_unit_test(special_tokens_in_the_text_are_themselves),
        cmocka_unit_test(text_of_too_many_tokens_is_cut),
        cmocka_unit_test(word_of_100_characters_is_the_longest),
        cmocka_unit_test(text_that_is_not_utf8_is_refused_with_the_place),
        cmocka_unit_test(text_over_the_limit_is_refused),
        cmocka_unit_test(vocabulary_with_a_fault_is_refused_with_the_line),
        cmocka_unit_test(vocabulary_over_the_limit_is_refused),
        cmocka_unit_test(vocabulary_with_other_line_ends_is_the_same),
        cmocka_unit_test(vocabulary_file_that_is_none_is_refused_by_name),
        cmocka_unit_test(length_without_room_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
