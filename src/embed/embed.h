/* embed.h — model packages and the worker that runs them.
 *
 * A package is a directory <models>/<name>/ with manifest.json and the TorchScript files that it
 * lists (models/README.md describes the fields). Its digest is the SHA-256 over its files' digests
 * and those fields that change a video's vector; vectors of different digests are never compared
 * (they lie in different vector spaces). The text tower is not part of the digest: it can be replaced
 * while the stored vectors stay.
 *
 * In    float32 clips as preprocess.h makes them, UTF-8 text      Out  float32 unit vectors
 * Threads  vx_embedder_* may be called from any thread; one worker thread per tower owns its
 *          module. Concurrent calls are joined into batches. vx_embedder_free() is called once,
 *          and no call may begin after it has.
 * Cost  opening hashes the files that it loads (SHA-256, 1.6 GB/s), loads the modules and runs them
 *       once, which also warms them up. Other files of the package only have to exist.
 */
#pragma once

#include "base/err.h"
#include "base/mem.h"
#include "preprocess/preprocess.h"

typedef enum vx_embed_outcome {
    VX_EMBED_NO_PACKAGE =
        VX_CODES_EMBED,   /* no such directory or manifest under the models directory */
    VX_EMBED_BAD_PACKAGE, /* manifest, file or the module's answer to a probe is wrong: the
                                message says which field or file */
    VX_EMBED_NO_DEVICE,   /* the device asked for is not there, or lacks memory */
    VX_EMBED_CLOSED,      /* the embedder is shutting down */
    VX_EMBED_BAD_TEXT,    /* a query's text is too long, not UTF-8 or without words */
    VX_EMBED_NO_TEXT,     /* this model has no text tower */
} vx_embed_outcome;

/* ---- the setting --device ---- */

enum { VX_DEVICES_MAX = 16 };

typedef struct vx_devices {
    char names[VX_DEVICES_MAX][16]; /* [n] "auto" or "cpu", alone; or "cuda:N", each once */
    int n;
} vx_devices;

/* Reads auto, cpu, cuda:N, cuda:N,cuda:M,… or all, which is every device of n_cuda. Whether a named one is there
 * is not looked at. VX_EMBED_NO_DEVICE: the text is none of these, or there is none for all. */
int vx_devices_parse(const char *text, int n_cuda, vx_devices *ret_devices, vx_err *err);

/* ---- models ---- */

/* What a model's vectors are for. They are never compared across roles. */
typedef enum vx_model_role {
    VX_ROLE_SEARCH, /* of clips: searches, verdicts, clusters */
    VX_ROLE_COPY, /* of single pictures: which videos may be copies (verdict/copies.c). T is 1, and no text */
} vx_model_role;

typedef enum vx_sampling {
    VX_SAMPLE_SPREAD, /* T of N frames over the whole clip: floor(k (N-1) / (T-1)); repeats when
                          short */
    VX_SAMPLE_CURATOR, /* NeMo Curator: step = N / T, frames 0, step, 2 step …: the leading part. For
                          N < T, frames are to be chosen at a higher rate; else as SPREAD */
} vx_sampling;

typedef struct vx_model_info {
    char name[64];   /* [a-z0-9.-]+ */
    char digest[65]; /* lower-case hex */
    char source[160], license[64], device[32], dtype[16];
    vx_model_role role;
    int dim;      /* 1..8192 */
    int n_frames; /* T, 1..64 */
    double target_fps;
    vx_sampling sampling;
    vx_preprocess_spec preprocess;
    float similar_threshold; /* cosine from which two clips count as similar; measured */
    bool has_text;
    int text_length;       /* tokens of a text that the model reads, 2..512; the rest is cut off */
    char text_quality[80]; /* how good text search is with this model, for people; may be empty */
    int64_t weights_bytes; /* of the archives that are loaded: what it holds on its device */
    int64_t run_bytes;     /* a run of one clip needs beside them, measured; 0 = not known (CPU) */
    int max_batch;         /* clips per run that it was opened with */
    int together; /* clips of a video to submit at once, so that they share a run: more than 1 only in
                     a reproducible embedder, which has no other way to fill one */
    /* On a GPU: why vidx's own operators run without their kernels; NULL = they have them. Static. */
    const char *kernels_note;
    /* Why it runs on a device that its package calls slow; "" = it does not. */
    char device_note[320];
} vx_model_info;

