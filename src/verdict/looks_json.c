/* looks_json.c — what the second look saw, as JSON: with the reason in words where it found nothing. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "base/decimal.h"
#include "verdict.h"

static json_t *number(double value) {
    return isfinite(value) ? json_real(vx_decimal_of_float((float)value)) : json_null();
}

static json_t *span(const vx_span *s) {
    return json_pack("[o, o]", number(round(s->start_s * 1e3) / 1e3),
                     number(round(s->end_s * 1e3) / 1e3));
}

static json_t *box(const vx_evidence_box *b) {
    return json_pack("[o, o, o, o]", number((double)b->left), number((double)b->top),
                     number((double)b->right), number((double)b->bottom));
}

/* Why this is no relation, or that it is one. */
static const char *reason(const vx_verdict_look *look) {
    const vx_evidence *e = &look->evidence;
    if (look->unreadable)
        return "a file is gone or cannot be decoded";
    switch (e->kind) {
    case VX_EVIDENCE_COPY:
        return look->found.kind != VX_VERDICT_NEW
                   ? "the same things move in both"
                   : "the same things move in both, but in too few pictures to be sure";
    case VX_EVIDENCE_OTHER_TAKE:
        return "they lie on each other, but other things move: another recording of one camera";
    case VX_EVIDENCE_STILL:
        return "they lie on each other, but nothing moves in either, so pictures cannot tell";
    default:
        return isnan(e->motion) ? "no picture of one lies on one of the other"
                                : "they lie on each other, but what moves agrees too little";
    }
}

static json_t *look_json(const vx_verdict_look *look) {
    const vx_evidence *e = &look->evidence;
    bool lies = !isnan(e->motion), related = look->found.kind != VX_VERDICT_NEW;
    json_t *object = json_pack("{s:s, s:s, s:o, s:s?, s:s, s:s, s:o, s:i}", "video_id", look->of,
                               "found_by", look->by_copy_model ? "copy_model" : "vectors", "score",
                               number((double)look->score), "relation",
                               related ? vx_verdict_name(look->found.kind) : NULL, "result",
                               vx_evidence_kind_name(e->kind), "reason", reason(look), "motion",
                               number((double)e->motion), "inliers", e->n_inliers);
    if (!lies)
        return object;
    json_object_set_new(object, "speed", number(e->speed));
    json_object_set_new(object, "offset_s", number(e->offset_s));
    json_object_set_new(object, "mirrored", json_boolean(e->mirrored));
    json_object_set_new(object, "turn_deg", number((double)e->turn_deg));
    json_object_set_new(object, "scale", number((double)e->scale));
    json_object_set_new(object, "box_in_new", box(&e->in_new));
    json_object_set_new(object, "box_in_stored", box(&e->in_stored));
    if (related) {
        json_object_set_new(object, "span_in_new_s", span(&look->in_new));
        json_object_set_new(object, "span_in_stored_s", span(&look->in_stored));
    }
    return object;
}

char *vx_verdict_looks_json(const vx_verdict_looks *looks) {
    json_t *array = json_array();
    bool complete = array;
    for (size_t i = 0; i < looks->n && complete; i++)
        complete = !json_array_append_new(array, look_json(&looks->items[i]));
    char *text = complete ? json_dumps(array, JSON_COMPACT | VX_VERDICT_JSON_DIGITS) : NULL;
    json_decref(array);
    return text;
}
