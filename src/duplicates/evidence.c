/* evidence.c — stored videos at work, and the evidence of their pictures. */
#include "evidence.h"

#include <errno.h>
#include <math.h>
#include <string.h>

int vx_pair_evidence_load(vx_collection *collection, int64_t row, vx_pair_evidence_video *ret_video,
                          vx_err *err) {
    VX_AUTO_FREE void *blob = NULL;
    size_t bytes = 0;
    vx_pair_evidence_video found = {0};
    int rc = vx_catalog_get_video_alone(collection->catalog, row, &found.video, err);
    if (rc)
        return rc;
    rc = vx_catalog_get_fingerprint(collection->catalog, row, &blob, &bytes, err);
    if (!rc && bytes)
        rc = vx_fp_unpack(blob, bytes, &found.frames, &found.n_frames, err);
    if (rc && rc != VX_CATALOG_NOT_FOUND && rc != VX_CATALOG_DAMAGED) { /* these: judged without */
        vx_pair_evidence_done(&found);
        return rc;
    }
    *ret_video = found;
    return 0;
}

void vx_pair_evidence_done(vx_pair_evidence_video *video) {
    vx_video_free(video->video);
    free(video->frames);
    free(video->mirrored);
    *video = (vx_pair_evidence_video){0};
}

/* ---- pictures ---- */

static int flip(vx_pair_evidence_video *v, vx_err *err) {
    if (v->mirrored || !v->n_frames)
        return 0;
    v->mirrored = vx_new_array(v->n_frames, sizeof *v->mirrored);
    if (!v->mirrored)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu frames", v->n_frames);
    memcpy(v->mirrored, v->frames, v->n_frames * sizeof *v->mirrored);
    vx_fp_mirror(v->mirrored, v->n_frames);
    return 0;
}

static int find_pictures(vx_collection *collection, vx_pair_evidence_video *video, int64_t *rows,
                         size_t max, size_t *ret_n, vx_err *err) {
    int rc = flip(video, err);
    const vx_fp_frame *sides[2] = {video->frames, video->mirrored};
    for (int side = 0; side < 2 && !rc && video->n_frames; side++) {
        size_t n = 0, room = (max - *ret_n) / (size_t)(2 - side);
        rc = vx_fp_index_candidates(collection->fingerprints, sides[side], video->n_frames, room,
                                    rows + *ret_n, &n, err);
        *ret_n += n;
    }
    return rc;
}

static vx_verdict_kind seen_from_the_other(vx_verdict_kind kind) {
    return kind == VX_VERDICT_PART_OF    ? VX_VERDICT_CONTAINS
           : kind == VX_VERDICT_CONTAINS ? VX_VERDICT_PART_OF
                                         : kind;
}

/* r says what x is to y. */
static int write_pair(const vx_relation *r, bool b_is_x, vx_duplicate_pair *pair, vx_err *err) {
    const vx_fp_coverage *c = &r->coverage;
    pair->kind = b_is_x ? r->kind : seen_from_the_other(r->kind);
    pair->share = r->match.share;
    pair->share_of_b = b_is_x ? c->share_of_a : c->share_of_b;
    pair->share_of_a = b_is_x ? c->share_of_b : c->share_of_a;
    float offset_s = b_is_x ? r->match.offset_s : -r->match.offset_s;
    pair->offset_s = roundf(offset_s * 1e3f) / 1e3f + 0.0f; /* as the verdict rounds it */
    pair->mirrored = r->mirrored;
    pair->segments = vx_new_array((size_t)c->n_segments + 1, 4 * sizeof *pair->segments);
    if (!pair->segments)
        return VX_FAIL(err, -ENOMEM, "no memory for %d segments", c->n_segments);
    pair->n_segments = (size_t)c->n_segments;
    for (int i = 0; i < c->n_segments; i++) {
        const vx_fp_segment *s = &c->segments[i];
        float x[2] = {s->a_from_s, s->a_to_s}, y[2] = {s->b_from_s, s->b_to_s};
        memcpy(pair->segments + 4 * i, b_is_x ? y : x, sizeof x);
        memcpy(pair->segments + 4 * i + 2, b_is_x ? x : y, sizeof x);
    }
    return 0;
}

/* Ids come from the bytes, so which of the two is flipped depends on the videos alone. */
static int judge_pictures(vx_pair_evidence_video *a, vx_pair_evidence_video *b,
                          vx_duplicate_pair *pair, vx_err *err) {
    bool b_is_x = strcmp(b->video->id, a->video->id) < 0;
    vx_pair_evidence_video *x = b_is_x ? b : a, *y = b_is_x ? a : b;
    if (!x->n_frames || !y->n_frames)
        return 0;
    int rc = flip(x, err);
    if (rc)
        return rc;
    const vx_rule_side x_side = {x->frames, x->n_frames, x->video->duration_s};
    const vx_rule_side y_side = {y->frames, y->n_frames, y->video->duration_s};
    vx_relation relation;
    rc = vx_rule_relate(&x_side, x->mirrored, &y_side, &relation, err);
    if (rc || relation.kind == VX_VERDICT_NEW)
        return rc;
    return write_pair(&relation, b_is_x, pair, err);
}

static const vx_pair_evidence pictures = {"pictures", find_pictures, judge_pictures};

const vx_pair_evidence *const vx_pair_evidence_sources[] = {&pictures, NULL};

/* ---- another look ---- */

void vx_pair_evidence_drop(vx_duplicate_pair *pair) {
    free(pair->segments);
    *pair = (vx_duplicate_pair){.a = pair->a,
                                .b = pair->b,
                                .kind = VX_VERDICT_NEW,
                                .score = pair->score,
                                .share = NAN,
                                .share_of_a = NAN,
                                .share_of_b = NAN,
                                .offset_s = NAN};
}

int vx_pair_evidence_check(const vx_pair_evidence_video *a, const vx_pair_evidence_video *b,
                           const vx_verdict_files *files, vx_duplicate_pair *pair, vx_err *err) {
    vx_evidence_kind said;
    if (!vx_pair_evidence_is_strong(pair->kind))
        return 0;
    float offset_s = isnan(pair->offset_s) ? 0 : pair->offset_s;
    int rc = vx_verdict_check_pair(b->video, a->video, offset_s, pair->mirrored, files, &said, err);
    if (rc == VX_MEDIA_STOPPED)
        return VX_FAIL(err, -ECANCELED, "the comparison was stopped");
    if (!rc && said == VX_EVIDENCE_OTHER_TAKE)
        vx_pair_evidence_drop(pair);
    return rc;
}
