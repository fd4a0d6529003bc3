/* extract_card.h — pictures that stay on the card, until enough of them are there to hash and prepare them
 * together; private to src/extract.
 *
 * A picture is held by a reference. flush() hashes and prepares all that are held, in one submission, and
 * lets go of them. If the card has no memory for that, the CPU does it with copies of them.
 * Threads: the run's.
 */
#pragma once

#include "fingerprint/fingerprint.h"
#include "media/media.h"
#include "preprocess/preprocess.h"

enum { VX_EXTRACT_HELD = 32 }; /* pictures at most */

typedef struct vx_extract_job {
    const vx_preprocess_spec *spec; /* of the model; borrows */
    vx_preprocess_job job;
} vx_extract_job;

typedef struct vx_extract_card {
    vx_card *card;      /* borrows; NULL: without kernels, or no card: nothing is held */
    vx_fp_track *track; /* borrows; may be NULL */
    vx_frame *held[VX_EXTRACT_HELD];
    size_t n_held;
    int64_t held_bytes;
    vx_fp_picture hashes[VX_EXTRACT_HELD];
    size_t n_hashes;
    vx_extract_job *jobs;
    size_t n_jobs, jobs_capacity;
    vx_picture *picture;               /* for the CPU; NULL until it is needed */
    int64_t n_prepared, n_left_to_cpu; /* pictures */
} vx_extract_card;

/* Whether the picture can be hashed and prepared on the card. */
bool vx_extract_card_takes(const vx_extract_card *c, const vx_frame *frame);
/* The picture, as vx_fp_track_add would add it. Pictures come in ascending order. -ENOMEM. */
int vx_extract_card_hash(vx_extract_card *c, const vx_frame *frame, bool stored, vx_err *err);
/* The picture into float32 [3, height, width] at `place`, which is page-locked. -ENOMEM. */
int vx_extract_card_prepare(vx_extract_card *c, const vx_preprocess_spec *spec,
                            const vx_frame *frame, float *place, vx_err *err);
/* Whether no more should be held. */
bool vx_extract_card_is_full(const vx_extract_card *c);
int vx_extract_card_flush(vx_extract_card *c, vx_err *err);
/* The jobs of this model are not wanted any more. */
void vx_extract_card_forget(vx_extract_card *c, const vx_preprocess_spec *spec);
void vx_extract_card_clear(vx_extract_card *c);
