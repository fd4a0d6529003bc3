/* compare.c — the decision; what it is made of is in the other files.
 *
 * First both whole pictures are laid on each other, which is right for a copy that was only compressed, scaled or
 * squeezed. If the movement does not agree there, features say how the pictures lie, for bars, crops and frames; and
 * where there are few corners, one is laid on every place of the other (place.h).
 * A copy may also run at another speed, or backwards. So before two videos are called different takes, all that an
 * editor does has been tried.
 */
#include "evidence.h"

#include <math.h>
#include <string.h>

#include "layout.h"
#include "place.h"
#include "video.h"

enum {
    FRESH_PICTURES = 4,    /* with features */
    PASSAGE_PICTURES = 12, /* the same where only a passage may be shared */
    FEATURES = 500,        /* of a picture */
    TRIED_INLIERS = 10,    /* of the second-best picture, for a layout to be tried */
    GOOD_INLIERS = 14,     /* and for one that other movements make another take */
};
/* One picture with features in each so many seconds: of the stored video, and of a new one that may share a passage. */
static const double STORED_PICTURE_S = 1.5, FRESH_PICTURE_S = 2.5;
static const float COPY_FROM = 0.49f, OTHER_TAKE_BELOW = 0.35f;
static const float CLEAR_FROM = 0.95f, CLEAR_SHARE = 0.85f;
static const float LIES_FROM = 0.7f; /* still correlation: whole pictures lie on each other */
/* Of many places the most alike is found even in other videos: there up to 0.80, at the right place from 0.90 on. */
static const float PLACED_FROM = 0.85f;
/* Change of one side at least, for its movement to be no noise. */
static const float MOVES_FROM = 4 * VX_MOTION_LEAST_CHANGE;
static const double SPEEDS[] = {1, 0.8, 0.9, 1.1, 1.25, -1};

const char *vx_evidence_kind_name(vx_evidence_kind kind) {
    static const char *const names[] = {"nothing", "copy", "other_take", "still"};
    return names[kind];
}

static float share(double px, int side_px) {
    return (float)(px / side_px);
}

static vx_evidence_box box_of(const double box[4], const vx_footage *f) {
    return (vx_evidence_box){share(box[0], f->w_px), share(box[1], f->h_px), share(box[2], f->w_px),
                             share(box[3], f->h_px)};
}

/* How a picture of the new video lies in one of the stored one. */
typedef struct lie {
    vx_similarity similarity;
    int fresh, stored; /* of those with features */
} lie;

/* The best two of these, once they have been looked for. */
typedef struct found_lies {
    lie best[2];
    bool known;
} found_lies;

/* How two videos are compared in one step. */
typedef struct manner {
    bool mirrored, any_speed, passage;
    found_lies *lies; /* mirrored or not, at any speed */
} manner;

/* Pictures that must meet on a line. */
static int least_pairs(int n_fresh, bool passage) {
    int n = n_fresh / 2 > VX_MOTION_MIN_PAIRS ? n_fresh / 2 : VX_MOTION_MIN_PAIRS;
    return passage && n > VX_EVIDENCE_PASSAGE_PAIRS ? VX_EVIDENCE_PASSAGE_PAIRS : n;
}

static float agreement(const vx_evidence *e) {
    return vx_motion_agreement(&(vx_motion){.correlation = e->motion, .n_pairs = e->n_pairs});
}

/* Nothing else can be meant: the pictures that meet on the line move alike, and those are nearly all that it has. */
static bool is_clear(const vx_evidence *best) {
    return best->motion >= CLEAR_FROM && (float)best->n_pairs >= CLEAR_SHARE * (float)best->n_meet;
}

/* The pictures of a whose time on the line is in b. */
static int count_meeting(const vx_footage *a, const vx_footage *b, double speed, double offset_s) {
    int n = 0;
    for (int i = 0; i < a->n; i++) {
        double time_s = speed * a->time_s[i] + offset_s;
        n += time_s >= b->time_s[0] && time_s <= b->time_s[b->n - 1];
    }
    return n;
}

static int count_between(const vx_footage *f, double first_s, double last_s) {
    int n = 0;
    for (int i = 0; i < f->n; i++)
        n += f->time_s[i] >= first_s && f->time_s[i] <= last_s;
    return n;
}

