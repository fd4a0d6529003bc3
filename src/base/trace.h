/* trace.h — what each thread did when, as a file that Perfetto (ui.perfetto.dev) and chrome://tracing show.
 *
 * Off until vx_trace_open; then a span costs a lock and about 80 bytes of the file. The format is the JSON
 * array of the Trace Event Format, of which viewers need no end, so a file that was cut off is good too.
 *
 * Threads  any; open and close while no other thread traces
 */
#pragma once

#include <stdint.h>

#include "err.h"

/* Creates or empties the file. -errno. */
int vx_trace_open(const char *path, vx_err *err);
/* What could not be written is told; without a file it does nothing. -errno. */
int vx_trace_close(vx_err *err);

/* Begins a span of this thread: the time, or 0 while tracing is off. */
int64_t vx_trace_begin(void);
/* Ends it. name: static, without characters that JSON escapes. */
void vx_trace_end(const char *name, int64_t begun_us);
