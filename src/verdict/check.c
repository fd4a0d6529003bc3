/* check.c — looks at the pictures of a match before it counts (see the header). */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "verdict_internal.h"

/* Of the pictures that should meet on the line, for its ends to be those of what the videos share. */
static const double LEAST_MET = 0.8;
enum { SIMILAR_LOOKS = 2 }; /* similar videos that are decoded for one without a match, at most */

typedef struct check {
    const vx_verdict_files *files;
    vx_windows windows;
} check;

/* The match as the hashes found it; of rows that only the writer knew, where it is. */
static int find_offset(vx_collection *collection, const vx_verdict_subject *subject, int64_t video,
                       vx_verdict *ret_match, vx_err *err) {
    const vx_rule_input input = {.frames = subject->fingerprint->frames,
                                 .mirrored = subject->fingerprint->mirrored,
                                 .n_frames = subject->fingerprint->n_frames,
                                 .length_s = subject->length_s,
                                 .candidates = &video,
                                 .n_candidates = 1,
                                 .similar_threshold = INFINITY,
                                 .load = vx_verdict_load_fingerprint,
                                 .load_ctx = collection};
    return vx_rule_decide(&input, ret_match, err);
}

/* How two videos are to be looked at. */
typedef struct look {
    int64_t of;     /* catalog row */
    float offset_s; /* as the hashes found it */
    bool mirrored, either_way;
    bool whole; /* only if the windows hold all of both */
} look;

static bool is_whole(const vx_evidence_window *window, double length_s) {
    return window->start_s <= 0 && window->end_s >= length_s;
}

/* Leaves *ret_evidence as it is where there is nothing to compare. */
static int compare(check *c, const vx_verdict_subject *subject, const vx_video *of, const look *at,
                   vx_evidence *ret_evidence, vx_err *err) {
    vx_evidence_window of_new, of_stored;
    if (!isfinite(subject->length_s) || !isfinite(of->duration_s))
        return 0;
    vx_evidence_windows(subject->length_s, of->duration_s, (double)at->offset_s, &of_new,
                        &of_stored);
    if (at->whole &&
        !(is_whole(&of_new, subject->length_s) && is_whole(&of_stored, of->duration_s)))
        return 0;
    const vx_evidence_params params = {.mirrored = at->mirrored, .either_way = at->either_way};
    return vx_windows_compare(&c->windows, &of_new, of, &of_stored, &params, ret_evidence, err);
}

/* Looks at one stored video. ret_evidence->kind is NOTHING if it cannot be decoded. */
static int look_at_video(check *c, const vx_verdict_subject *subject, const vx_video *of,
                         const look *at, vx_evidence *ret_evidence, vx_err *err) {
    *ret_evidence = (vx_evidence){.motion = NAN};
    int rc = compare(c, subject, of, at, ret_evidence, err);
    if (rc == VX_MEDIA_STOPPED || rc == -ENOMEM)
        return rc;
    if (rc) {
        vx_log_failed(VX_LOG_DEBUG, "evidence", err, "of=%s", of->id);
        *ret_evidence = (vx_evidence){.motion = NAN};
    } else if (c->files->on_check) {
        c->files->on_check(c->files->ctx, of, ret_evidence);
    }
    return 0;
}

/* As look_at_video; NOTHING too if it is gone. */
static int look_at(check *c, vx_collection *collection, const vx_verdict_subject *subject,
                   const look *at, vx_video **ret_of, vx_evidence *ret_evidence, vx_err *err) {
    *ret_evidence = (vx_evidence){.motion = NAN};
    int rc = vx_catalog_get_video_by_row(collection->catalog, at->of, ret_of, err);
    if (rc)
        return rc == VX_CATALOG_NOT_FOUND ? 0 : rc;
    return look_at_video(c, subject, *ret_of, at, ret_evidence, err);
}

/* ---- what only pictures show ---- */

/* The relation along the line on which two whole videos move alike. False: much of what should meet does not. */
static bool relate(const vx_evidence *e, double new_s, double stored_s, vx_verdict_found *ret) {
    double ends[2] = {-e->offset_s / e->speed, (stored_s - e->offset_s) / e->speed};
    const vx_span shared = {fmax(0, fmin(ends[0], ends[1])), fmin(new_s, fmax(ends[0], ends[1]))};
    if (!(shared.end_s > shared.start_s) || e->n_pairs < LEAST_MET * e->n_meet)
        return false;
    vx_windows_relate(e, &shared, new_s, stored_s, ret);
    return true;
}

/* Hashes count what a faster copy shows, not when: of one at another speed they see parts. */
static void correct_relation(const vx_verdict_subject *subject, const vx_video *of,
                             const vx_evidence *evidence, vx_verdict_found *shown) {
    vx_evidence_window of_new, of_stored;
    vx_evidence_windows(subject->length_s, of->duration_s, 0, &of_new, &of_stored);
    if (evidence->kind == VX_EVIDENCE_COPY && evidence->speed != 1 &&
        is_whole(&of_new, subject->length_s) && is_whole(&of_stored, of->duration_s) &&
        relate(evidence, subject->length_s, of->duration_s, shown))
        shown->of = of->row;
}

