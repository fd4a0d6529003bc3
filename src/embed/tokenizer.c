/* tokenizer.c — one pass over a text: characters are folded into a word, words become ids. */
#include "tokenizer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <utf8proc.h>

#include "embed.h"
#include "uncased.h"

enum { MAX_WORD_CHARACTERS = 100, MAX_WORD_BYTES = 4 * MAX_WORD_CHARACTERS };

enum special { PAD, UNK, CLS, SEP, MASK, N_SPECIAL };
static const char *const special_text[N_SPECIAL] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

struct vx_tokenizer {
    vx_vocab *vocab;
    int32_t special[N_SPECIAL]; /* ids; that of [MASK] may be -1 */
};

/* What is made of a text so far. */
typedef struct sink {
    const vx_tokenizer *tokenizer;
    int64_t *ids;
    int n, room; /* room: without [SEP] */
    int n_word_characters;
    size_t n_word_bytes; /* of the first MAX_WORD_CHARACTERS */
    char word[MAX_WORD_BYTES];
} sink;

static void add_id(sink *out, int32_t id) {
    if (out->n < out->room)
        out->ids[out->n++] = id;
}

static void end_word(sink *out) {
    if (out->n_word_characters == 0)
        return;
    int32_t pieces[MAX_WORD_BYTES];
    size_t n = 0;
    if (out->n_word_characters <= MAX_WORD_CHARACTERS)
        n = vx_vocab_split(out->tokenizer->vocab, out->word, out->n_word_bytes, pieces);
    if (n == 0)
        pieces[n++] = out->tokenizer->special[UNK];
    for (size_t i = 0; i < n; i++)
        add_id(out, pieces[i]);
    out->n_word_characters = 0;
    out->n_word_bytes = 0;
}

static void add_character(sink *out, vx_uncased character) {
    if (character.c == ' ' || character.alone)
        end_word(out);
    if (character.c == ' ')
        return;
    if (out->n_word_characters++ < MAX_WORD_CHARACTERS)
        out->n_word_bytes += (size_t)utf8proc_encode_char(
            character.c, (utf8proc_uint8_t *)out->word + out->n_word_bytes);
    if (character.alone)
        end_word(out);
}

/* The special token that the text begins with: its length in bytes and its id, or 0. */
static size_t special_at(const vx_tokenizer *tokenizer, const char *text, size_t n_bytes,
                         int32_t *ret_id) {
    if (*text != '[')
        return 0;
    for (int i = 0; i < N_SPECIAL; i++) {
        size_t n = strlen(special_text[i]);
        *ret_id = tokenizer->special[i];
        if (*ret_id >= 0 && n <= n_bytes && !memcmp(text, special_text[i], n))
            return n;
    }
    return 0;
}

/* The whole text is read even when no room is left, so that bad UTF-8 is refused anywhere. */
static int add_text(sink *out, const char *text, size_t n_bytes, vx_err *err) {
    for (size_t at = 0; at < n_bytes;) {
        int32_t id, c;
        size_t n = special_at(out->tokenizer, text + at, n_bytes - at, &id);
        if (n > 0) {
            end_word(out);
            add_id(out, id);
            at += n;
            continue;
        }
        utf8proc_ssize_t n_read = utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                                                   (utf8proc_ssize_t)(n_bytes - at), &c);
        if (n_read <= 0)
            return VX_FAIL(err, VX_EMBED_BAD_TEXT, "the text is not UTF-8 at byte %zu", at);
        at += (size_t)n_read;
        if (out->n == out->room)
            continue;
        vx_uncased folded[VX_UNCASED_MAX_OUT];
        int n_folded = vx_uncased_fold(c, folded);
        for (int i = 0; i < n_folded; i++)
            add_character(out, folded[i]);
    }
    end_word(out);
    return 0;
}

int vx_tokenizer_encode(const vx_tokenizer *tokenizer, const char *text, size_t n_bytes, int length,
                        int64_t *ret_ids, int64_t *ret_mask, vx_err *err) {
    if (length < VX_TOKENIZER_MIN_LENGTH)
        return VX_FAIL(err, -EINVAL, "a token length of %d has no room for a text", length);
    if (n_bytes > VX_TOKENIZER_MAX_TEXT_BYTES)
        return VX_FAIL(err, VX_EMBED_BAD_TEXT, "the text has %zu bytes; at most %d are taken",
                       n_bytes, VX_TOKENIZER_MAX_TEXT_BYTES);
    sink out = {.tokenizer = tokenizer, .ids = ret_ids, .room = length - 1};
    add_id(&out, tokenizer->special[CLS]);
    int rc = add_text(&out, text, n_bytes, err);
    if (rc)
        return rc;
    ret_ids[out.n++] = tokenizer->special[SEP];
    for (int i = 0; i < length; i++) {
        ret_mask[i] = i < out.n;
        if (i >= out.n)
            ret_ids[i] = tokenizer->special[PAD];
    }
    return 0;
}

int vx_tokenizer_new(const char *vocab, size_t n_bytes, vx_tokenizer **ret_tokenizer, vx_err *err) {
    VX_AUTO(vx_tokenizer) tokenizer = vx_new(vx_tokenizer);
    if (!tokenizer)
        return VX_FAIL(err, -ENOMEM, "no memory for a tokenizer");
    int rc = vx_vocab_new(vocab, n_bytes, &tokenizer->vocab, err);
    if (rc)
        return rc;
    for (int i = 0; i < N_SPECIAL; i++) {
        tokenizer->special[i] = vx_vocab_find(tokenizer->vocab, special_text[i]);
        if (tokenizer->special[i] < 0 && i != MASK)
            return VX_FAIL(err, VX_EMBED_BAD_PACKAGE, "has no token %s", special_text[i]);
    }
    *ret_tokenizer = vx_take(tokenizer);
    return 0;
}

int vx_tokenizer_open(const char *path, vx_tokenizer **ret_tokenizer, vx_err *err) {
    VX_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat facts;
    if (fd < 0 || fstat(fd, &facts))
        return VX_FAIL_ERRNO(err, "opening %s", path);
    if (!S_ISREG(facts.st_mode) || facts.st_size > VX_VOCAB_MAX_BYTES)
        return VX_FAIL(err, VX_EMBED_BAD_PACKAGE, "%s is not a file of at most %d bytes", path,
                       VX_VOCAB_MAX_BYTES);
    size_t n_bytes = (size_t)facts.st_size, n = 0;
    VX_AUTO_FREE char *text = malloc(n_bytes + 1);
    if (!text)
        return VX_FAIL(err, -ENOMEM, "no memory for %s", path);
    while (n < n_bytes) {
        ssize_t n_read = read(fd, text + n, n_bytes - n);
        if (n_read < 0)
            return VX_FAIL_ERRNO(err, "reading %s", path);
        if (n_read == 0)
            return VX_FAIL(err, -EIO, "%s became shorter while it was read", path);
        n += (size_t)n_read;
    }
    int rc = vx_tokenizer_new(text, n_bytes, ret_tokenizer, err);
    if (rc)
        VX_WRAP(err, "%s", path);
    return rc;
}

vx_tokenizer *vx_tokenizer_free(vx_tokenizer *tokenizer) {
    if (!tokenizer)
        return NULL;
    vx_vocab_free(tokenizer->vocab);
    free(tokenizer);
    return NULL;
}
