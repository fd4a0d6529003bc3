/* times.h — repairs the presentation times of a packet table (private to src/media).
 *
 * Both functions work on a table in decode order and change only its times: pts, or dts where the
 * frames are known by order. Threads: any.
 */
#pragma once

#include "packet_table.h"

/* Moves single pictures whose time is far from both neighbours in decode order back between them,
 * and a first or last picture that stands alone thousands of seconds away from a dense stream. */
void vx_times_fix_outliers(vx_media *media);

/* Joins the parts of a spliced stream (MPEG-TS, MPEG-PS), whose clock jumps forward or back, into
 * one ascending timeline. Returns 0 or -ENOMEM. */
int vx_times_join_segments(vx_media *media, vx_err *err);
