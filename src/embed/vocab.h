/* vocab.h — a WordPiece vocabulary as a trie; private to src/embed/.
 *
 * A line is a token, its number from 0 its id; `##x` is a piece inside a word. The trie answers
 * "the longest token from here" in one walk over the bytes; a hash map would hash every shorter
 * prefix of a word until one is found, which is quadratic in its length.
 * In memory: 9 bytes per node, 0.6 MB for the 30522 tokens of BERT. Threads: any, read only.
 */
#pragma once

#include "base/err.h"
#include "base/mem.h"

#include <stdint.h>

enum {
    VX_VOCAB_MAX_BYTES = 8 << 20,   /* of the file */
    VX_VOCAB_MAX_TOKEN_BYTES = 402, /* "##" and 100 characters: no longer one can ever match */
};

typedef struct vx_vocab vx_vocab;

/* From the text of vocab.txt (borrowed for the call). Lines end with \n or \r\n, the last may end
 * without. Returns 0, -ENOMEM, or VX_EMBED_BAD_PACKAGE with the line: not UTF-8, empty, too long,
 * there twice. Cost: a sort; 20 ms for BERT's. */
int vx_vocab_new(const char *text, size_t n_bytes, vx_vocab **ret_vocab, vx_err *err);
vx_vocab *vx_vocab_free(vx_vocab *vocab);
VX_DEFINE_AUTO(vx_vocab, vx_vocab_free)

/* The id of a whole token; -1 when there is none. */
int32_t vx_vocab_find(const vx_vocab *vocab, const char *token);

/* Cuts a word into the longest token from its start, then the longest `##` piece, and so on: fills
 * ret_ids, one place per byte at most, and returns how many; 0 when no token fits somewhere. */
size_t vx_vocab_split(const vx_vocab *vocab, const char *word, size_t n_bytes, int32_t *ret_ids);
