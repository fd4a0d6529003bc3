/* check.c — looks at the pictures of a match before it counts (see the header). */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "verdict_internal.h"

/* Of the pictures that should meet on the line, for its ends to be those of what the videos share. */
static const double LEAST_MET = 0.8;
enum { SIMILAR_LOOKS = 2 }; /* similar videos that are decoded for one without a match, at most */

typedef struct check {
    const vx_verdict_files *files;
    vx_turn turn;             /* decodes take turns like all others */
    vx_evidence_video *fresh; /* the new video's part that was looked at last; owned */
    vx_evidence_window window;
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

/* Sets c->fresh. Of two stored videos one often wants the same part as the other. */
static int open_fresh(check *c, const vx_evidence_window *window, vx_err *err) {
    if (c->fresh && window->start_s == c->window.start_s && window->end_s == c->window.end_s)
        return 0;
    c->fresh = vx_evidence_video_free(c->fresh);
    c->window = *window;
    return open_window(c, c->files->path, c->files->sha256, window, &c->fresh, err);
}

/* ---- what was decoded last ---- */

enum { KEPT_LOOKS = 8 };

struct vx_verdict_looks {
    struct kept_look {
        uint8_t sha256[32];
        vx_evidence_window window;
        vx_evidence_video *video; /* owned; NULL: empty */
        uint64_t used;            /* when, of `clock` */
    } items[KEPT_LOOKS];
    uint64_t clock;
};

vx_verdict_looks *vx_verdict_looks_new(void) {
    return vx_new(vx_verdict_looks);
}

vx_verdict_looks *vx_verdict_looks_free(vx_verdict_looks *looks) {
    for (size_t i = 0; looks && i < KEPT_LOOKS; i++)
        vx_evidence_video_free(looks->items[i].video);
    free(looks);
    return NULL;
}

/* Lends the video; the next but one call may free it. */
static int open_kept(check *c, const char *path, const uint8_t sha256[32],
                     const vx_evidence_window *window, vx_evidence_video **ret_video, vx_err *err) {
    vx_verdict_looks *looks = c->files->looks;
    struct kept_look *slot = NULL, *oldest = looks->items;
    for (struct kept_look *k = looks->items; k < looks->items + KEPT_LOOKS && !slot; k++) {
        oldest = k->used < oldest->used ? k : oldest;
        if (k->video && !memcmp(k->sha256, sha256, sizeof k->sha256) &&
            k->window.start_s == window->start_s && k->window.end_s == window->end_s)
            slot = k;
    }
    if (!slot) {
        slot = oldest;
        slot->video = vx_evidence_video_free(slot->video);
        int rc = open_window(c, path, sha256, window, &slot->video, err);
        if (rc)
            return rc;
        memcpy(slot->sha256, sha256, sizeof slot->sha256);
        slot->window = *window;
    }
    slot->used = ++looks->clock;
    *ret_video = slot->video;
    return 0;
}

/* ---- one look ---- */

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

static void find_path(const vx_store *store, const vx_video *video, char path[PATH_MAX]) {
    if (video->source_path)
        snprintf(path, PATH_MAX, "%s", video->source_path);
    else
        vx_store_path(store, video->sha256, path, PATH_MAX);
}

/* Leaves *ret_evidence as it is where there is nothing to compare. */
static int compare(check *c, const vx_verdict_subject *subject, const vx_video *of, const look *at,
                   vx_evidence *ret_evidence, vx_err *err) {
    VX_AUTO(vx_evidence_video) stored = NULL;
    vx_evidence_window of_new, of_stored;
    char path[PATH_MAX];
    if (!isfinite(subject->length_s) || !isfinite(of->duration_s))
        return 0;
    find_path(c->files->store, of, path);
    vx_evidence_windows(subject->length_s, of->duration_s, (double)at->offset_s, &of_new,
                        &of_stored);
    if (at->whole &&
        !(is_whole(&of_new, subject->length_s) && is_whole(&of_stored, of->duration_s)))
        return 0;
    const vx_evidence_params params = {.mirrored = at->mirrored, .either_way = at->either_way};
    if (c->files->looks) {
        vx_evidence_video *older, *newer;
        int rc = open_kept(c, path, of->sha256, &of_stored, &older, err);
        if (!rc)
            rc = open_kept(c, c->files->path, c->files->sha256, &of_new, &newer, err);
        return rc ? rc : vx_evidence_compare(newer, older, &params, ret_evidence, err);
    }
    int rc = open_window(c, path, of->sha256, &of_stored, &stored, err);
    if (!rc)
        rc = open_fresh(c, &of_new, err);
    return rc ? rc : vx_evidence_compare(c->fresh, stored, &params, ret_evidence, err);
}

/* Looks at one stored video. ret_evidence->kind is NOTHING if it cannot be decoded. */
static int look_at_video(check *c, const vx_verdict_subject *subject, const vx_video *of,
                         const look *at, vx_evidence *ret_evidence, vx_err *err) {
    *ret_evidence = (vx_evidence){.motion = NAN};
    vx_turn_begin(&c->turn);
    int rc = compare(c, subject, of, at, ret_evidence, err);
    vx_turn_end(&c->turn);
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
    return 0;
}

/* ---- what only pictures show ---- */

/* The relation along the line on which two whole videos move alike. False: much of what should meet does not. */
static bool relate(const vx_evidence *e, double new_s, double stored_s, vx_verdict_found *ret) {
    const double slack_s =
        0.75; /* half a second, as hashes allow, and half of a step between two lines */
    double from_s = e->offset_s, to_s = e->offset_s + e->speed * new_s, speed = fabs(e->speed);
    double first_s = fmax(fmin(from_s, to_s), 0), last_s = fmin(fmax(from_s, to_s), stored_s);
    double shared_s = last_s - first_s;
    if (!(shared_s > 0) || e->n_pairs < LEAST_MET * e->n_new * shared_s / speed / new_s)
        return false;
    bool all_of_new = shared_s / speed >= new_s - slack_s,
         all_of_stored = shared_s >= stored_s - slack_s;
    ret->kind = all_of_new && all_of_stored ? VX_VERDICT_COPY
                : all_of_new                ? VX_VERDICT_PART_OF
                : all_of_stored             ? VX_VERDICT_CONTAINS
                                            : VX_VERDICT_SHARED_SEGMENT;
    ret->share_of_new = all_of_new ? 1 : (float)(shared_s / speed / new_s);
    ret->share_of_stored = all_of_stored ? 1 : (float)(shared_s / stored_s);
    ret->offset_s = roundf((float)e->offset_s * 1e3f) / 1e3f + 0.0f;
    ret->motion = e->motion;
    ret->mirrored = e->mirrored;
    return true;
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
    return match.kind == VX_VERDICT_NEW || match.kind == VX_VERDICT_SIMILAR
               ? check_similar(c, collection, subject, candidates, err)
               : 0;
}

int vx_verdict_check(vx_collection *collection, const vx_verdict_subject *subject,
                     const vx_verdict_files *files, vx_verdict_candidates *candidates,
                     vx_err *err) {
    check c = {.files = files, .turn = {.slots = files->extractor->slots}};
    candidates->checked = files->extractor->evidence && subject->fingerprint->n_frames;
    if (!candidates->checked)
        return 0;
    int rc = candidates->unseen ? check_unseen(&c, collection, subject, candidates, err)
                                : check_all(&c, collection, subject, candidates, err);
    vx_evidence_video_free(c.fresh);
    return rc;
}

int vx_verdict_check_pair(const vx_video *newer, const vx_video *older, float offset_s,
                          bool mirrored, const vx_verdict_files *files, vx_evidence_kind *ret_kind,
                          vx_err *err) {
    char path[PATH_MAX];
    vx_verdict_files of_newer = *files;
    check c = {.files = &of_newer, .turn = {.slots = files->extractor->slots}};
    const vx_verdict_subject subject = {.length_s = newer->duration_s};
    const look at = {.of = older->row, .offset_s = offset_s, .mirrored = mirrored};
    vx_evidence evidence;
    *ret_kind = VX_EVIDENCE_NOTHING;
    if (!files->extractor->evidence || !vx_video_has_file(newer) || !vx_video_has_file(older))
        return 0;
    find_path(files->store, newer, path);
    of_newer.path = path;
    of_newer.sha256 = newer->sha256;
    int rc = look_at_video(&c, &subject, older, &at, &evidence, err);
    vx_evidence_video_free(c.fresh);
    *ret_kind = rc ? VX_EVIDENCE_NOTHING : evidence.kind;
    return rc;
}