/* The pairs of pictures on the line of `motion`, for each of a the nearest of b. Returns how many. */
static int pairs_on(const vx_footage *a, const vx_footage *b, const vx_motion *motion,
                    vx_motion_pair ret_pairs[VX_MOTION_MAX]) {
    double near_s = b->n > 1 ? 0.6 * (b->time_s[b->n - 1] - b->time_s[0]) / (b->n - 1) : 0;
    int n = 0;
    for (int i = 0; i < a->n; i++) {
        double time_s = motion->speed * a->time_s[i] + motion->offset_s;
        int best = 0;
        for (int k = 1; k < b->n; k++)
            if (fabs(b->time_s[k] - time_s) < fabs(b->time_s[best] - time_s))
                best = k;
        bool inside = a->time_s[i] >= motion->first_s && a->time_s[i] <= motion->last_s;
        if (inside && fabs(b->time_s[best] - time_s) <= near_s)
            ret_pairs[n++] = (vx_motion_pair){i, best};
    }
    return n;
}

/* Whether in one third of a line the same things move, and in another, where both move, quite others: two takes of one camera
 * behind the same intro. Then the whole is no copy, however strongly the intro moves. (At another speed the times of cuts do
 * not fit well enough: of 109 copies a reversed one was lost.) */
static int find_contradiction(const vx_footage *a, const vx_footage *b, const uint8_t *mask,
                              const vx_motion *motion, bool *ret_contradicts, vx_err *err) {
    enum { PARTS = 3, LEAST_OF_PART = 6 };
    const float alike_from = 0.6f, other_below = 0.15f;
    vx_motion_pair pairs[VX_MOTION_MAX];
    float least = 1, most = -1;
    int n = pairs_on(a, b, motion, pairs), rc = 0;
    for (int i = 0; i < PARTS && n >= PARTS * LEAST_OF_PART && motion->speed == 1 && !rc; i++) {
        vx_motion part = {0};
        int first = i * n / PARTS, end = (i + 1) * n / PARTS;
        rc = vx_motion_along(a, b, pairs + first, end - first, mask, &part, err);
        if (rc || fminf(part.change_a, part.change_b) < MOVES_FROM)
            continue;
        least = fminf(least, part.correlation);
        most = fmaxf(most, part.correlation);
    }
    *ret_contradicts = !rc && most >= alike_from && least < other_below;
    return rc;
}

/* Measures the movement in one layout; keeps it in *best if it agrees more than what is there. */
static int try_layout(const vx_footage *fresh, const vx_footage *stored, const vx_layout *layout,
                      const manner *how, const vx_evidence *geometry, vx_evidence *best,
                      vx_err *err) {
    vx_footage a = {0}, b = {0};
    VX_AUTO_FREE uint8_t *mask = NULL;
    vx_motion motion = {0};
    int rc = vx_layout_apply(layout, fresh, stored, &a, &b, &mask, err);
    const vx_motion_params params = {.speeds = SPEEDS,
                                     .n_speeds = how->any_speed ? (int)VX_LEN(SPEEDS) : 1,
                                     .mask = mask,
                                     .min_pairs = least_pairs(fresh->n, how->passage),
                                     .passage = how->passage};
    if (!rc)
        rc = vx_motion_compare(&a, &b, &params, &motion, err);
    bool contradicts = false;
    if (!rc && motion.n_pairs && motion.correlation >= COPY_FROM)
        rc = find_contradiction(&a, &b, mask, &motion, &contradicts, err);
    vx_footage_clear(&a);
    vx_footage_clear(&b);
    if (rc || vx_motion_agreement(&motion) <= agreement(best))
        return rc;
    *best = *geometry;
    best->motion = motion.correlation;
    best->contradicts = contradicts;
    best->still = motion.still;
    best->n_new = fresh->n;
    best->n_meet = count_meeting(fresh, stored, motion.speed, motion.offset_s);
    best->n_pairs = motion.n_pairs;
    best->n_between = count_between(fresh, motion.first_s, motion.last_s);
    best->speed = motion.speed;
    best->offset_s = motion.offset_s;
    best->first_s = motion.first_s;
    best->last_s = motion.last_s;
    best->change_new = motion.change_a;
    best->change_stored = motion.change_b;
    best->in_new = box_of(layout->box_a, fresh);
    best->in_stored = box_of(layout->box_b, stored);
    return 0;
}

/* A layout that no features gave; what does not look alike so says nothing. */
static int try_plain_layout(const vx_footage *fresh, const vx_footage *stored,
                            const vx_layout *layout, const manner *how, int quarter_turns,
                            vx_evidence *best, vx_err *err) {
    const vx_evidence geometry = {.plain = true,
                                  .mirrored = how->mirrored,
                                  .n_inliers = best->n_inliers,
                                  .scale = (float)((layout->box_b[2] - layout->box_b[0]) /
                                                   (layout->box_a[2] - layout->box_a[0])),
                                  .turn_deg = (float)(90 * quarter_turns)};
    vx_evidence found = {.motion = -2};
    int rc = try_layout(fresh, stored, layout, how, &geometry, &found, err);
    if (!rc && found.still >= LIES_FROM && agreement(&found) > agreement(best))
        *best = found;
    return rc;
}

