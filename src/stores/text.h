/* text.h — the text of a request: JSON that is written straight into one growing buffer (private).
 * A failed allocation sets `failed`, to be checked once, at the end. Threads: external lock. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct vx_text {
    char *text; /* NUL-terminated once something was written; owned */
    size_t n, capacity;
    bool failed;
} vx_text;

void vx_text_clear(vx_text *text);
#define VX_AUTO_TEXT __attribute__((cleanup(vx_text_clear))) vx_text

void vx_text_add(vx_text *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void vx_text_json(vx_text *text, const char *string);             /* as a JSON string, in quotes */
void vx_text_double(vx_text *text, double value);                 /* NaN: null */
void vx_text_vector(vx_text *text, const float *vector, int dim); /* [0.5,…], reads back the same */
