/* log.h — one line per event on stderr: time level event key=value …
 *
 * Text from clients and sentences go through vx_log_quote; the finished line is escaped once more, so
 * that no control character or line break reaches the log. Threads: any.
 */
#pragma once

#include "err.h"

typedef enum vx_log_level { VX_LOG_DEBUG, VX_LOG_INFO, VX_LOG_WARN, VX_LOG_ERROR } vx_log_level;

void vx_log_set_level(vx_log_level level);
/* "debug", "info", "warn", "error"; -1 for anything else. */
int vx_log_level_of(const char *name);

/* vx_log(VX_LOG_INFO, "ingest", "request_id=%s video=%s ms=%.1f", …): control characters in the
 * result become \xNN, so one call is always one line. */
void vx_log(vx_log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with error="…" behind it: err's sentence, quoted. */
void vx_log_failed(vx_log_level level, const char *event, const vx_err *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Writes text as a quoted value ("…", with \" \\ and control characters escaped) for use in a
 * vx_log argument; returns buffer. Long text is cut with "…". */
const char *vx_log_quote(const char *text, char *buffer, unsigned long capacity);
