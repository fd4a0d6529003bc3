/* line.c — see the header. */
#include "line.h"

#include <errno.h>

int vx_line_failed(int rc, const char *model, const char *device, int n, vx_err *err) {
    if (rc == VX_TORCH_OUT_OF_MEMORY)
        return VX_FAIL(err, -ENOMEM, "%s lacks memory for %d items of %s", device, n, model);
    if (rc == VX_TORCH_DEVICE_LOST)
        return VX_WRAP(err, "%s was lost", device), err->code = -ENODEV;
    if (rc > 0)
        return VX_WRAP(err, "model %s", model), err->code = -EIO;
    return rc;
}

int vx_line_load_again(vx_torch_module **module, const char *path, const char *device,
                       vx_err *err) {
    vx_torch_module *fresh = NULL;
    int rc = vx_torch_load(path, device, &fresh, err);
    if (rc)
        return VX_WRAP(err, "%s is still lost", device), err->code = -ENODEV;
    vx_torch_free(*module);
    *module = fresh;
    return 0;
}
