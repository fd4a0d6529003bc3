/* verdict.h — decides what a new video is to the stored ones (kinds: rule.h).
 *
 * (The same bytes, `exact`, are found before anything is decoded: ingest/.) The decision takes two
 * steps. Verdict and insert must be one step on the writer's thread, and there is one writer: while it
 * reads for one video, all others wait. But a scan of every stored vector and fingerprint takes longer
 * the more there are (figures: tests/bench/README.md). So the worker that made the vectors finds the
 * candidates first, beside other workers. The writer then looks only at the few videos that were
 * inserted since, and decides as if it had scanned everything at that moment.
 *
 * A stored video that is judged anew (before_row) is compared with older ones only, of which none is added
 * any more; so it needs neither the writer nor what was inserted since.
 *
 * Hashes take another take of one fixed camera for a copy. So before a match of pictures decides, somebody looks at
 * the pictures of both again (evidence/): vx_verdict_check decodes them, and so is not for the writer. If the writer
 * finds a match that nobody looked at, because it was inserted since, it says so, and the video comes back.
 *
 * Threads  find_candidates, check: any. decide: the writer's thread; with before_row any.
 */
#pragma once

#include "base/err.h"
#include "collection/collection.h"
#include "evidence/evidence.h"
#include "extract/extract.h"
#include "rule.h"
#include "store/store.h"

#define VX_VERDICT_MORE 16   /* candidates that the caller may add */
#define VX_VERDICT_CHECKS 8  /* stored videos that are decoded again for one new one, at most */
#define VX_VERDICT_COPIES 16 /* candidates of the video as it is, and as many of its mirror image */

/* The new video. All borrowed. */
typedef struct vx_verdict_subject {
    /* Its id, or "": what people said is unrelated to that video is not named, however alike it is. */
    char id[VX_VIDEO_ID_CHARS + 1];
    const float *vectors; /* of the default model: float32 [n_clips, dim], unit length */
    size_t n_clips;
    const vx_fp_video *fingerprint;
    const vx_span *spans; /* [n_clips] of the clips, for vx_verdict_look_again; NULL: not known */
    double length_s;      /* NaN: not known */
    int width_px, height_px; /* for vx_verdict_look_again; 0: not known */
    int64_t before_row;      /* compare only with videos of rows below; 0: with all */
    int64_t before_clip;     /* and their clips; with before_row alone */
    /* Of the copy model, float32 [n_pictures, dim], if it has been asked about this video (vx_verdict_describe). */
    bool described;
    const float *pictures;
    size_t n_pictures;
    const int64_t *more; /* [n_more] further candidates, <= VX_VERDICT_MORE; may be gone */
    size_t n_more;
} vx_verdict_subject;

/* What the pictures showed. */
typedef struct vx_verdict_found {
    vx_verdict_kind kind;
    int64_t of; /* catalog row */
    float share_of_new, share_of_stored, offset_s, motion;
    bool mirrored;
} vx_verdict_found;

/* Stored videos that may be its copies or similar to it. All zero: nothing was scanned yet. */
typedef struct vx_verdict_candidates {
    unsigned long long n_recent; /* recent inserts before the scan began */
    vx_neighbour *near;          /* the nearest stored clips of each clip, [n_clips, ...]; owned */
    size_t *n_near;              /* [n_clips]; owned */
    int64_t copies[2 * VX_VERDICT_COPIES];
    size_t n_copies;
    bool more_copies; /* the list of copies was full: there may be more */
    /* ---- set by vx_verdict_check ---- */
    bool checked;                    /* no match of pictures counts that nobody looked at */
    int64_t seen[VX_VERDICT_CHECKS]; /* [n_seen] whose pictures were looked at again */
    vx_evidence_kind said[VX_VERDICT_CHECKS]; /* [n_seen] and what that said */
    size_t n_seen;
    int64_t unseen; /* set by vx_verdict_decide: the match that nobody looked at; 0 = none */
    vx_verdict_found shown; /* what the pictures show and the hashes do not see; of = 0: nothing */
} vx_verdict_candidates;
void vx_verdict_candidates_clear(vx_verdict_candidates *candidates);

/* Scans all vectors of the default model and all fingerprints. The caller clears ret_candidates, also
 * after a failure. */
