/* clock.h — the two clocks: monotonic for durations, UNIX time for what people read, µs; and lengths of time in words. */
#pragma once

#include <stddef.h>
#include <stdint.h>

int64_t vx_clock_monotonic_us(void);
int64_t vx_clock_unix_us(void);

#define VX_CLOCK_ISO_BYTES 28
/* RFC 3339 in UTC with milliseconds: 2026-01-02T03:04:05.678Z */
void vx_clock_iso(int64_t unix_us, char ret_text[VX_CLOCK_ISO_BYTES]);

#define VX_CLOCK_LENGTH_BYTES 32
/* "0:09", "1:02:03"; "" if it is not known: NaN, negative, or 10^9 s and more. */
void vx_clock_length(double seconds, char ret_text[VX_CLOCK_LENGTH_BYTES]);
