/* progress.h — what a person sees of vidx embed on stderr while it runs.
 *
 * On a terminal one line with a bar that is drawn again and again; elsewhere a plain line every ten
 * seconds. All other lines go through vx_batch_say, which keeps the drawn line whole.
 * Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct vx_batch_counts {
    size_t videos; /* finished, with those of earlier runs and those that failed */
    int64_t bytes; /* of them, and the share that is done of those in work */
    int64_t clips; /* embedded in this run */
    size_t failed; /* could not be embedded */
} vx_batch_counts;

typedef struct vx_batch_progress {
    bool quiet;          /* only vx_batch_say */
    size_t total_videos; /* what counts.videos and .bytes will reach */
    int64_t total_bytes;
    vx_batch_counts before; /* when this step began: rates count from here */
    int64_t started_us, drawn_us;
    bool is_terminal;
} vx_batch_progress;

void vx_batch_progress_start(vx_batch_progress *progress, const vx_batch_counts *before);
/* Draws if it is time to. */
void vx_batch_progress_show(vx_batch_progress *progress, const vx_batch_counts *counts);
/* Takes the drawn line away. */
void vx_batch_progress_clear(vx_batch_progress *progress);

/* One line to stderr, control characters as \xNN. progress may be NULL. */
void vx_batch_say(vx_batch_progress *progress, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
