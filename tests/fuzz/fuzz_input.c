/* Any bytes as an input of POST /v1/embeddings: told apart, and its base64 decoded. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/resources/embedding_input.h"
#include "base/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void *room_for(size_t n_bytes) {
    void *room = malloc(n_bytes);
    if (!room)
        abort();
    return room;
}

/* What base64 says must come back once it was written and read again. Both rooms are exact, so that
 * a byte too far is noticed. */
static void decode(vx_input_part part, bool last) {
    VX_AUTO_FREE uint8_t *bytes = room_for(part.n / 4 * 3 + !part.n);
    size_t n, again;
    if (!vx_base64_decode(part.text, part.n, last, bytes, &n))
        return;
    VX_AUTO_FREE char *text = room_for(vx_base64_length(n) + 1);
    VX_AUTO_FREE uint8_t *copy = room_for(vx_base64_length(n) / 4 * 3 + !n);
    vx_base64_encode(bytes, n, text);
    if (strlen(text) != part.n || !vx_base64_decode(text, part.n, true, copy, &again) ||
        again != n || memcmp(copy, bytes, n))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    const char *text = (const char *)data;
    vx_input input;
    if (vx_embedding_input_read(text, n_bytes, &input))
        return 0;
    for (int i = 0; i < (input.kind == VX_INPUT_PICTURES ? VX_INPUT_FRAMES : 1); i++) {
        vx_input_part part = input.parts[i];
        if (part.text < text || part.n > n_bytes || part.text + part.n > text + n_bytes)
            abort();
        decode(part, true);
        decode(part, false);
    }
    return 0;
}
