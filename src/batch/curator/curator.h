/* batch_curator.h — how NeMo Curator names and stores a clip: the pure part of `--layout curator`.
 *
 * Facts are those of its ClipWriterStage and extractor stages. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clip/clip.h"

#define VX_UUID_CHARS 36
#define VX_PICKLE_OVERHEAD 256

/* uuid5(NAMESPACE_URL, name), lower case. */
void vx_curator_uuid(const char *name, char ret_uuid[VX_UUID_CHARS + 1]);

/* How a model's vectors are kept there: cosmos-embed1-*: "ce1", float16; internvideo2-*: "iv2",
 * float32; one that Curator does not know: its own name, float32. */
typedef struct vx_curator_model {
    char prefix[64]; /* of <prefix>_embd and <prefix>_embd_parquet */
    bool half;
} vx_curator_model;
vx_curator_model vx_curator_model_of(const char *name);

/* IEEE binary16, round to nearest even, and back. */
uint16_t vx_curator_half(float value);
float vx_curator_widen(uint16_t half);

/* What pickle.dumps(array, protocol=4) of NumPy 2 gives for float16 or float32 [1, n] (read by NumPy
 * from 1.26 on). n: 1..8192. ret: room for 4 n + VX_PICKLE_OVERHEAD bytes. Returns the size. */
size_t vx_curator_pickle(const float *values, size_t n, bool half, uint8_t *ret);

/* A clip's span and the numbers of its first frame and the one behind its last, which are its name:
 * uuid5("<source>_<first>_<last>"). The length of a video is int(duration * fps) / fps there, so the
 * last clip of a fixed rule may end up to a frame away from ours. rule: not auto. */
typedef struct vx_curator_span {
    double start_s, end_s;
    int64_t first, last;
} vx_curator_span;
vx_curator_span vx_curator_span_of(const vx_clip_spec *rule, double start_s, double end_s,
                                   double duration_s, double fps);
