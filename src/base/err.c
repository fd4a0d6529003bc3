#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A message cut by the buffer must not end inside a UTF-8 sequence: it goes into JSON answers. */
static void trim_partial_utf8(char *text, size_t capacity) {
    size_t length = strlen(text);
    if (length + 1 < capacity)
        return;
    size_t tail = 0;
    while (tail < 3 && length > tail && ((unsigned char)text[length - 1 - tail] & 0xC0) == 0x80)
        tail++;
    if (length <= tail)
        return;
    unsigned char lead = (unsigned char)text[length - 1 - tail];
    size_t want = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    if (want != tail)
        text[length - 1 - tail] = '\0';
}

static void record(vx_err *err, int code, const char *func, int line, const char *fmt, va_list ap) {
    err->code = code;
    err->func = func;
    err->line = line;
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    trim_partial_utf8(err->msg, sizeof err->msg);
}

int vx_err_set(vx_err *err, int code, const char *func, int line, const char *fmt, ...) {
    if (!err)
        return code;
    va_list ap;
    va_start(ap, fmt);
    record(err, code, func, line, fmt, ap);
    va_end(ap);
    return code;
}

int vx_err_errno(vx_err *err, int errno_value, const char *func, int line, const char *fmt, ...) {
    if (!err)
        return -errno_value;
    va_list ap;
    va_start(ap, fmt);
    record(err, -errno_value, func, line, fmt, ap);
    va_end(ap);
    char reason[96];
    const char *text = strerror_r(errno_value, reason, sizeof reason);
    size_t used = strlen(err->msg);
    snprintf(err->msg + used, sizeof err->msg - used, ": %s", text);
    return -errno_value;
}

int vx_err_wrap(vx_err *err, const char *fmt, ...) {
    if (!err)
        return 0;
    char inner[sizeof err->msg];
    memcpy(inner, err->msg, sizeof inner);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    size_t used = strlen(err->msg);
    snprintf(err->msg + used, sizeof err->msg - used, ": %s", inner);
    trim_partial_utf8(err->msg, sizeof err->msg);
    return err->code;
}
