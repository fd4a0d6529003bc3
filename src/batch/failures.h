/* failures.h — the videos that could not be embedded, and why.
 *
 * <output>/failed.jsonl has one object a line, by file: {"file","outcome","reason"}; outcome is one
 * of outcome.h's names, or "unreadable". It describes the last finished run: files that failed are
 * tried again each time. Threads: one at a time.
 */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

typedef struct vx_batch_failures vx_batch_failures;

vx_batch_failures *vx_batch_failures_new(void); /* NULL when out of memory */
vx_batch_failures *vx_batch_failures_free(vx_batch_failures *failures);
VX_DEFINE_AUTO(vx_batch_failures, vx_batch_failures_free)

int vx_batch_failures_add(vx_batch_failures *failures, const char *path, const char *outcome,
                          const char *reason, vx_err *err);
/* Adds it as "unreadable" and says so on stderr. */
int vx_batch_failures_skip(vx_batch_failures *failures, const char *path, const char *reason,
                           vx_err *err);
size_t vx_batch_failures_count(const vx_batch_failures *failures);
int vx_batch_failures_write(vx_batch_failures *failures, const char *output, vx_err *err);
