/* operators.h — the operators "vidx::…" that archives may use (private to src/torch). */
#pragma once

/* The sets, as manifests name them: the second has the operators for float8 as well. Another meaning of an
 * operator is another set. */
#define VX_OPERATORS "vidx-1"
#define VX_OPERATORS_FP8 "vidx-2"

#ifdef __cplusplus
extern "C" {
#endif
/* Makes them known to TorchScript; before an archive is loaded. Threads: any, any number of times. */
void vx_register_operators(void);
#ifdef __cplusplus
}
#endif
