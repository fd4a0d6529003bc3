/* operators.h — the operators "vidx::…" that archives may use (private to src/torch). */
#pragma once

/* The set, as manifests name it. Another meaning of an operator is another set. */
#define VX_OPERATORS "vidx-1"

#ifdef __cplusplus
extern "C" {
#endif
/* Makes them known to TorchScript; before an archive is loaded. Threads: any, any number of times. */
void vx_register_operators(void);
#ifdef __cplusplus
}
#endif
