/* json_text.h — a JSON text before it is parsed: how deep it is, and its long strings (private to api/http).
 *
 * jansson takes 50 ns for a character of a string, 0.7 s for a video of 11 MB as base64. So long strings
 * of plain ASCII are cut out of the text, the rest is parsed, and they are put back into the result.
 *
 * Threads: an object belongs to one thread at a time.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "base/mem.h"

#define VX_JSON_LONG_STRING 4096 /* bytes; shorter strings stay in the text */

typedef struct vx_json_cut {
    const char *text; /* borrows [n], without quotes; needs no unescaping */
    size_t n;
} vx_json_cut;

typedef struct vx_json_text {
    const char *whole; /* borrows [n] */
    size_t n;
    int depth;       /* of objects and arrays, at most */
    size_t n_values; /* estimate: commas and opening brackets */
    char *shortened; /* [n_shortened] with a name in place of each cut; NULL: nothing was cut */
    size_t n_shortened;
    vx_json_cut *cuts; /* [n_cuts] */
    size_t n_cuts, capacity;
    char name[17]; /* how these names begin: nobody can foresee it */
} vx_json_text;

/* Looks at text [n], which need not be JSON; borrowed until free. NULL: no memory. */
vx_json_text *vx_json_text_read(const char *text, size_t n);
vx_json_text *vx_json_text_free(vx_json_text *text);
VX_DEFINE_AUTO(vx_json_text, vx_json_text_free)
/* The same as json_loadb(text, n, flags, ret_error). Gives a reference, or NULL. */
json_t *vx_json_text_parse(const vx_json_text *text, size_t flags, json_error_t *ret_error);
