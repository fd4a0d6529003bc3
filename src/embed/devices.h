/* devices.h — the setting --device as a list; part of embed.h. Threads: any. */
#pragma once

#include "base/err.h"

enum { VX_DEVICES_MAX = 16 };

typedef struct vx_devices {
    char names[VX_DEVICES_MAX][16]; /* [n] "auto" or "cpu", alone; or "cuda:N", each once */
    int n;
} vx_devices;

/* Reads auto, cpu, cuda:N, cuda:N,cuda:M,… or all, which is every device of n_cuda. Whether a named one is there
 * is not looked at. VX_EMBED_NO_DEVICE: the text is none of these, or there is none for all. */
int vx_devices_parse(const char *text, int n_cuda, vx_devices *ret_devices, vx_err *err);
