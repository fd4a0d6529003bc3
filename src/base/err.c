#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Longest text that is formed before it is fitted: a path and what is said about it. */
enum { FULL_BYTES = 4096 + 512 };

static bool is_inside_utf8(char byte) {
    return ((unsigned char)byte & 0xC0) == 0x80;
}

/* A text that is too long loses its middle, mostly that of a path: how it begins says what was
 * tried, how it ends says why it failed. It is never cut inside a UTF-8 sequence, as it goes into
 * JSON answers. */
static void fit(vx_err *err, const char *text) {
    static const char gap[] = "…";
    size_t n = strlen(text), room = sizeof err->msg - sizeof gap, head = room / 3;
    if (n < sizeof err->msg) {
        memcpy(err->msg, text, n + 1);
        return;
    }
    const char *tail = text + n - (room - head);
    while (head && is_inside_utf8(text[head]))
        head--;
    while (is_inside_utf8(*tail))
        tail++;
    memcpy(err->msg, text, head);
    strcpy(err->msg + head, gap);
    strcat(err->msg, tail);
}

static void record(vx_err *err, int code, const char *func, int line, const char *fmt, va_list ap,
                   const char *reason) {
    char text[FULL_BYTES];
    err->code = code;
    err->func = func;
    err->line = line;
    vsnprintf(text, sizeof text - 128, fmt, ap);
    if (reason)
        snprintf(text + strlen(text), 128, ": %s", reason);
    fit(err, text);
}

int vx_err_set(vx_err *err, int code, const char *func, int line, const char *fmt, ...) {
    if (!err)
        return code;
    va_list ap;
    va_start(ap, fmt);
    record(err, code, func, line, fmt, ap, NULL);
    va_end(ap);
    return code;
}

int vx_err_errno(vx_err *err, int errno_value, const char *func, int line, const char *fmt, ...) {
    if (!err)
        return -errno_value;
    char reason[96];
    va_list ap;
    va_start(ap, fmt);
    record(err, -errno_value, func, line, fmt, ap, strerror_r(errno_value, reason, sizeof reason));
    va_end(ap);
    return -errno_value;
}

void vx_err_wrap(vx_err *err, const char *fmt, ...) {
    if (!err)
        return;
    char text[FULL_BYTES];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text - sizeof err->msg - 2, fmt, ap);
    va_end(ap);
    snprintf(text + strlen(text), sizeof err->msg + 2, ": %s", err->msg);
    fit(err, text);
}
