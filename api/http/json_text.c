#include "api/http/json_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "base/simd.h"

enum { NAME_BYTES = 16 + 8 + 1 }; /* random, index, NUL */

/* Where the string ends that begins at `i`, behind its quote: its other quote, or n. */
static size_t end_of_string(const char *text, size_t i, size_t n) {
    const char *quote = NULL;
    while (i < n) {
        if (!quote || quote < text + i)
            quote = memchr(text + i, '"', n - i);
        size_t end = quote ? (size_t)(quote - text) : n;
        const char *escape = memchr(text + i, '\\', end - i);
        if (!escape)
            return end;
        i = (size_t)(escape - text) + 2; /* the next character is no end */
    }
    return n;
}

/* No escapes, no control characters, nothing but ASCII. */
VX_SIMD_CLONES
static bool json_text_is_plain(const char *text, size_t n) {
    const unsigned char *bytes = (const unsigned char *)text;
    int other = 0;
#pragma omp simd reduction(| : other)
    for (size_t i = 0; i < n; i++)
        other |= bytes[i] < 0x20 || bytes[i] >= 0x80 || bytes[i] == '\\';
    return !other;
}

/* A name of an object, not a value. */
static bool is_key(const char *text, size_t after_quote, size_t n) {
    size_t i = after_quote;
    while (i < n && strchr(" \t\r\n", text[i]) && text[i])
        i++;
    return i < n && text[i] == ':';
}

static int cut(vx_json_text *t, const char *string, size_t n) {
    uint64_t number;
    if (!t->n_cuts && getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        return -EIO;
    if (!t->n_cuts)
        snprintf(t->name, sizeof t->name, "%016" PRIx64, number);
    if (!vx_make_room(t->cuts, t->n_cuts, t->capacity))
        return -ENOMEM;
    t->cuts[t->n_cuts++] = (vx_json_cut){string, n};
    return 0;
}

static int look(vx_json_text *t) {
    const char *text = t->whole;
    int depth = 0, rc = 0;
    for (size_t i = 0; i < t->n && !rc; i++) {
        char c = text[i];
        if (c == '"') {
            size_t end = end_of_string(text, i + 1, t->n), length = end - i - 1;
            if (length >= VX_JSON_LONG_STRING && end < t->n && !is_key(text, end + 1, t->n) &&
                json_text_is_plain(text + i + 1, length))
                rc = cut(t, text + i + 1, length);
            i = end;
        } else if (c == '{' || c == '[') {
            t->n_values++;
            t->depth = ++depth > t->depth ? depth : t->depth;
        } else if (c == '}' || c == ']') {
            depth--;
        } else {
            t->n_values += c == ',';
        }
    }
    return rc;
}

/* The text with a name for each cut, which is shorter. */
static int shorten(vx_json_text *t) {
    t->shortened = malloc(t->n + 1);
    if (!t->shortened)
        return -ENOMEM;
    const char *from = t->whole;
    char *to = t->shortened;
    for (size_t i = 0; i < t->n_cuts; i++) {
        to = mempcpy(to, from, (size_t)(t->cuts[i].text - from));
        to += snprintf(to, NAME_BYTES, "%s%08zx", t->name, i);
        from = t->cuts[i].text + t->cuts[i].n;
    }
    to = mempcpy(to, from, (size_t)(t->whole + t->n - from));
    t->n_shortened = (size_t)(to - t->shortened);
    return 0;
}

vx_json_text *vx_json_text_read(const char *text, size_t n) {
    VX_AUTO(vx_json_text) t = vx_new(vx_json_text);
    if (!t)
        return NULL;
    t->whole = text;
    t->n = n;
    if (look(t) || (t->n_cuts && shorten(t)))
        return NULL;
    return vx_take(t);
}

vx_json_text *vx_json_text_free(vx_json_text *text) {
    if (text) {
        free(text->shortened);
        free(text->cuts);
        free(text);
    }
    return NULL;
}

/* ---- parsing ---- */

/* The string that the value names; NULL: it is none of the names. */
static const vx_json_cut *find_cut(const vx_json_text *t, const json_t *value) {
    const char *name = json_string_value(value);
    if (!name || json_string_length(value) != NAME_BYTES - 1 ||
        strncmp(name, t->name, strlen(t->name)) != 0)
        return NULL;
    size_t i = strtoul(name + strlen(t->name), NULL, 16);
    return i < t->n_cuts ? &t->cuts[i] : NULL;
}

/* Names in a container become their strings. As deep as the text, which is bounded. */
static int put_back(const vx_json_text *t, json_t *container) {
    const vx_json_cut *found;
    int rc = 0;
    for (size_t i = 0; i < json_array_size(container) && !rc; i++) {
        json_t *value = json_array_get(container, i);
        rc = !(found = find_cut(t, value))
                 ? put_back(t, value)
                 : json_array_set_new(container, i, json_stringn_nocheck(found->text, found->n));
    }
    for (void *at = json_object_iter(container); at && !rc;
         at = json_object_iter_next(container, at)) {
        json_t *value = json_object_iter_value(at);
        rc = !(found = find_cut(t, value))
                 ? put_back(t, value)
                 : json_object_iter_set_new(container, at,
                                            json_stringn_nocheck(found->text, found->n));
    }
    return rc;
}

/* What is wrong is told of the whole text. */
json_t *vx_json_text_parse(const vx_json_text *t, size_t flags, json_error_t *ret_error) {
    json_t *root = t->shortened ? json_loadb(t->shortened, t->n_shortened, flags, ret_error) : NULL;
    if (root && put_back(t, root) == 0 && !json_is_string(root))
        return root;
    json_decref(root);
    return json_loadb(t->whole, t->n, flags, ret_error);
}
