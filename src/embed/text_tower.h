/* text_tower.h — a package's text module with its tokenizer and worker; private to src/embed/.
 *
 * In    UTF-8     Out  float32 [dim], unit length, in the space of the package's video tower
 * Threads  any; the module belongs to the batcher's worker.
 */
#pragma once

#include "package.h"

typedef struct vx_text_tower vx_text_tower;

/* Loads what the package's `text` names onto the device. Returns 0, -errno, VX_EMBED_BAD_PACKAGE
 * (also for a vocabulary that the tokenizer refuses) or VX_EMBED_NO_DEVICE. */
int vx_text_tower_open(const vx_package *package, const char *device, int threads,
                       vx_text_tower **ret_tower, vx_err *err);
vx_text_tower *vx_text_tower_free(vx_text_tower *tower);

/* As vx_embedder_run_texts(). */
int vx_text_tower_run(vx_text_tower *tower, const vx_text *texts, int n, float *ret_vectors,
                      vx_text_report *ret_report, vx_err *err);
