/* out.h — writes JSON text straight into one growing buffer.
 *
 * Replies are written as text and not built as a jansson tree: stored metadata passes through
 * unchanged, numbers are printed in the shortest form that reads back the same, and a list of
 * vectors needs one buffer instead of one allocation per number. jansson only parses requests.
 *
 * Commas are added automatically. key is NULL inside arrays and for the outermost value. Bytes that
 * are not UTF-8 become U+FFFD, so every reply is valid JSON.
 *
 * Errs     a failed allocation sets `failed`; check it once, at the end
 * Threads  external lock
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct vx_out {
    char *text; /* NUL-terminated once something was written; owned */
    size_t n, capacity;
    bool failed;
} vx_out;

void vx_out_clear(vx_out *out);
#define VX_AUTO_OUT __attribute__((cleanup(vx_out_clear))) vx_out

void vx_out_begin(vx_out *out, const char *key, char bracket);      /* '{' or '[' */
void vx_out_end(vx_out *out, char bracket);                         /* '}' or ']' */
void vx_out_string(vx_out *out, const char *key, const char *text); /* NULL = null */
/* A list: {"items": [ …, and ], "next": …; the caller ends the object. next NULL: there is no other page. */
void vx_out_begin_items(vx_out *out);
void vx_out_end_items(vx_out *out, const char *next);
void vx_out_int(vx_out *out, const char *key, int64_t value);
void vx_out_number(vx_out *out, const char *key, double value); /* NaN and infinity = null */
void vx_out_float(vx_out *out, const char *key, float value);   /* NaN and infinity = null */
void vx_out_bool(vx_out *out, const char *key, bool value);
void vx_out_json(vx_out *out, const char *key, const char *json); /* json is valid JSON */
void vx_out_bytes(vx_out *out, const char *bytes, size_t n);      /* unchanged */
void vx_out_text(vx_out *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