int vx_verdict_find_candidates(vx_collection *collection, const vx_verdict_subject *subject,
                               vx_verdict_candidates *ret_candidates, vx_err *err);

#define VX_VERDICT_UNSEEN VX_CODES_VERDICT /* a match of pictures is to be checked first */

/* What was decoded last, for whoever compares many pairs: of a crowd of copies the same video is in most pairs.
 * Threads: external lock. */
typedef struct vx_verdict_decoded vx_verdict_decoded;
#define VX_VERDICT_DECODED_MAX 8
/* Keeps up to n parts of videos (2..VX_VERDICT_DECODED_MAX), 26 MB each at most. NULL: no memory. */
vx_verdict_decoded *vx_verdict_decoded_new(size_t n);
vx_verdict_decoded *vx_verdict_decoded_free(vx_verdict_decoded *decoded);

/* The new video's file, and how to decode it and stored ones. All borrowed. */
typedef struct vx_verdict_files {
    const vx_store *store;
    const vx_extractor
        *extractor; /* its limits, decoder and slots; not evidence: nothing is checked */
    const char *path;
    const uint8_t *sha256; /* [32] of the new video, for its packet table */
    int decode_threads;
    vx_verdict_decoded *decoded;  /* NULL: three parts are kept while one video is looked at */
    bool (*cancelled)(void *ctx); /* may be NULL */
    void *ctx;
    /* May be NULL: told what was found, for statistics and logs. */
    void (*on_check)(void *ctx, const vx_video *of, const vx_evidence *evidence);
} vx_verdict_files;

/* Looks at the pictures of those candidates that the hashes would call its copies, the best match first, until one
 * is none of another take; or, after VX_VERDICT_UNSEEN, at that one. Where no hashes match, and no second look
 * is to come (the level is FAST), looks at the two most similar videos: their pictures may show a crop or other edits that hashes do not see. Both must be short enough for
 * their windows to hold all of them, so that the relation is known. At most VX_VERDICT_CHECKS in all; if all of these
 * are other takes, no match of pictures counts. A stored file that cannot be decoded, or is gone, says nothing: then
 * the hashes decide, as they do where nothing moves.
 * Returns 0, VX_MEDIA_STOPPED (cancelled) or -errno.
 * Cost: nothing where no hashes match and nothing is similar; else decodes up to 32 s of the new video and 64 s of a stored one. */
int vx_verdict_check(vx_collection *collection, const vx_verdict_subject *subject,
                     const vx_verdict_files *files, vx_verdict_candidates *candidates, vx_err *err);

/* ---- the second look (second.c) ----
 *
 * What hashes do not see (a crop, a frame around it, another speed, a passage in a compilation), the pictures of the
 * nearest videos show. Those are the nearest by vector, however far: of the new video's clips, of single moments of
 * it, and, where these bring nothing and the level is deep, of parts of its pictures and of them turned. If a copy model
 * is loaded, the videos that it names are looked at before these: those with a picture that is as near to one of the new
 * video's as the threshold of its package says. It cannot tell two takes of one camera apart, so it decides nothing.
 */

#define VX_VERDICT_LOOKS 8 /* stored videos for each of the searches */
#define VX_VERDICT_LOOKS_MAX                                                                       \
    (3 * VX_VERDICT_LOOKS) /* by the copy model, by moments, by parts of pictures */

/* A stored video whose pictures were compared with the new one's. */
typedef struct vx_verdict_look {
    char of[VX_VIDEO_ID_CHARS + 1];
    float score;        /* cosine by which it was found */
    bool by_copy_model; /* of two pictures, as that model describes them */
    bool unreadable;    /* its file, or the new one's, is gone or cannot be decoded */
    vx_evidence evidence;
    vx_verdict_found found;    /* its kind: copy, part_of, contains, shared_segment; new: none */
    vx_span in_new, in_stored; /* what they share; valid unless new */
} vx_verdict_look;

typedef struct vx_verdict_looks {
    vx_verdict_look items[VX_VERDICT_LOOKS_MAX];
    size_t n;
    vx_verdict_found
        found; /* the closest relation, of those the one that moves most alike; of = 0: none */
} vx_verdict_looks;

