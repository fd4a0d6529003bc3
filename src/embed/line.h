/* line.h — one device of a tower: what its failures mean, and how it comes back (private to src/embed).
 * Threads: the line's worker. */
#pragma once

#include "torch/torch_shim.h"

/* The -errno of a vx_torch_run of n items that returned rc: -ENOMEM, -ENODEV (the device is lost), -EIO, 0. */
int vx_line_failed(int rc, const char *model, const char *device, int n, vx_err *err);

/* Loads the module anew in the place of one whose device was lost. -ENODEV: it is still away. */
int vx_line_load_again(vx_torch_module **module, const char *path, const char *device, vx_err *err);