static int try_boxes(const vx_footage *fresh, const vx_footage *stored, const double box_new[4],
                     const double box_stored[4], const manner *how, int quarter_turns,
                     vx_evidence *best, vx_err *err) {
    const vx_layout layout = vx_layout_boxes(box_new, box_stored, how->mirrored, quarter_turns);
    return try_plain_layout(fresh, stored, &layout, how, quarter_turns, best, err);
}

static bool is_portrait(const double box[4]) {
    return box[3] - box[1] > box[2] - box[0];
}

/* Without features: whole pictures, what lies between bars, and that by a quarter turn. */
static int try_plain(vx_evidence_video *fresh, vx_evidence_video *stored, const manner *how,
                     vx_evidence *best, vx_err *err) {
    const vx_footage *a = &fresh->footage, *b = &stored->footage;
    const double whole_a[4] = {0, 0, a->w_px, a->h_px}, whole_b[4] = {0, 0, b->w_px, b->h_px};
    bool bars = memcmp(whole_a, fresh->content, sizeof whole_a) != 0 ||
                memcmp(whole_b, stored->content, sizeof whole_b) != 0;
    int rc = try_boxes(a, b, whole_a, whole_b, how, 0, best, err);
    if (!rc && bars && !is_clear(best))
        rc = try_boxes(a, b, fresh->content, stored->content, how, 0, best, err);
    for (int turn = -1;
         turn <= 1 && !rc && is_portrait(fresh->content) != is_portrait(stored->content); turn += 2)
        if (!is_clear(best))
            rc = try_boxes(a, b, fresh->content, stored->content, how, turn, best, err);
    return rc;
}

/* Of the new video, how many pictures get features. */
static int count_fresh(const vx_footage *f, bool passage) {
    double length_s = passage && f->n ? f->time_s[f->n - 1] - f->time_s[0] : 0;
    int n = (int)(length_s / FRESH_PICTURE_S);
    n = n < PASSAGE_PICTURES ? n : PASSAGE_PICTURES;
    return n > FRESH_PICTURES ? n : FRESH_PICTURES;
}

/* Of each new picture the best similarity to any stored one; the two best of these. */
static int find_geometry(vx_evidence_video *fresh, vx_evidence_video *stored, const manner *how,
                         lie ret_best[2], vx_err *err) {
    const bool mirrored = how->mirrored;
    const vx_footage *b = &stored->footage;
    double length_s = b->n ? b->time_s[b->n - 1] - b->time_s[0] : 0;
    int n_stored = (int)fmin(VX_EVIDENCE_ORB_MAX, 1 + ceil(length_s / STORED_PICTURE_S));
    int rc = vx_evidence_find_features(fresh, mirrored, count_fresh(&fresh->footage, how->passage),
                                       FEATURES, err);
    if (!rc)
        rc = vx_evidence_find_features(stored, false, n_stored, FEATURES, err);
    for (int i = 0; i < fresh->features[mirrored].n && !rc; i++) {
        lie best = {0};
        for (int k = 0; k < stored->features[0].n; k++) {
            vx_similarity found;
            vx_geometry_find(&fresh->features[mirrored].pictures[i],
                             &stored->features[0].pictures[k], mirrored, &found);
            if (found.n_inliers > best.similarity.n_inliers)
                best = (lie){found, i, k};
        }
        if (best.similarity.n_inliers > ret_best[0].similarity.n_inliers) {
            ret_best[1] = ret_best[0];
            ret_best[0] = best;
        } else if (best.similarity.n_inliers > ret_best[1].similarity.n_inliers) {
            ret_best[1] = best;
        }
    }
    return rc;
}

/* Tries the layout of a similarity, and that of a perspective if more features agree with one. */
static int try_lie(vx_evidence_video *fresh, vx_evidence_video *stored, const lie *at,
                   const manner *how, const vx_evidence *geometry, vx_evidence *best, vx_err *err) {
    const vx_footage *a = &fresh->footage, *b = &stored->footage;
    vx_perspective perspective = vx_perspective_of(&at->similarity, a->w_px);
    vx_layout layout;
    int rc = 0;
    if (vx_layout_of(a, b, &perspective, &layout))
        rc = try_layout(a, b, &layout, how, geometry, best, err);
    if (!rc && !is_clear(best) &&
        vx_perspective_find(&fresh->features[how->mirrored].pictures[at->fresh],
                            &stored->features[0].pictures[at->stored], &at->similarity,
                            &perspective) &&
        vx_layout_of(a, b, &perspective, &layout))
        rc = try_layout(a, b, &layout, how, geometry, best, err);
    return rc;
}

