#include "log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static atomic_int minimum_level = VX_LOG_INFO;

void vx_log_set_level(vx_log_level level) {
    atomic_store(&minimum_level, (int)level);
}

int vx_log_level_of(const char *name) {
    for (int i = 0; i < 4; i++)
        if (!strcmp(name, level_names[i]))
            return i;
    return -1;
}

/* A byte of a control character, of U+0080..9F, too: terminals obey those as they do escape. */
static bool is_control(const unsigned char *p, const unsigned char *text) {
    bool second = p > text && p[-1] == 0xC2 && *p >= 0x80 && *p < 0xA0;
    return *p < 0x20 || *p == 0x7F || second || (*p == 0xC2 && p[1] >= 0x80 && p[1] < 0xA0);
}

/* Copies text with control characters as \xNN; returns the length written. */
static size_t copy_escaped(char *out, size_t capacity, const char *text) {
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p && n + 5 < capacity; p++) {
        if (!is_control(p, (const unsigned char *)text)) {
            out[n++] = (char)*p;
            continue;
        }
        out[n++] = '\\';
        out[n++] = 'x';
        out[n++] = hex[*p >> 4];
        out[n++] = hex[*p & 15];
    }
    out[n] = '\0';
    return n;
}

static bool is_wanted(vx_log_level level) {
    return (int)level >= atomic_load_explicit(&minimum_level, memory_order_relaxed);
}

static void write_line(vx_log_level level, const char *event, const char *text) {
    char line[2048], when[VX_CLOCK_ISO_BYTES];
    vx_clock_iso(vx_clock_unix_us(), when);
    size_t n = (size_t)snprintf(line, 128, "%s %s %s ", when, level_names[level], event);
    n += copy_escaped(line + n, sizeof line - n - 1, text);
    line[n++] = '\n';
    /* One write(2): lines of several threads do not mix. A full stderr is nobody's business. */
    ssize_t ignored = write(STDERR_FILENO, line, n);
    (void)ignored;
}

void vx_log(vx_log_level level, const char *event, const char *fmt, ...) {
    if (!is_wanted(level))
        return;
    char text[1400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    write_line(level, event, text);
}

void vx_log_failed(vx_log_level level, const char *event, const vx_err *err, const char *fmt, ...) {
    if (!is_wanted(level))
        return;
    char text[1400], quoted[2 * sizeof err->msg], whole[sizeof text + sizeof quoted + 8];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    snprintf(whole, sizeof whole, "%s error=%s", text,
             vx_log_quote(err->msg, quoted, sizeof quoted));
    write_line(level, event, whole);
}

const char *vx_log_quote(const char *text, char *buffer, unsigned long capacity) {
    static const char ellipsis[] = "\xE2\x80\xA6\""; /* "…" and the closing quote */
    if (capacity < 16)
        return "\"\"";
    size_t n = 0;
    buffer[n++] = '"';
    for (const char *p = text; *p; p++) {
        if (n + 2 + sizeof ellipsis > capacity) {
            while (n > 1 && ((unsigned char)*p & 0xC0) == 0x80)
                p--, n--; /* step back to the start of the character that did not fit */
            memcpy(buffer + n, ellipsis, sizeof ellipsis);
            return buffer;
        }
        if (*p == '"' || *p == '\\')
            buffer[n++] = '\\';
        buffer[n++] = *p;
    }
    buffer[n++] = '"';
    buffer[n] = '\0';
    return buffer;
}