typedef struct vx_embedder vx_embedder;

typedef struct vx_embedder_params {
    const char *models_dir; /* borrows */
    const char *name;       /* borrows */
    vx_model_role role;     /* a package of another one is refused */
    const char *
        device; /* as vx_devices_parse takes it; NULL = auto. Of several each runs the model, and all
                               take clips from one queue; texts run on the first */
    int cpu_lines;     /* so many towers on the CPU, as if they were devices; 0 = 1. For tests */
    const char *dtype; /* "fp32", "bf16", "fp16", "fp8"; NULL = the first in the manifest that runs
                               well on the device. Borrows */
    int max_batch;     /* clips per run; 0 = the manifest's, by device */
    int threads;       /* intra-op threads on the CPU; 0 = one per core */
    bool video_only;   /* leave the text tower out; info.has_text still tells of it */
    bool reproducible; /* on a CPU a batch holds clips of one call only, so that a vector depends
                               on its call alone, to the last bit. A GPU is used as ever: small
                               batches would waste most of its speed */
} vx_embedder_params;

/* Where the model would run, without loading it: "cpu" or "cuda:N" into ret_device. Reads only the
 * manifest. Returns as vx_embedder_open. */
int vx_embedder_find_device(const vx_embedder_params *params, char ret_device[16], vx_err *err);

/* The largest batch up to `wanted` that four fifths of the free memory hold, by what runs of one and
 * of two clips needed; 1 at least. The rest is for fragmentation and for other models. */
int vx_embedder_fit_batch(int wanted, int64_t free_bytes, int64_t one_clip_bytes,
                          int64_t two_clips_bytes);

/* Gives the embedder, ready to run. Returns 0, -errno, VX_EMBED_NO_PACKAGE, VX_EMBED_BAD_PACKAGE or
 * VX_EMBED_NO_DEVICE. */
int vx_embedder_open(const vx_embedder_params *params, vx_embedder **ret_embedder, vx_err *err);
/* Callers still waiting get VX_EMBED_CLOSED; returns when the last of them has left, every slot is
 * submitted or freed and every job is freed. */
vx_embedder *vx_embedder_free(vx_embedder *embedder);
VX_DEFINE_AUTO(vx_embedder, vx_embedder_free)

const vx_model_info *vx_embedder_info(const vx_embedder *embedder); /* borrows */

/* relieve(ctx) is called on the worker when the device has no memory for a run, to free what others keep
 * there. A single clip is then tried again for two seconds. Set before clips come. */
void vx_embedder_on_no_memory(vx_embedder *embedder, void (*relieve)(void *ctx), void *ctx);

/* Which frames of the N chosen ones the model sees: fills ret_index[T] with values in [0, n). */
void vx_model_sample(const vx_model_info *model, int64_t n, int64_t *ret_index);

/* float32 [n_clips, T, 3, H, W] → float32 [n_clips, dim], unit length. Blocks until done; a result
 * with NaN or a length off 1 by more than 1e-3 is -EIO, for the caller whose clip it is alone.
 * Waiting calls are joined into batches. The last digits of a vector depend on the size of its batch,
 * and so on what else waits, unless the embedder was opened with `reproducible`.
 * Calls wait in order; what waits is bounded by the number of calling threads. A batch that the
 * device has no room for is run in halves, and later ones are no larger than what had room, until
 * some hundred had; -ENOMEM only when one clip has none. -EHOSTDOWN: no device works now, err says why. */
int vx_embedder_run(vx_embedder *embedder, const float *clips, int n_clips, float *ret_vectors,
                    vx_err *err);

/* ---- clips without a copy ----
 *
 * Memory for one clip, float32 [T, 3, H, W], that the embedder owns and the model reads: claim a slot,
 * write the clip, submit it, go on with other work, await the vectors. A slot belongs to the thread
 * that claimed it until it is submitted or freed. slot_pool.h says how many there are and why nobody
 * waits for ever. */
