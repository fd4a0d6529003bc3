/* bench.h — what the programs of this folder share. */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"

/* Monotonic. */
static inline double now_s(void) {
    return (double)vx_clock_monotonic_us() / 1e6;
}

/* Ends the program on a failure, with what it was. */
static inline void need(int code, const vx_err *err) {
    if (!code)
        return;
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, err->msg);
    exit(1);
}
