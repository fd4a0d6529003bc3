/* verdict_internal.h — what check.c needs of decide.c. Threads: any. */
#pragma once

#include "rule.h"
#include "verdict.h"

/* The match of pictures that would decide, were nothing inserted since the scan, if nobody looked at it yet; of = 0:
 * there is none. */
int vx_verdict_find_match(vx_collection *collection, const vx_verdict_subject *subject,
                          const vx_verdict_candidates *candidates, vx_verdict *ret_match,
                          vx_err *err);
/* The rows of the most similar stored videos, the nearest first, whose score is the model's threshold at least. */
int vx_verdict_find_similar(vx_collection *collection, const vx_verdict_subject *subject,
                            const vx_verdict_candidates *candidates, size_t most, int64_t *ret_rows,
                            size_t *ret_n, vx_err *err);
/* Loads a stored video's frames (vx_rule_load; ctx: the collection). */
int vx_verdict_load_fingerprint(void *ctx, int64_t video, vx_fp_frame **ret_frames, size_t *ret_n,
                                double *ret_length_s, vx_err *err);
