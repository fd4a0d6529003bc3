/* Any bytes as a form: whole, and in pieces of every size that the input asks for. Both ways it has the same
 * parts. The first byte is the size of the pieces. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/http/multipart.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

/* What the handler was told, in order. */
typedef struct transcript {
    char *text;
    size_t n, capacity;
    bool open; /* a part is */
} transcript;

static void append(transcript *t, const void *bytes, size_t n) {
    if (t->n + n > t->capacity)
        abort(); /* more than the input has */
    if (n)
        memcpy(t->text + t->n, bytes, n);
    t->n += n;
}

static bool on_begin(void *ctx, const char *name, const char *filename) {
    transcript *t = ctx;
    if (t->open)
        abort();
    t->open = true;
    append(t, name, strlen(name) + 1);
    if (filename)
        append(t, filename, strlen(filename) + 1);
    return strcmp(name, "stop") != 0;
}

static bool on_data(void *ctx, const char *bytes, size_t n) {
    transcript *t = ctx;
    if (!t->open || !n)
        abort();
    append(t, bytes, n);
    return true;
}

static bool on_end(void *ctx) {
    transcript *t = ctx;
    if (!t->open)
        abort();
    t->open = false;
    append(t, ";", 1);
    return true;
}

static const char *read_form(const char *body, size_t n, size_t piece, transcript *t) {
    vx_multipart *reader = vx_multipart_new(
        "XX", (vx_multipart_handler){.begin = on_begin, .data = on_data, .end = on_end, .ctx = t});
    if (!reader)
        abort();
    const char *fault = NULL;
    for (size_t at = 0; at < n && !fault; at += piece) {
        /* A copy of its exact size, so that a byte read too far is noticed. */
        size_t size = n - at < piece ? n - at : piece;
        VX_AUTO_FREE char *copy = malloc(size);
        if (!copy)
            abort();
        memcpy(copy, body + at, size);
        fault = vx_multipart_feed(reader, copy, size);
    }
    if (!fault)
        fault = vx_multipart_end(reader);
    vx_multipart_free(reader);
    return fault;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    if (n_bytes < 2)
        return 0;
    const char *body = (const char *)data + 1;
    size_t n = n_bytes - 1, piece = 1 + data[0] % 32;
    transcript whole = {.capacity = 2 * n + 64}, pieces = whole;
    whole.text = malloc(whole.capacity);
    pieces.text = malloc(pieces.capacity);
    if (!whole.text || !pieces.text)
        abort();
    const char *fault = read_form(body, n, n, &whole);
    if (read_form(body, n, piece, &pieces) != fault || whole.n != pieces.n ||
        memcmp(whole.text, pieces.text, whole.n) != 0)
        abort();
    free(whole.text);
    free(pieces.text);
    return 0;
}