/* Tries the layouts of the two best similarities. */
static int try_features(vx_evidence_video *fresh, vx_evidence_video *stored, const manner *how,
                        vx_evidence *best, vx_err *err) {
    const lie *found = how->lies->best;
    int rc = how->lies->known ? 0 : find_geometry(fresh, stored, how, how->lies->best, err);
    how->lies->known = true;
    int n_inliers = found[1].similarity.n_inliers;
    if (n_inliers > best->n_inliers && (best->plain || best->motion < -1))
        best->n_inliers = n_inliers; /* if they are too few, that is why */
    for (int i = 0; i < 2 && !rc && n_inliers >= TRIED_INLIERS; i++) {
        const vx_similarity *m = &found[i].similarity;
        const vx_evidence geometry = {.n_inliers = n_inliers,
                                      .mirrored = how->mirrored,
                                      .scale = (float)vx_similarity_scale(m),
                                      .turn_deg = (float)vx_similarity_turn_deg(m)};
        rc = try_lie(fresh, stored, &found[i], how, &geometry, best, err);
    }
    return rc;
}

/* Whether what was found is as good as can be, or lies so by features and moves so. */
static bool is_enough(const vx_evidence *best) {
    return best->motion >= COPY_FROM && (float)best->n_pairs >= CLEAR_SHARE * (float)best->n_meet &&
           (!best->plain || best->n_inliers >= TRIED_INLIERS);
}

/* All of one picture in a part of the other, wherever it looks most alike. Only what moves alike there counts, nearly
 * whenever the videos meet. */
static int try_places(vx_evidence_video *fresh, vx_evidence_video *stored, const manner *how,
                      vx_evidence *best, vx_err *err) {
    const vx_footage *a = &fresh->footage, *b = &stored->footage;
    vx_place places[2];
    int n = 0, rc = vx_place_find(a, b, how->mirrored, places, &n, err);
    for (int i = 0; i < n && !rc; i++) {
        vx_evidence found = {.motion = -2, .n_inliers = best->n_inliers};
        vx_layout layout;
        if (places[i].alike < LIES_FROM || !vx_layout_of(a, b, &places[i].a_in_b, &layout))
            continue;
        rc = try_plain_layout(a, b, &layout, how, 0, &found, err);
        bool all = (float)found.n_pairs >= CLEAR_SHARE * (float)found.n_meet;
        if (!rc && all && found.motion >= PLACED_FROM && agreement(&found) > agreement(best))
            *best = found;
    }
    return rc;
}

/* motion < -1: the videos do not lie on each other, or no line has enough pictures. */
static vx_evidence_kind decide(const vx_evidence *best) {
    float change = fmaxf(best->change_new, best->change_stored);
    if (best->motion < -1)
        return VX_EVIDENCE_NOTHING;
    if (best->motion >= COPY_FROM)
        return best->contradicts ? VX_EVIDENCE_OTHER_TAKE : VX_EVIDENCE_COPY;
    if (change < VX_MOTION_LEAST_CHANGE)
        return VX_EVIDENCE_STILL;
    bool lies = best->plain || best->n_inliers >= GOOD_INLIERS;
    return lies && change >= MOVES_FROM && best->motion < OTHER_TAKE_BELOW ? VX_EVIDENCE_OTHER_TAKE
                                                                           : VX_EVIDENCE_NOTHING;
}

int vx_evidence_compare(vx_evidence_video *fresh, vx_evidence_video *stored,
                        const vx_evidence_params *params, vx_evidence *ret_evidence, vx_err *err) {
    static const vx_evidence_params as_they_are = {0};
    const vx_evidence_params *p = params ? params : &as_they_are;
    vx_evidence best = {.motion = -2};
    found_lies lies[2] = {0};
    int rc = 0;
    for (int any_speed = 0; any_speed < 2 && !rc; any_speed++) {
        for (int mirrored = 0; mirrored < 2 && !rc && !is_clear(&best); mirrored++) {
            const manner how = {mirrored, any_speed, p->passage, &lies[mirrored]};
            if (!p->either_way && p->mirrored != mirrored)
                continue;
            rc = try_plain(fresh, stored, &how, &best, err);
            if (any_speed && best.motion < -1 && best.n_inliers < TRIED_INLIERS)
                continue; /* what does not lie on each other is not tried at other speeds */
            if (!rc && !is_clear(&best))
                rc = try_features(fresh, stored, &how, &best, err);
            if (!rc && !any_speed && !is_enough(&best))
                rc = try_places(fresh, stored, &how, &best, err);
        }
    }
    if (rc)
        return rc;
    best.kind = decide(&best);
    if (best.motion < -1)
        best.motion = NAN;
    *ret_evidence = best;
    return 0;
}
