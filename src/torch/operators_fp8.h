/* operators_fp8.h — those of the operators "vidx::…" that give float8 (private to src/torch);
 * models/common/operators.py describes them. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif
/* Defines them in a torch::Library, for any device, and where CUDA kernels were built with these for a GPU. */
void vx_define_fp8_operators(void *library);
#ifdef __cplusplus
}
#endif
