/* fp_blob.h — a video's fingerprint as the catalog keeps it.
 *
 * Little-endian records of 37 bytes: float32 time in seconds, uint8 quality (with 0x80: of the
 * picture inside its bars), 32 bytes of PDQ; in the order of vx_fp_video. A collection that was
 * stored before bars were looked for has none of the latter: its videos with bars are found by
 * copies with the same bars, all others as ever. Threads: any.
 */
#pragma once

#include "fingerprint.h"

/* Gives *ret_blob (free()). */
int vx_fp_blob_pack(const vx_fp_frame *frames, size_t n, void **ret_blob, size_t *ret_bytes,
                    vx_err *err);
/* Gives *ret_frames (free()). -EINVAL when the size is not a whole number of records. */
int vx_fp_blob_unpack(const void *blob, size_t bytes, vx_fp_frame **ret_frames, size_t *ret_n,
                      vx_err *err);