typedef struct vx_slot vx_slot;
typedef struct vx_embed_job vx_embed_job;
enum { VX_EMBED_MAX_SUBMIT = 64 };

/* A slot with unspecified contents; waits for the model's worker while it has clips to finish and no
 * slot is free. 0, -ENOMEM or VX_EMBED_CLOSED. */
int vx_embedder_claim(vx_embedder *embedder, vx_slot **ret_slot, vx_err *err);
float *vx_slot_clip(vx_slot *slot); /* borrows from slot */
/* Whether a card can write it, as page-locked memory. */
bool vx_slot_is_pinned(const vx_slot *slot);
/* Gives a slot back unused. Takes NULL. */
vx_slot *vx_slot_free(vx_slot *slot);

/* Queues n clips (1..VX_EMBED_MAX_SUBMIT) in this order. Takes the slots, on failure too.
 *   ret_job  gives; vx_embed_job_free()
 * 0, -EINVAL, -ENOMEM, VX_EMBED_CLOSED. */
int vx_embedder_submit(vx_embedder *embedder, vx_slot *const *slots, int n, vx_embed_job **ret_job,
                       vx_err *err);
/* Blocks until they are through: float32 [n, dim]. Fails as vx_embedder_run; VX_EMBED_CLOSED. */
int vx_embed_job_await(vx_embed_job *job, float *ret_vectors, vx_err *err);
bool vx_embed_job_is_done(vx_embed_job *job); /* vx_embed_job_await would not block */
/* Takes back the clips that no run has begun with, waits for the others. Takes NULL. */
vx_embed_job *vx_embed_job_free(vx_embed_job *job);

typedef struct vx_text {
    const char *text; /* UTF-8; borrows */
    size_t n_bytes;
} vx_text;

typedef struct vx_text_report {
    int64_t tokens; /* read by the model, [CLS] and [SEP] among them */
    int bad;        /* on VX_EMBED_BAD_TEXT: which text */
} vx_text_report;

/* n texts → float32 [n, dim], unit length, comparable with the model's video vectors. Blocks until
 * done. VX_EMBED_NO_TEXT, VX_EMBED_BAD_TEXT, VX_EMBED_CLOSED, or -EIO as above.
 *   ret_report  may be NULL */
int vx_embedder_run_texts(vx_embedder *embedder, const vx_text *texts, int n, float *ret_vectors,
                          vx_text_report *ret_report, vx_err *err);
/* The same for one text: float32 [dim]. */
int vx_embedder_run_text(vx_embedder *embedder, const char *text, size_t n_bytes, float *ret_vector,
                         vx_err *err);

/* Names of the packages under models_dir whose manifest has a text tower, comma separated, as many
 * as fit; "" when there is none. The files are not looked at. */
void vx_models_with_text(const char *models_dir, char *ret_names, size_t capacity);

enum { VX_EMBED_MAX_LINES = VX_DEVICES_MAX };

/* One device that runs the video tower. */
typedef struct vx_embedder_line {
    char device[16];
    int64_t clips;
    bool lost;     /* it cannot be used now, and is tried again */
    char why[240]; /* when it was last lost; "": never */
} vx_embedder_line;

typedef struct vx_embedder_stats { /* of the video tower */
    int64_t clips, batches;
    int64_t busy_us; /* time spent inside the model, of all lines */
    int n_lines;     /* devices that run it */
    vx_embedder_line lines[VX_EMBED_MAX_LINES];
    int batch; /* clips per run now: max_batch, or less where the device lacked memory */
    int64_t out_of_memory;    /* runs that the device had no room for */
    int n_slots, max_slots;   /* memory for clips that is kept */
    int64_t slot_bytes;       /* of each; in host memory */
    int n_graphs, max_graphs; /* CUDA graphs, each with memory of its own on the device */
} vx_embedder_stats;
void vx_embedder_get_stats(vx_embedder *embedder, vx_embedder_stats *ret_stats);