/* Looks at the nearest stored videos, but none that people said is unrelated; with subject->before_row at older ones
 * alone. Ends with the first copy or part_of. A file that cannot be read costs only its own look.
 *   level  below FULL: nothing is looked at; DEEP: also by parts of the pictures
 * Returns 0, VX_MEDIA_STOPPED (cancelled), or -errno.
 * Threads: any. Cost: decodes the new video's moments, and for each look up to 32 s of it and 64 s of a stored one. */
int vx_verdict_look_again(vx_collection *collection, const vx_verdict_subject *subject,
                          const vx_verdict_files *files, vx_evidence_level level,
                          vx_verdict_looks *ret_looks, vx_err *err);
/* What the copy model, which is loaded, says of the pictures of the file that `files` names: float32 [n, dim] (gives),
 * n = vx_picture_count(length_s). n 0: it cannot be read, or the model failed on it, which is logged and counted.
 * Returns 0, VX_MEDIA_STOPPED or -errno. Threads: any. Cost: decodes those pictures and what they depend on. */
int vx_verdict_describe(const vx_verdict_files *files, double length_s, float **ret_vectors,
                        size_t *ret_n, vx_err *err);

/* A stored video that is to be looked at beside older ones. */
typedef struct vx_verdict_stored {
    vx_video *video;            /* owned, as is what follows */
    float *vectors;             /* of the default model: float32 [subject.n_clips, dim] */
    vx_span *spans;             /* [subject.n_clips] */
    vx_verdict_subject subject; /* without fingerprint; borrows from these */
} vx_verdict_stored;
/* VX_CATALOG_NOT_FOUND: it was deleted. After a failure there is nothing to clear. Threads: any. */
int vx_verdict_stored_read(vx_collection *collection, int64_t row, vx_verdict_stored *ret_stored,
                           vx_err *err);
void vx_verdict_stored_done(vx_verdict_stored *stored);
/* Whether the second look may find a closer verdict than what vx_verdict_check left (as of the scan). */
int vx_verdict_may_be_closer(vx_collection *collection, const vx_verdict_subject *subject,
                             const vx_verdict_candidates *candidates, bool *ret_may, vx_err *err);
/* Whether a verdict leaves room for a closer one. */
bool vx_verdict_wants_look(vx_verdict_kind kind);
/* The verdict that the looks give a video that has another: false, and *ret_verdict untouched, if it is no closer.
 * VX_CATALOG_NOT_FOUND: what they found is gone. */
int vx_verdict_revise(vx_collection *collection, const vx_verdict_row *verdict,
                      const vx_verdict_looks *looks, bool *ret_revised, vx_verdict_row *ret_verdict,
                      vx_err *err);
/* Gives the looks as a JSON array (free()), as the HTTP API has them; NULL without memory. */
char *vx_verdict_looks_json(const vx_verdict_looks *looks);

/* Looks at the pictures of two stored videos (borrows) whose hashes match. What cannot be decoded, is gone or has no
 * file says VX_EVIDENCE_NOTHING, and so does every pair if the extractor has no evidence.
 *   offset_s  time in the older one minus time in the newer one
 *   files     path and sha256 are not used
 * Returns 0, VX_MEDIA_STOPPED (cancelled) or -ENOMEM. Threads: any. Cost: decodes up to 32 s of the newer and 64 s of
 * the older one. */
int vx_verdict_check_pair(const vx_video *newer, const vx_video *older, float offset_s,
                          bool mirrored, const vx_verdict_files *files, vx_evidence_kind *ret_kind,
                          vx_err *err);

/* Inside the writer's transaction; with before_row anywhere. VX_VERDICT_UNSEEN: to be called again after
 * vx_verdict_check.
 *   candidates  NULL: they are found here and now, so that the verdict depends on what is stored and
 *               not on when somebody looked
 *   ret_of  gives the stored video that the verdict names; NULL for a new one
 * `similar` is decided by the default model and its threshold alone: thresholds of different vector
 * spaces mean different things, and a further model that a server was started with must not change
 * verdicts. */
int vx_verdict_decide(vx_collection *collection, const vx_verdict_subject *subject,
                      vx_verdict_candidates *candidates, vx_verdict_row *ret_verdict,
                      vx_video **ret_of, vx_err *err);
