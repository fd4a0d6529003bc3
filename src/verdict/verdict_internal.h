/* verdict_internal.h — what check.c and second.c need of decide.c, windows.c and moments.c. Threads: any. */
#pragma once

#include <limits.h>

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
/* Loads a stored video's frames (vx_rule_load; ctx: the collection); none where they are missing or damaged. */
int vx_verdict_load_fingerprint(void *ctx, int64_t video, vx_fp_frame **ret_frames, size_t *ret_n,
                                double *ret_length_s, vx_err *err);

/* ---- windows.c: parts of files, decoded ---- */

typedef struct vx_windows {
    const vx_verdict_files *files; /* borrows */
    vx_turn turn;                  /* decodes take turns like all others */
    vx_verdict_decoded *own;       /* where files->decoded is NULL; owned */
} vx_windows;
void vx_windows_clear(vx_windows *windows);

/* Decodes a part of a stored video and of the new one, unless they were among the last, and compares them. *ret_evidence is all zero, and motion NaN, after any failure.
 * 0; VX_MEDIA_STOPPED; another vx_media_outcome or -errno: one of them cannot be decoded; -ENOMEM. */
int vx_windows_compare(vx_windows *windows, const vx_evidence_window *of_new, const vx_video *of,
                       const vx_evidence_window *of_stored, const vx_evidence_params *params,
                       vx_evidence *ret_evidence, vx_err *err);
/* What two videos are that move alike along the line of `e`: for a span of the new one the span of the stored one, and
 * the relation, all of *ret_found but `of`. Lengths in seconds. */
vx_span vx_windows_relate(const vx_evidence *e, const vx_span *in_new, double new_s,
                          double stored_s, vx_verdict_found *ret_found);

/* ---- moments.c: vectors of parts of one file ---- */

typedef struct vx_moments {       /* borrows all */
    const vx_span *spans;         /* [n] */
    const vx_extract_view *views; /* [n]; NULL: all of every picture */
    size_t n;
    bool by_copy_model; /* which is loaded; else by the default model */
} vx_moments;
/* A second of a video around a time. */
vx_span vx_moment_at(double middle_s, double length_s);
/* Vectors of moments of the file that `files` names, float32 [n, dim] (gives; NULL: it cannot be read).
 * 0, VX_MEDIA_STOPPED or -errno: the model failed. */
int vx_moments_embed(const vx_verdict_files *files, const vx_moments *moments, float **ret_vectors,
                     vx_err *err);
/* What the copy model, which is loaded, says of the pictures of a video: of a stored one what is in its index; else it
 * is asked, as vx_verdict_describe does. */
int vx_verdict_get_pictures(const vx_collection *collection, const vx_verdict_subject *subject,
                            const vx_verdict_files *files, float **ret_vectors, size_t *ret_n,
                            vx_err *err);

/* ---- second.c: what a copy of which nothing else is known is ---- */

/* Whether it is one: enough pictures met and moved alike. */
bool vx_verdict_is_sure(const vx_evidence *evidence);
/* What both share, in times of the new one: from the first to the last picture that met, and on to where the line leaves
 * one of the videos, if no more than a moment lies between. Lengths in seconds. */
vx_span vx_verdict_span(const vx_evidence *evidence, double new_s, double stored_s);
