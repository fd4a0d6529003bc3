/* show.h — the objects of the API as JSON: video, verdict. One writer for every answer that has them.
 * Threads: any (pure functions). */
#pragma once

#include "api/out.h"
#include "catalog/catalog.h"

/* The video object. verdict: of this upload; NULL = the one the video was stored with. */
void vx_show_video(vx_out *out, const char *key, const vx_video *video,
                   const vx_verdict_row *verdict);
void vx_show_verdict(vx_out *out, const char *key, const vx_verdict_row *verdict);
/* Rounded to the microsecond: what lies behind is the noise of time base arithmetic. NaN: null. */
void vx_show_seconds(vx_out *out, const char *key, double value);
/* "2026-01-02T03:04:05.678Z", or null for 0. */
void vx_show_time(vx_out *out, const char *key, int64_t unix_us);
