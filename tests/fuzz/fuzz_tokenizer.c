/* Any bytes as a vocabulary and a text, parted by the last 0xff; what a good text gives must be
 * tokens of the vocabulary in a frame that holds. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "embed/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static const char plain_vocab[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n##a\nab\n##b\n!\n\xe4\xb8\xad\n";
enum { N_PLAIN = 10 };

static void encode(const vx_tokenizer *tokenizer, const char *text, size_t n_bytes, int64_t n_ids) {
    int64_t ids[16], mask[16];
    for (int length = 2; length <= 16; length *= 2) {
        if (vx_tokenizer_encode(tokenizer, text, n_bytes, length, ids, mask, NULL))
            return;
        if (mask[0] != 1 || mask[1] != 1)
            abort();
        for (int i = 0; i < length; i++)
            if (ids[i] < 0 || ids[i] >= n_ids || mask[i] < 0 || mask[i] > (i ? mask[i - 1] : 1))
                abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    const uint8_t *cut = memrchr(data, 0xff, n_bytes);
    const char *vocab = cut ? (const char *)data : plain_vocab;
    size_t n_vocab = cut ? (size_t)(cut - data) : sizeof plain_vocab - 1;
    const uint8_t *text = cut ? cut + 1 : data;
    VX_AUTO(vx_tokenizer) tokenizer = NULL;
    if (vx_tokenizer_new(vocab, n_vocab, &tokenizer, NULL))
        return 0;
    encode(tokenizer, (const char *)text, (size_t)(data + n_bytes - text),
           cut ? (int64_t)n_vocab : N_PLAIN);
    return 0;
}
