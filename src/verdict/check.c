/* check.c — looks at the pictures of a match before it counts (see the header). */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "verdict_internal.h"

typedef struct check {
    const vx_verdict_files *files;
    vx_turn turn; /* decodes take turns like all others */
} check;

static bool keeps_going(void *ctx) {
    check *c = ctx;
    vx_turn_offer(&c->turn);
    return !c->files->cancelled || !c->files->cancelled(c->files->ctx);
}

static int open_window(check *c, const char *path, const uint8_t sha256[32],
                       const vx_evidence_window *window, vx_evidence_video **ret_video,
                       vx_err *err) {
    char table_path[PATH_MAX];
    vx_store_table_path(c->files->store, sha256, table_path, sizeof table_path);
    const vx_evidence_source source = {.path = path,
                                       .table_path = table_path,
                                       .limits = &c->files->extractor->limits,
                                       .decoder = c->files->extractor->decoder,
                                       .decode_threads = c->files->decode_threads,
                                       .keep_going = keeps_going,
                                       .ctx = c};
    return vx_evidence_open(&source, window, ret_video, err);
}

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

static int compare(check *c, const vx_verdict_subject *subject, const vx_video *of,
                   const vx_verdict *match, vx_evidence *ret_evidence, vx_err *err) {
    VX_AUTO(vx_evidence_video) fresh = NULL;
    VX_AUTO(vx_evidence_video) stored = NULL;
    vx_evidence_window of_new, of_stored;
    char path[PATH_MAX];
    if (of->source_path)
        snprintf(path, sizeof path, "%s", of->source_path);
    else
        vx_store_path(c->files->store, of->sha256, path, sizeof path);
    vx_evidence_windows(subject->length_s, of->duration_s, (double)match->offset_s, &of_new,
                        &of_stored);
    int rc = open_window(c, path, of->sha256, &of_stored, &stored, err);
    if (!rc)
        rc = open_window(c, c->files->path, c->files->sha256, &of_new, &fresh, err);
    const vx_evidence_params params = {.mirrored = match->mirrored};
    return rc ? rc : vx_evidence_compare(fresh, stored, &params, ret_evidence, err);
}

/* Looks at one match and notes what that says. */
static int check_one(vx_collection *collection, const vx_verdict_subject *subject,
                     const vx_verdict_files *files, const vx_verdict *match,
                     vx_verdict_candidates *candidates, vx_err *err) {
    VX_AUTO(vx_video) of = NULL;
    vx_evidence evidence = {.motion = NAN};
    int rc = vx_catalog_get_video_by_row(collection->catalog, match->of, &of, err);
    if (rc && rc != VX_CATALOG_NOT_FOUND)
        return rc;
    check c = {.files = files, .turn = {.slots = files->extractor->slots}};
    if (!rc && isfinite(subject->length_s) && isfinite(of->duration_s)) {
        vx_turn_begin(&c.turn);
        rc = compare(&c, subject, of, match, &evidence, err);
        vx_turn_end(&c.turn);
    }
    if (rc == VX_MEDIA_STOPPED || rc == -ENOMEM)
        return rc;
    if (rc && of)
        vx_log_failed(VX_LOG_DEBUG, "evidence", err, "of=%s", of->id);
    else if (!rc && files->on_check)
        files->on_check(files->ctx, of, &evidence);
    candidates->seen[candidates->n_seen] = match->of;
    candidates->said[candidates->n_seen++] = rc ? VX_EVIDENCE_NOTHING : evidence.kind;
    return 0;
}

int vx_verdict_check(vx_collection *collection, const vx_verdict_subject *subject,
                     const vx_verdict_files *files, vx_verdict_candidates *candidates,
                     vx_err *err) {
    vx_verdict match = {0};
    candidates->checked = files->extractor->evidence && subject->fingerprint->n_frames;
    if (!candidates->checked)
        return 0;
    if (candidates->unseen) {
        int rc = find_offset(collection, subject, candidates->unseen, &match, err);
        match.of = candidates->unseen;
        match.offset_s = isnan(match.offset_s) ? 0 : match.offset_s;
        candidates->unseen = 0;
        return rc ? rc : check_one(collection, subject, files, &match, candidates, err);
    }
    while (candidates->n_seen < VX_VERDICT_CHECKS) {
        int rc = vx_verdict_find_match(collection, subject, candidates, &match, err);
        if (!rc && match.of)
            rc = check_one(collection, subject, files, &match, candidates, err);
        if (rc || !match.of)
            return rc;
    }
    return 0;
}
