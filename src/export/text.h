/* text.h — JSON that is written straight into one growing buffer.
 * A failed allocation sets `failed`, to be checked once, at the end. Threads: external lock. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct vx_string {
    char *text; /* NUL-terminated once something was written; owned */
    size_t n, capacity;
    bool failed;
} vx_string;

void vx_string_clear(vx_string *text);
#define VX_AUTO_STRING __attribute__((cleanup(vx_string_clear))) vx_string

void vx_string_add(vx_string *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void vx_string_json(vx_string *text, const char *string); /* as a JSON string, in quotes */
void vx_string_double(vx_string *text, double value);     /* NaN: null */
void vx_string_vector(vx_string *text, const float *vector,
                      int dim); /* [0.5,…], reads back the same */