/* Looks at a match of hashes and notes what that says. */
static int check_match(check *c, vx_collection *collection, const vx_verdict_subject *subject,
                       const vx_verdict *match, vx_verdict_candidates *candidates, vx_err *err) {
    VX_AUTO(vx_video) of = NULL;
    vx_evidence evidence;
    const look at = {.of = match->of, .offset_s = match->offset_s, .mirrored = match->mirrored};
    int rc = look_at(c, collection, subject, &at, &of, &evidence, err);
    if (rc)
        return rc;
    candidates->seen[candidates->n_seen] = match->of;
    candidates->said[candidates->n_seen++] = evidence.kind;
    if (of)
        correct_relation(subject, of, &evidence, &candidates->shown);
    return 0;
}

static int check_similar(check *c, vx_collection *collection, const vx_verdict_subject *subject,
                         vx_verdict_candidates *candidates, vx_err *err) {
    int64_t rows[SIMILAR_LOOKS];
    size_t n = 0;
    int rc = vx_verdict_find_similar(collection, subject, candidates, SIMILAR_LOOKS, rows, &n, err);
    for (size_t i = 0; i < n && !rc && !candidates->shown.of; i++) {
        VX_AUTO(vx_video) of = NULL;
        vx_evidence evidence;
        const look at = {.of = rows[i], .either_way = true, .whole = true};
        bool seen = false; /* another take already, by its hashes */
        for (size_t k = 0; k < candidates->n_seen; k++)
            seen |= candidates->seen[k] == rows[i];
        rc = seen ? 0 : look_at(c, collection, subject, &at, &of, &evidence, err);
        if (rc || seen || evidence.kind != VX_EVIDENCE_COPY)
            continue;
        if (relate(&evidence, subject->length_s, of->duration_s, &candidates->shown))
            candidates->shown.of = rows[i];
    }
    return rc;
}

/* The match that the writer met. */
static int check_unseen(check *c, vx_collection *collection, const vx_verdict_subject *subject,
                        vx_verdict_candidates *candidates, vx_err *err) {
    vx_verdict match = {0};
    int rc = find_offset(collection, subject, candidates->unseen, &match, err);
    match.of = candidates->unseen;
    match.offset_s = isnan(match.offset_s) ? 0 : match.offset_s;
    candidates->unseen = 0;
    return rc ? rc : check_match(c, collection, subject, &match, candidates, err);
}

static int check_all(check *c, vx_collection *collection, const vx_verdict_subject *subject,
                     vx_verdict_candidates *candidates, vx_err *err) {
    vx_verdict match = {0};
    while (candidates->n_seen < VX_VERDICT_CHECKS) {
        int rc = vx_verdict_find_match(collection, subject, candidates, &match, err);
        if (!rc && match.of)
            rc = check_match(c, collection, subject, &match, candidates, err);
        if (rc)
            return rc;
        if (!match.of)
            break;
    }
    /* With a second look to come this would only delay the answer: where many are similar, by 0.2 s of a core each. */
    return c->files->extractor->evidence == VX_EVIDENCE_FAST &&
                   (match.kind == VX_VERDICT_NEW || match.kind == VX_VERDICT_SIMILAR)
               ? check_similar(c, collection, subject, candidates, err)
               : 0;
}

int vx_verdict_check(vx_collection *collection, const vx_verdict_subject *subject,
                     const vx_verdict_files *files, vx_verdict_candidates *candidates,
                     vx_err *err) {
    check c = {files, {.files = files, .turn = {.slots = files->extractor->slots}}};
    candidates->checked = files->extractor->evidence && subject->fingerprint->n_frames;
    if (!candidates->checked)
        return 0;
    int rc = candidates->unseen ? check_unseen(&c, collection, subject, candidates, err)
                                : check_all(&c, collection, subject, candidates, err);
    vx_windows_clear(&c.windows);
    return rc;
}

int vx_verdict_check_pair(const vx_video *newer, const vx_video *older, float offset_s,
                          bool mirrored, const vx_verdict_files *files, vx_evidence_kind *ret_kind,
                          vx_err *err) {
    VX_AUTO_STORED_FILE file = VX_NO_STORED_FILE;
    vx_err lost;
    vx_verdict_files of_newer = *files;
    check c = {&of_newer, {.files = &of_newer, .turn = {.slots = files->extractor->slots}}};
    const vx_verdict_subject subject = {.length_s = newer->duration_s};
    const look at = {.of = older->row, .offset_s = offset_s, .mirrored = mirrored};
    vx_evidence evidence;
    *ret_kind = VX_EVIDENCE_NOTHING;
    if (!files->extractor->evidence || !vx_video_has_file(newer) || !vx_video_has_file(older))
        return 0;
    if (vx_store_find_file(files->store, newer->sha256, newer->source_path, &file, &lost)) {
        vx_log_failed(VX_LOG_DEBUG, "evidence", &lost, "video=%s", newer->id);
        return 0;
    }
    of_newer.path = file.path;
    of_newer.sha256 = newer->sha256;
    int rc = look_at_video(&c, &subject, older, &at, &evidence, err);
    vx_windows_clear(&c.windows);
    *ret_kind = rc ? VX_EVIDENCE_NOTHING : evidence.kind;
    return rc;
}
