/* driver.c — opens NVIDIA's driver libraries. */
#include "driver.h"

#include <dlfcn.h>
#include <errno.h>

static bool load_more(vx_card_driver *driver) {
    driver->library = dlopen("libcuda.so.1", RTLD_NOW);
    if (!driver->library)
        return false;
    *(void **)&driver->host_alloc = dlsym(driver->library, "cuMemHostAlloc");
    *(void **)&driver->host_free = dlsym(driver->library, "cuMemFreeHost");
    return driver->host_alloc && driver->host_free;
}

int vx_card_driver_load(vx_card_driver *ret_driver, vx_err *err) {
    vx_card_driver driver = {0};
    const char *library = NULL;
    if (cuda_load_functions(&driver.cuda, NULL) != 0 || !load_more(&driver))
        library = "libcuda.so.1";
    else if (cuvid_load_functions(&driver.cuvid, NULL) != 0)
        library = "libnvcuvid.so.1";
    if (library) {
        vx_card_driver_unload(&driver);
        return VX_FAIL(err, -ENODEV, "NVIDIA's driver is missing or too old: cannot use %s",
                       library);
    }
    *ret_driver = driver;
    return 0;
}

void vx_card_driver_unload(vx_card_driver *driver) {
    cuvid_free_functions(&driver->cuvid);
    cuda_free_functions(&driver->cuda);
    if (driver->library)
        dlclose(driver->library);
    driver->library = NULL;
}

int vx_card_driver_fail(const vx_card_driver *driver, CUresult result, const char *call,
                        vx_err *err) {
    const char *name = NULL;
    driver->cuda->cuGetErrorName(result, &name);
    int code = (int)result == VX_CUDA_OUT_OF_MEMORY ? -ENOMEM : -EIO;
    return VX_FAIL(err, code, "%s failed: %s (%d)", call, name ? name : "unknown error",
                   (int)result);
}
