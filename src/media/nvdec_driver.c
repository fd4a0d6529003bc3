/* nvdec_driver.c — opens NVIDIA's driver libraries. */
#include "nvdec_driver.h"

#include <errno.h>

int vx_nvdec_driver_load(vx_nvdec_driver *ret_driver, vx_err *err) {
    vx_nvdec_driver driver = {0};
    const char *library = NULL;
    if (cuda_load_functions(&driver.cuda, NULL) != 0)
        library = "libcuda.so.1";
    else if (cuvid_load_functions(&driver.cuvid, NULL) != 0)
        library = "libnvcuvid.so.1";
    if (library) {
        vx_nvdec_driver_unload(&driver);
        return VX_FAIL(err, -ENODEV, "NVIDIA's driver is missing or too old: cannot use %s",
                       library);
    }
    *ret_driver = driver;
    return 0;
}

void vx_nvdec_driver_unload(vx_nvdec_driver *driver) {
    cuvid_free_functions(&driver->cuvid);
    cuda_free_functions(&driver->cuda);
}

int vx_nvdec_driver_fail(const vx_nvdec_driver *driver, CUresult result, const char *call,
                         vx_err *err) {
    const char *name = NULL;
    driver->cuda->cuGetErrorName(result, &name);
    int code = (int)result == VX_CUDA_OUT_OF_MEMORY ? -ENOMEM : -EIO;
    return VX_FAIL(err, code, "%s failed: %s (%d)", call, name ? name : "unknown error",
                   (int)result);
}
