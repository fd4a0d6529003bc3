/* progress.c — see the header. */
#include "progress.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"

#define REDRAW_US 200000
#define LINE_US 10000000
#define BAR_WIDE 30
#define BAR_NARROW 8
#define HASHES "##############################"
#define DOTS ".............................."
_Static_assert(sizeof HASHES == BAR_WIDE + 1 && sizeof DOTS == BAR_WIDE + 1, "the longest bar");

void vx_batch_progress_start(vx_batch_progress *progress, const vx_batch_counts *before) {
    progress->before = *before;
    progress->started_us = vx_clock_monotonic_us();
    progress->is_terminal = isatty(STDERR_FILENO);
    progress->drawn_us = progress->is_terminal ? 0 : progress->started_us; /* the bar at once */
}

static double share_done(const vx_batch_progress *p, const vx_batch_counts *counts) {
    if (p->total_bytes > 0)
        return (double)counts->bytes / (double)p->total_bytes;
    return p->total_videos ? (double)counts->videos / (double)p->total_videos : 1;
}

/* What matters most first: a narrow terminal cuts the end. */
static void format_text(const vx_batch_progress *p, const vx_batch_counts *counts, char *out,
                        size_t capacity) {
    double elapsed_s = (double)(vx_clock_monotonic_us() - p->started_us + 1) / 1e6;
    double bytes_per_s = (double)(counts->bytes - p->before.bytes) / elapsed_s;
    double videos_per_s = (double)(counts->videos - p->before.videos) / elapsed_s;
    char eta[VX_CLOCK_LENGTH_BYTES];
    vx_clock_length(bytes_per_s > 0 ? (double)(p->total_bytes - counts->bytes) / bytes_per_s
                                    : (double)NAN,
                    eta);
    char failed[32] = "";
    if (counts->failed)
        snprintf(failed, sizeof failed, ", %zu failed", counts->failed);
    snprintf(out, capacity,
             "%3.0f%% %zu/%zu videos, ETA %s%s, %.1f MB/s, %.1f videos/s, %lld clips",
             100 * share_done(p, counts), counts->videos, p->total_videos, *eta ? eta : "-", failed,
             bytes_per_s / 1e6, videos_per_s, (long long)counts->clips);
}

static int terminal_columns(void) {
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || !size.ws_col ? 80 : size.ws_col;
}

/* One line that never wraps. The bar's width depends on the terminal alone, so that it stays put. */
static void draw(const vx_batch_progress *p, const vx_batch_counts *counts) {
    char text[256];
    int columns = terminal_columns() - 1; /* a full line would wrap on some terminals */
    int width = columns < 100 ? BAR_NARROW : BAR_WIDE;
    int full = (int)(share_done(p, counts) * width);
    format_text(p, counts, text, sizeof text);
    int room = columns - width - 2;
    fprintf(stderr, "\r[%.*s%.*s]%.*s\033[K", full, HASHES, width - full, DOTS, room > 0 ? room : 0,
            text);
    fflush(stderr);
}

void vx_batch_progress_show(vx_batch_progress *progress, const vx_batch_counts *counts) {
    int64_t now_us = vx_clock_monotonic_us();
    if (progress->quiet ||
        now_us - progress->drawn_us < (progress->is_terminal ? REDRAW_US : LINE_US))
        return;
    progress->drawn_us = now_us;
    if (progress->is_terminal) {
        draw(progress, counts);
        return;
    }
    char text[256];
    format_text(progress, counts, text, sizeof text);
    fprintf(stderr, "%s\n", text);
}

void vx_batch_progress_clear(vx_batch_progress *progress) {
    if (progress && progress->is_terminal && !progress->quiet)
        fputs("\r\033[K", stderr);
}

void vx_batch_say(vx_batch_progress *progress, const char *fmt, ...) {
    char text[6000], line[6100];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t n = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c && n + 6 < sizeof line; c++)
        if (*c < 0x20 || *c == 0x7F)
            n += (size_t)sprintf(line + n, "\\x%02x", *c);
        else
            line[n++] = (char)*c;
    line[n] = '\0';
    vx_batch_progress_clear(progress);
    fprintf(stderr, "%s\n", line);
}
