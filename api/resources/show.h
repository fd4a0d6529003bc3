/* show.h — videos, verdicts, seconds and times as JSON, written the same way in every reply.
 * Threads: any (pure functions). */
#pragma once

#include "api/http/out.h"
#include "catalog/catalog.h"

/* The video object. verdict: of this upload; NULL = the one that is stored with the video. */
void vx_show_video(vx_out *out, const char *key, const vx_video *video,
                   const vx_verdict_row *verdict);
void vx_show_verdict(vx_out *out, const char *key, const vx_verdict_row *verdict);
/* Rounded to microseconds; further digits are rounding errors of time bases. NaN = null. */
void vx_show_seconds(vx_out *out, const char *key, double value);
/* Writes "2026-01-02T03:04:05.678Z"; 0 = null. */
void vx_show_time(vx_out *out, const char *key, int64_t unix_us);
