#include "text.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"
#include "base/mem.h"

void vx_string_clear(vx_string *text) {
    free(text->text);
    *text = (vx_string){0};
}

static char *room(vx_string *text, size_t n) {
    if (!text->failed && text->n + n + 1 > text->capacity) {
        size_t capacity = 2 * (text->n + n + 1);
        char *grown = vx_regrow(text->text, capacity, 1);
        text->failed = !grown;
        if (grown) {
            text->text = grown;
            text->capacity = capacity;
        }
    }
    return text->failed ? NULL : text->text + text->n;
}

static void add_bytes(vx_string *text, const char *bytes, size_t n) {
    char *at = room(text, n);
    if (!at)
        return;
    memcpy(at, bytes, n);
    text->n += n;
    text->text[text->n] = 0;
}

void vx_string_add(vx_string *text, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    char *made = NULL;
    int n = vasprintf(&made, fmt, args);
    va_end(args);
    if (n < 0) {
        text->failed = true;
        return;
    }
    add_bytes(text, made, (size_t)n);
    free(made);
}

void vx_string_json(vx_string *text, const char *string) {
    json_t *value = json_string(string);
    if (!value)
        value = json_string(""); /* not UTF-8: the catalog has none */
    char *made = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    json_decref(value);
    if (made)
        add_bytes(text, made, strlen(made));
    else
        text->failed = true;
    free(made);
}

void vx_string_double(vx_string *text, double value) {
    char digits[VX_DECIMAL_BYTES] = "null";
    if (isfinite(value))
        vx_decimal_double(value, digits);
    add_bytes(text, digits, strlen(digits));
}

void vx_string_vector(vx_string *text, const float *vector, int dim) {
    for (int i = 0; i < dim; i++) {
        char digits[VX_DECIMAL_BYTES + 1];
        digits[0] = i ? ',' : '[';
        vx_decimal_float(vector[i], digits + 1);
        add_bytes(text, digits, strlen(digits));
    }
    add_bytes(text, "]", 1);
}
