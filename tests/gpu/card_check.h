/* card_check.h — what the checks on a card share. */
#pragma once

#include <errno.h>

#include "preprocess/preprocess.h"

static inline void must(int rc, const vx_err *err, const char *what) {
    if (rc == 0)
        return;
    fprintf(stderr, "%s: %s (%d)\n", what, err->msg, rc);
    exit(rc == -ENODEV ? 77 : 1);
}

static inline vx_preprocess_spec spec_of(int side, vx_resize_filter filter, vx_resize_fit fit) {
    return (vx_preprocess_spec){.width_px = side,
                                .height_px = side,
                                .filter = filter,
                                .fit = fit,
                                .mean = {0.485f, 0.456f, 0.406f},
                                .std = {0.229f, 0.224f, 0.225f}};
}

static inline int bits_apart(const uint8_t a[32], const uint8_t b[32]) {
    int n = 0;
    for (int i = 0; i < 32; i++)
        n += __builtin_popcount(a[i] ^ b[i]);
    return n;
}
