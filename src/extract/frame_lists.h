/* frame_lists.h — which frames of a video are decoded, and for what; private to src/extract.
 * A list is ascending and without repeats. Threads: any. */
#pragma once

#include "clip/clip.h"
#include "fingerprint_modes.h"
#include "keys.h"
#include "media/media.h"
#include "models/models.h"

/* All of a [n_a] and b [n_b] (any order, repeats allowed; borrows both) as one list, gives (free()). -ENOMEM. */
int vx_extract_merge_frames(const int64_t *a, size_t n_a, const int64_t *b, size_t n_b,
                            int64_t **ret_frames, size_t *ret_n, vx_err *err);

/* The frames whose hashes are stored: gives at least one (free()). Borrows all.
 *   mode    not OFF
 *   models  FRAMES takes those that the first one sees
 *   keys    of which these are, if any
 *   spans   [n_spans] the clips, >= 1
 * 0 or -errno. */
int vx_extract_fingerprint_frames(vx_fingerprints mode, const vx_models *models,
                                  const vx_media *media, const vx_extract_keys *keys,
                                  const vx_span *spans, size_t n_spans, int64_t **ret_frames,
                                  size_t *ret_n, vx_err *err);
