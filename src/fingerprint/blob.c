/* blob.c — a video's fingerprint as the catalog stores it: packing and unpacking. */
#include "fingerprint.h"

#include <errno.h>
#include <string.h>

#define RECORD_BYTES (sizeof(float) + 1 + 32)
#define INSIDE 0x80 /* quality goes to 100 */

int vx_fp_pack(const vx_fp_frame *frames, size_t n, void **ret_blob, size_t *ret_bytes,
               vx_err *err) {
    uint8_t *blob = vx_new_array(n, RECORD_BYTES);
    if (!blob)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu fingerprints", n);
    for (size_t i = 0; i < n; i++) {
        uint8_t *record = blob + i * RECORD_BYTES;
        memcpy(record, &frames[i].time_s, sizeof(float));
        record[sizeof(float)] = frames[i].quality | (frames[i].inside ? INSIDE : 0);
        memcpy(record + sizeof(float) + 1, frames[i].hash, 32);
    }
    *ret_blob = blob;
    *ret_bytes = n * RECORD_BYTES;
    return 0;
}

int vx_fp_unpack(const void *blob, size_t bytes, vx_fp_frame **ret_frames, size_t *ret_n,
                 vx_err *err) {
    if (bytes % RECORD_BYTES)
        return VX_FAIL(err, -EINVAL,
                       "a stored fingerprint has %zu bytes, which is not a multiple of %zu", bytes,
                       RECORD_BYTES);
    size_t n = bytes / RECORD_BYTES;
    vx_fp_frame *frames = vx_new_array(n, sizeof *frames);
    if (!frames)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu fingerprints", n);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *record = (const uint8_t *)blob + i * RECORD_BYTES;
        memcpy(&frames[i].time_s, record, sizeof(float));
        frames[i].quality = record[sizeof(float)] & ~INSIDE;
        frames[i].inside = record[sizeof(float)] & INSIDE;
        memcpy(frames[i].hash, record + sizeof(float) + 1, 32);
    }
    *ret_frames = frames;
    *ret_n = n;
    return 0;
}
