#include "clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_us(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t vx_clock_monotonic_us(void) {
    return read_us(CLOCK_MONOTONIC);
}

int64_t vx_clock_unix_us(void) {
    return read_us(CLOCK_REALTIME);
}

void vx_clock_iso(int64_t unix_us, char ret_text[VX_CLOCK_ISO_BYTES]) {
    int64_t rest_us = unix_us % 1000000;
    if (rest_us < 0) /* before 1970: seconds are rounded down, so that the rest is positive */
        rest_us += 1000000;
    time_t seconds = (time_t)((unix_us - rest_us) / 1000000);
    int milliseconds = (int)(rest_us / 1000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    char day_and_time[20] = "";
    strftime(day_and_time, sizeof day_and_time, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(ret_text, VX_CLOCK_ISO_BYTES, "%s.%03dZ", day_and_time, milliseconds);
}

void vx_clock_length(double seconds, char ret_text[VX_CLOCK_LENGTH_BYTES]) {
    long s = seconds >= 0 && seconds < 1e9 ? (long)(seconds + 0.5) : -1;
    ret_text[0] = '\0';
    if (s >= 3600)
        snprintf(ret_text, VX_CLOCK_LENGTH_BYTES, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else if (s >= 0)
        snprintf(ret_text, VX_CLOCK_LENGTH_BYTES, "%ld:%02ld", s / 60, s % 60);
}
