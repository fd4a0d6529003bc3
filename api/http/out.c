#include "api/http/out.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http/text.h"
#include "base/decimal.h"
#include "base/mem.h"

void vx_out_clear(vx_out *out) {
    free(out->text);
    *out = (vx_out){0};
}

/* Makes room for n more bytes and the NUL. */
static bool reserve(vx_out *out, size_t n) {
    size_t need;
    if (out->failed || !vx_add(out->n, n, &need) || !vx_add(need, 1, &need)) {
        out->failed = true;
        return false;
    }
    if (need <= out->capacity)
        return true;
    size_t capacity = out->capacity ? out->capacity : 512;
    while (capacity < need)
        if (!vx_mul(capacity, 2, &capacity))
            return out->failed = true, false;
    char *text = realloc(out->text, capacity);
    if (!text)
        return out->failed = true, false;
    out->text = text;
    out->capacity = capacity;
    return true;
}

void vx_out_bytes(vx_out *out, const char *bytes, size_t n) {
    if (!reserve(out, n))
        return;
    memcpy(out->text + out->n, bytes, n);
    out->n += n;
    out->text[out->n] = '\0';
}

static void put_quoted(vx_out *out, const char *text) {
    vx_out_bytes(out, "\"", 1);
    const unsigned char *p = (const unsigned char *)text;
    size_t left = strlen(text);
    while (left) {
        size_t step = vx_utf8_step(p, left);
        char escaped[8];
        if (!step) {
            vx_out_bytes(out, "\xEF\xBF\xBD", 3);
            step = 1;
        } else if (*p < 0x20) {
            vx_out_bytes(out, escaped, (size_t)snprintf(escaped, sizeof escaped, "\\u%04x", *p));
        } else {
            if (*p == '"' || *p == '\\')
                vx_out_bytes(out, "\\", 1);
            vx_out_bytes(out, (const char *)p, step);
        }
        p += step;
        left -= step;
    }
    vx_out_bytes(out, "\"", 1);
}

/* Writes the comma after the previous value, and the key. */
static void begin_value(vx_out *out, const char *key) {
    if (out->n && !strchr("{[:", out->text[out->n - 1]))
        vx_out_bytes(out, ",", 1);
    if (key) {
        put_quoted(out, key);
        vx_out_bytes(out, ":", 1);
    }
}

void vx_out_begin(vx_out *out, const char *key, char bracket) {
    begin_value(out, key);
    vx_out_bytes(out, &bracket, 1);
}

void vx_out_end(vx_out *out, char bracket) {
    vx_out_bytes(out, &bracket, 1);
}

void vx_out_string(vx_out *out, const char *key, const char *text) {
    begin_value(out, key);
    if (text)
        put_quoted(out, text);
    else
        vx_out_bytes(out, "null", 4);
}

void vx_out_begin_items(vx_out *out) {
    vx_out_begin(out, NULL, '{');
    vx_out_begin(out, "items", '[');
}

void vx_out_end_items(vx_out *out, const char *next) {
    vx_out_end(out, ']');
    vx_out_string(out, "next", next);
}

void vx_out_int(vx_out *out, const char *key, int64_t value) {
    char text[32];
    begin_value(out, key);
    vx_out_bytes(out, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)value));
}

void vx_out_number(vx_out *out, const char *key, double value) {
    char text[VX_DECIMAL_BYTES] = "null";
    begin_value(out, key);
    if (isfinite(value))
        vx_decimal_double(value, text);
    vx_out_bytes(out, text, strlen(text));
}

void vx_out_float(vx_out *out, const char *key, float value) {
    char text[VX_DECIMAL_BYTES] = "null";
    begin_value(out, key);
    if (isfinite(value))
        vx_decimal_float(value, text);
    vx_out_bytes(out, text, strlen(text));
}

void vx_out_bool(vx_out *out, const char *key, bool value) {
    begin_value(out, key);
    vx_out_bytes(out, value ? "true" : "false", value ? 4 : 5);
}

void vx_out_json(vx_out *out, const char *key, const char *json) {
    begin_value(out, key);
    vx_out_bytes(out, json, strlen(json));
}

void vx_out_text(vx_out *out, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n >= 0 && reserve(out, (size_t)n)) {
        vsnprintf(out->text + out->n, (size_t)n + 1, fmt, again);
        out->n += (size_t)n;
    }
    va_end(again);
}
