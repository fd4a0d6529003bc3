/* driver.h — NVIDIA's driver as tables of functions (for src/card and src/media).
 *
 * libcuda.so.1 and libnvcuvid.so.1 come with the driver and are opened at run time, so that one
 * binary serves machines with and without a GPU. Tests put their own functions into the tables.
 * Threads: any; a table is constant once it is loaded.
 */
#pragma once

/* The loader would write to stderr what is missing; the caller's error says it. */
#define FFNV_LOG_FUNC(logctx, msg, ...) ((void)(logctx))
#define FFNV_DEBUG_LOG_FUNC(logctx, msg, ...) ((void)(logctx))
#include <ffnvcodec/dynlink_loader.h>

#include <stdbool.h>

#include "base/err.h"

enum { /* CUresult values that the headers do not name */
       VX_CUDA_OUT_OF_MEMORY = 2,
       VX_CUDA_NOT_SUPPORTED = 801,
};

typedef struct vx_card_driver {
    CudaFunctions *cuda;
    CuvidFunctions *cuvid;
    /* What the loader does not know: page-locked memory, which the card can read and write. */
    CUresult(CUDAAPI *host_alloc)(void **ret_memory, size_t n_bytes, unsigned flags);
    CUresult(CUDAAPI *host_free)(void *memory);
    void *library;    /* of these two */
    bool has_kernels; /* of its own: kernels need not be built. For tests */
} vx_card_driver;

/* Opens both libraries. ret_driver: gives; vx_card_driver_unload(). Returns 0 or -ENODEV. */
int vx_card_driver_load(vx_card_driver *ret_driver, vx_err *err);
void vx_card_driver_unload(vx_card_driver *driver);

/* Reports a call that failed, such as "cuvidCreateDecoder": -ENOMEM if the card's memory is full,
 * else -EIO. */
int vx_card_driver_fail(const vx_card_driver *driver, CUresult result, const char *call,
                        vx_err *err);
