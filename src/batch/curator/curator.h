/* curator.h — NeMo Curator's formats: how its tree names and stores videos, clips and vectors.
 *
 * Facts are those of its ClipWriterStage and extractor stages. Pure: nothing here knows vidx's
 * catalog or its output folder (layout_curator.c does). Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "clip/clip.h"
#include "media/media.h"

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
uint16_t vx_curator_to_half(float value);
float vx_curator_from_half(uint16_t half);

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

/* ---- documents ---- */

/* One video of the tree. */
typedef struct vx_curator_source {
    const char *path;              /* as the documents name it */
    const vx_media_header *header; /* what its container claims */
} vx_curator_source;

typedef struct vx_curator_clip {
    char uuid[VX_UUID_CHARS + 1];
    vx_curator_span span;
    bool has_file; /* it was written as a file, with these measures: */
    vx_media_header file_header;
    int64_t file_bytes;
} vx_curator_clip;

/* Sets uuid from the source's path and the clip's span. -ENOMEM. */
int vx_curator_name_clip(const vx_curator_source *source, vx_curator_clip *clip);

/* The clips of one source are stored in chunks: the end of the one that begins with clip `begin`,
 * which is behind the clip that fills 256 whole seconds. */
size_t vx_curator_chunk_end(const vx_curator_clip *clips, size_t n, size_t begin);
/* uuid5 of "<source>_<index>". -ENOMEM. */
int vx_curator_name_chunk(const vx_curator_source *source, size_t index,
                          char ret_uuid[VX_UUID_CHARS + 1]);

/* JSON as Python's json.dumps(…, indent=4) writes it; free(); NULL when out of memory. There are no
 * captions and previews, so `windows` is empty and `valid` false, as in Curator without those
 * stages. */
char *vx_curator_meta_json(const vx_curator_source *source, const vx_curator_clip *clip,
                           const char *location); /* metas/v0/<clip>.json */
char *vx_curator_chunk_json(const vx_curator_source *source, const vx_curator_clip *clips, size_t n,
                            size_t index); /* processed_clip_chunks/<path>_<index>.json */
char *vx_curator_video_json(const vx_curator_source *source, size_t n_clips,
                            size_t n_chunks); /* processed_videos/<path>.json */

/* ---- vectors of a chunk: Parquet with id: string, embedding: list<double> ---- */

typedef struct vx_curator_parquet vx_curator_parquet;
int vx_curator_parquet_new(vx_curator_parquet **ret_parquet, vx_err *err);
vx_curator_parquet *vx_curator_parquet_free(vx_curator_parquet *parquet);
VX_DEFINE_AUTO(vx_curator_parquet, vx_curator_parquet_free)
int vx_curator_parquet_add(vx_curator_parquet *parquet, const char *uuid, const float *vector,
                           size_t dim, vx_err *err);
/* The whole file; lent until free. Nothing can be added any more. */
int vx_curator_parquet_finish(vx_curator_parquet *parquet, const void **ret_bytes, size_t *ret_n,
                              vx_err *err);
