/* The tokenizer for the Python tests, which compare it with the tokenizers package.
 *
 *   tokenizer_tool VOCAB LENGTH < TEXTS     stdin: texts, each an int32 byte count and the bytes
 *                                           stdout: int32 [LENGTH] ids, int32 number of ones in
 *                                           the mask, per text; a bad text has -1 for it
 *   tokenizer_tool VOCAB LENGTH N < TEXTS   encodes all texts N times, prints tokens per second
 */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "embed/tokenizer.h"

enum { MAX_LENGTH = 1 << 17, MAX_TEXTS = 1 << 20 };

static int64_t ids[MAX_LENGTH], mask[MAX_LENGTH];

static char *read_text(int32_t *ret_n_bytes) {
    if (fread(ret_n_bytes, sizeof *ret_n_bytes, 1, stdin) != 1)
        return NULL;
    char *text = malloc((size_t)*ret_n_bytes + 1);
    if (!text || fread(text, 1, (size_t)*ret_n_bytes, stdin) != (size_t)*ret_n_bytes)
        exit(2);
    return text;
}

/* The ids and the number of tokens as the tests want them; the mask must be ones, then zeros. */
static void write_result(int r, int length) {
    int32_t out[MAX_LENGTH + 1] = {0};
    for (int i = 0; i < length && !r; i++) {
        out[i] = (int32_t)ids[i];
        out[length] += (int32_t)mask[i];
        if (mask[i] != (i < out[length]))
            exit(3);
    }
    if (r)
        out[length] = -1;
    fwrite(out, sizeof *out, (size_t)length + 1, stdout);
}

static void print_speed(const vx_tokenizer *tokenizer, int length, long n_rounds) {
    int32_t n_texts = 0, n_tokens = 0;
    VX_AUTO_FREE char **texts = vx_new_array(MAX_TEXTS, sizeof *texts);
    VX_AUTO_FREE int32_t *n_bytes = vx_new_array(MAX_TEXTS, sizeof *n_bytes);
    if (!texts || !n_bytes)
        exit(2);
    while (n_texts < MAX_TEXTS && (texts[n_texts] = read_text(&n_bytes[n_texts])))
        n_texts++;
    int64_t start_us = vx_clock_monotonic_us();
    for (long round = 0; round < n_rounds; round++)
        for (int32_t t = 0; t < n_texts; t++) {
            vx_tokenizer_encode(tokenizer, texts[t], (size_t)n_bytes[t], length, ids, mask, NULL);
            for (int i = 0; i < length && mask[i]; i++)
                n_tokens++;
        }
    printf("%.0f\n", n_tokens * 1e6 / (double)(vx_clock_monotonic_us() - start_us));
    while (n_texts > 0)
        free(texts[--n_texts]);
}

int main(int argc, char **argv) {
    VX_AUTO(vx_tokenizer) tokenizer = NULL;
    vx_err err;
    int length = argc >= 3 ? atoi(argv[2]) : 0;
    if (length < 1 || length > MAX_LENGTH)
        return 2;
    if (vx_tokenizer_open(argv[1], &tokenizer, &err)) {
        fprintf(stderr, "tokenizer_tool: %s\n", err.msg);
        return 1;
    }
    if (argc > 3) {
        print_speed(tokenizer, length, atol(argv[3]));
        return 0;
    }
    int32_t n_bytes;
    for (char *text; (text = read_text(&n_bytes)); free(text))
        write_result(vx_tokenizer_encode(tokenizer, text, (size_t)n_bytes, length, ids, mask, &err),
                     length);
    return 0;
}
