/* card.h — one NVIDIA card: memory for pictures, kernels, and work in the order of a stream.
 *
 * media/ decodes on the card, preprocess/ and fingerprint/ run kernels on what came out. Kernels are
 * built into vidx where nvcc was there (image_of.py); the driver loads them. The context is the
 * primary one of the device, which libtorch uses too, so page-locked memory of one is that of the
 * other.
 *
 * Errs     -ENOMEM, -EIO (the driver failed), -ENODEV
 * Threads  any; a vx_card_work belongs to the thread that began it
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

typedef struct vx_card vx_card;

struct vx_card_driver;
typedef struct vx_card_params {
    int device;                          /* N of cuda:N */
    int64_t max_bytes;                   /* of vx_card_take; 0 = 2 GiB */
    const struct vx_card_driver *driver; /* borrows; NULL = NVIDIA's, loaded now */
} vx_card_params;

int vx_card_open(const vx_card_params *params, vx_card **ret_card, vx_err *err);
vx_card *vx_card_free(vx_card *card); /* nothing of it may be in use */
VX_DEFINE_AUTO(vx_card, vx_card_free)
const char *vx_card_name(const vx_card *card); /* borrows: "NVIDIA H100 80GB HBM3" */
const struct vx_card_driver *vx_card_get_driver(const vx_card *card); /* borrows */

/* Makes the card's context the thread's, until vx_card_leave. */
void vx_card_enter(vx_card *card);
void vx_card_leave(vx_card *card);

/* ---- memory ----
 *
 * Buffers for pictures and tables, kept when they are given back. All together take at most max_bytes;
 * where there is no more, the caller does without the card. */
typedef struct vx_card_buffer {
    uint8_t *address; /* on the card */
    size_t n_bytes;
    struct vx_card_buffer *next;
} vx_card_buffer;

/* The context must be current. NULL: the bound is reached, or the card is full. */
vx_card_buffer *vx_card_take(vx_card *card, size_t n_bytes);
void vx_card_give(vx_card *card, vx_card_buffer *buffer); /* takes NULL; any context */

typedef struct vx_card_memory {
    int64_t bytes, max_bytes; /* held, in use or not */
    int64_t used_bytes;
    int64_t n_refused; /* buffers that there was no memory for */
} vx_card_memory;
vx_card_memory vx_card_get_memory(vx_card *card);

/* ---- kernels ---- */

/* Kernels as nvcc made them, for several kinds of cards. n_bytes 0: vidx was built without nvcc. */
typedef struct vx_card_image {
    const char *name; /* of its source: prepare.cu */
    const unsigned char *data;
    size_t n_bytes;
} vx_card_image;

/* Loads the image, or says why not: -ENODEV. */
int vx_card_load(vx_card *card, const vx_card_image *image, vx_err *err);

/* ---- work ----
 *
 *   begin → upload, scratch, results, launch … → wait → read results, perhaps more of these → end */
typedef struct vx_card_work vx_card_work;

/* ret_work: lends; vx_card_end(). Enters the context. */
int vx_card_begin(vx_card *card, vx_card_work **ret_work, vx_err *err);
/* Waits for what is under way; what was handed out is void. Leaves the context. Takes NULL. */
vx_card_work *vx_card_end(vx_card_work *work);
VX_DEFINE_AUTO(vx_card_work, vx_card_end)

/* A copy of n_bytes on the card, in the order of the work. ret_address is valid until vx_card_end, as
 * all of these. */
int vx_card_upload(vx_card_work *work, const void *data, size_t n_bytes, const void **ret_address,
                   vx_err *err);
/* Memory on the card, unspecified contents. */
int vx_card_scratch(vx_card_work *work, size_t n_bytes, void **ret_address, vx_err *err);
/* Memory of the host that kernels write. */
int vx_card_results(vx_card_work *work, size_t n_bytes, void **ret_memory, vx_err *err);
/* Rows from the card to any memory of the host; they are there after vx_card_wait. */
int vx_card_copy_rows(vx_card_work *work, const void *from, size_t from_pitch, void *to,
                      size_t to_pitch, size_t row_bytes, size_t n_rows, vx_err *err);

typedef struct vx_card_shape {
    unsigned blocks[3], threads;
    size_t shared_bytes; /* a block, up to 48 KiB */
} vx_card_shape;
/* args: addresses of the kernel's parameters (borrows, for the call). */
int vx_card_launch(vx_card_work *work, const vx_card_image *image, const char *kernel,
                   const vx_card_shape *shape, void **args, vx_err *err);
int vx_card_wait(vx_card_work *work, vx_err *err);
