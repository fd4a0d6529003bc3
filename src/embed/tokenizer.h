/* tokenizer.h — text to the token ids of an uncased BERT; private to src/embed/.
 *
 *   "A dog's ball" → [CLS] a dog ' s ball [SEP] [PAD] …
 *
 * Words are folded and parted by the rules of uncased.h, then cut into pieces by vocab.h; a word of
 * more than 100 characters, or with no pieces, is [UNK]. [CLS], [SEP], [PAD], [UNK] and [MASK] in
 * the text, written just so, are those tokens. Ids are equal to those of the Hugging Face
 * `tokenizers` library with the same vocab.txt (its BertWordPieceTokenizer, lowercase=True).
 *
 * Threads  any, once opened.     Cost  some 100 ns per token; no allocation per text.
 */
#pragma once

#include "vocab.h"

enum {
    VX_TOKENIZER_MAX_TEXT_BYTES = 64 << 10, /* far more than any model reads */
    VX_TOKENIZER_MIN_LENGTH = 2,            /* [CLS] and [SEP] */
};

typedef struct vx_tokenizer vx_tokenizer;

/* From a package's vocab.txt. Returns 0, -errno, or VX_EMBED_BAD_PACKAGE for what vocab.h refuses
 * and for a vocabulary without [PAD], [UNK], [CLS] or [SEP]. */
int vx_tokenizer_open(const char *path, vx_tokenizer **ret_tokenizer, vx_err *err);
/* The same from the file's text, borrowed for the call. */
int vx_tokenizer_new(const char *vocab, size_t n_bytes, vx_tokenizer **ret_tokenizer, vx_err *err);
vx_tokenizer *vx_tokenizer_free(vx_tokenizer *tokenizer);
VX_DEFINE_AUTO(vx_tokenizer, vx_tokenizer_free)

/* Fills ret_ids int64 [length] and ret_mask int64 [length]: 1 for each token up to [SEP], 0 for the
 * [PAD] behind. What does not fit before [SEP] is cut off. Returns 0, or VX_EMBED_BAD_TEXT when
 * the text is too long or anywhere not UTF-8. length >= VX_TOKENIZER_MIN_LENGTH. */
int vx_tokenizer_encode(const vx_tokenizer *tokenizer, const char *text, size_t n_bytes, int length,
                        int64_t *ret_ids, int64_t *ret_mask, vx_err *err);
