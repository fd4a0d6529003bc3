/* torch_shim.h — libtorch behind plain C.
 *
 * In    TorchScript archives; tensors as views of memory that the caller owns: contiguous, the
 *       last dimension fastest
 * Out   one tensor per run, checked against the shape that the caller expects and written into the
 *       caller's memory
 * Errs  -EIO (libtorch failed in a way with no name below), -ENOMEM, and vx_torch_outcome (> 0).
 *       No C++ exception passes this boundary.
 * Threads  loading and queries: any. A module: one thread at a time. vx_torch_set_threads() acts on
 *          the calling thread, so a worker calls it itself.
 * Cost  the first call into libtorch in a process takes some 20 ms; a run copies its inputs only to
 *       another device. On a GPU, small batches of a shape seen before are replayed as a CUDA graph,
 *       which keeps its own activations on the device (cuda_graphs.h)
 */
#pragma once

#ifdef __cplusplus
#define VX_TORCH_NOEXCEPT noexcept
extern "C" {
#else
#define VX_TORCH_NOEXCEPT
#endif

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum vx_torch_outcome {
    VX_TORCH_OUT_OF_MEMORY =
        VX_CODES_TORCH,  /* the device (or the CPU) lacks memory for this run or module; what
                                   was allocated for it is free again */
    VX_TORCH_NO_DEVICE,  /* no such device here, or a build without CUDA */
    VX_TORCH_BAD_FILE,   /* not a TorchScript archive that this libtorch reads */
    VX_TORCH_BAD_RESULT, /* the module failed on this input, or answered another shape */
    VX_TORCH_DEVICE_LOST, /* the device does not work now: it fell away, another process has it for itself, or an
                             error on it ended all that this process had there */
} vx_torch_outcome;

typedef enum vx_torch_dtype { VX_TORCH_U8, VX_TORCH_I64, VX_TORCH_F32 } vx_torch_dtype;

enum { VX_TORCH_MAX_DIMS = 6, VX_TORCH_MAX_INPUTS = 4 };

typedef struct vx_torch_view {
    void *data; /* borrows */
    vx_torch_dtype dtype;
    int n_dims; /* 1..VX_TORCH_MAX_DIMS */
    int64_t shape[6];
} vx_torch_view;

typedef struct vx_torch_module vx_torch_module;

/* Loads the archive at path onto device ("cpu" or "cuda:N"), ready to infer.
 * Returns 0, -EIO, -ENOMEM or an outcome; *ret_module is given on 0, untouched otherwise. */
int vx_torch_load(const char *path, const char *device, vx_torch_module **ret_module,
                  vx_err *err) VX_TORCH_NOEXCEPT;
vx_torch_module *vx_torch_free(vx_torch_module *module) VX_TORCH_NOEXCEPT;

/* Runs forward(inputs…) and writes its one tensor into *output, converted to output's dtype; it
 * returns when the values are there. 1..VX_TORCH_MAX_INPUTS inputs. On failure the contents of
 * output are unspecified. */
int vx_torch_run(vx_torch_module *module, const vx_torch_view *inputs, int n_inputs,
                 const vx_torch_view *output, vx_err *err) VX_TORCH_NOEXCEPT;

/* The same for one input that lies in n parts, data [i] of `part` each (its own data is not looked
 * at): the input is [n, part's shape]. On the CPU one part is run where it lies and several are
 * joined; to another device each is copied, without a detour from vx_torch_host_alloc's memory. */
int vx_torch_run_parts(vx_torch_module *module, const void *const *data, int n,
                       const vx_torch_view *part, const vx_torch_view *output,
                       vx_err *err) VX_TORCH_NOEXCEPT;

/* What is asked when a run finds no memory on a device: whether some was given back, so that the run is tried
 * once more. The last one set is asked, on the thread of the run; NULL: nobody. Set it before the first run and
 * when none is under way. */
typedef bool (*vx_torch_reserve)(void *ctx);
void vx_torch_set_reserve(vx_torch_reserve give_back, void *ctx) VX_TORCH_NOEXCEPT;

/* CUDA graphs that the module has recorded, and how many it records at most; 0 on the CPU. Threads: any. */
void vx_torch_count_graphs(const vx_torch_module *module, int *ret_n,
                           int *ret_max) VX_TORCH_NOEXCEPT;

/* Page-locked memory, which a GPU can copy from by itself. ret_data borrows from *ret_memory, which
 * is given; both are untouched on failure: VX_TORCH_NO_DEVICE without CUDA, -ENOMEM. */
typedef struct vx_torch_host_memory vx_torch_host_memory;
int vx_torch_host_alloc(size_t n_bytes, vx_torch_host_memory **ret_memory, void **ret_data,
                        vx_err *err) VX_TORCH_NOEXCEPT;
vx_torch_host_memory *vx_torch_host_free(vx_torch_host_memory *memory) VX_TORCH_NOEXCEPT;

/* VX_TORCH_OUT_OF_MEMORY or VX_TORCH_DEVICE_LOST if that is what the text of a failure in libtorch tells, else 0. */
int vx_torch_outcome_of(const char *text) VX_TORCH_NOEXCEPT;

const char *vx_torch_version(void) VX_TORCH_NOEXCEPT; /* static, such as "2.13.0" */

/* Whether archives may use this set of operators of vidx's own (models/common/operators.py); and those that
 * they may, "vidx-1 and vidx-2". Static. */
bool vx_torch_has_operators(const char *set) VX_TORCH_NOEXCEPT;
const char *vx_torch_operators(void) VX_TORCH_NOEXCEPT;

/* 0 when products in float8 run on the device; on the CPU they do, slowly. Else VX_TORCH_NO_DEVICE with the
 * reason. */
int vx_torch_check_fp8(const char *device, vx_err *err) VX_TORCH_NOEXCEPT;

/* Why these operators run on a GPU as torch's own and not as kernels of vidx; NULL: they are kernels. Static. */
const char *vx_torch_kernels_note(void) VX_TORCH_NOEXCEPT;

/* CUDA devices; 0 also where the build has no CUDA or the driver fails. */
int vx_torch_cuda_count(void) VX_TORCH_NOEXCEPT;

/* Free and total memory of "cuda:N" in bytes. VX_TORCH_NO_DEVICE for the CPU. */
int vx_torch_memory(const char *device, int64_t *ret_free_bytes, int64_t *ret_total_bytes,
                    vx_err *err) VX_TORCH_NOEXCEPT;

/* Peak memory of tensors on "cuda:N" since the last call, minus what they hold now: what a run needed
 * besides the weights. Resets the peak. VX_TORCH_NO_DEVICE for the CPU. */
int vx_torch_take_peak(const char *device, int64_t *ret_bytes, vx_err *err) VX_TORCH_NOEXCEPT;

/* Whether this CPU multiplies bfloat16 in tiles (AMX) and the kernel lets this process use them. */
bool vx_torch_cpu_has_amx(void) VX_TORCH_NOEXCEPT;

/* Sets how many cores one operator may use when called from this thread; n >= 1. */
int vx_torch_set_threads(int n, vx_err *err) VX_TORCH_NOEXCEPT;

#ifdef __cplusplus
}
#else
#include "base/mem.h"
VX_DEFINE_AUTO(vx_torch_module, vx_torch_free)
#endif
