/* verdict_json.c — verdicts: none yet, and as JSON; the one file here that uses jansson. */
#include <jansson.h>
#include <math.h>

#include "base/decimal.h"
#include "catalog.h"

vx_verdict_row vx_verdict_row_new(void) {
    return (vx_verdict_row){
        .score = NAN, .share = NAN, .share_of_new = NAN, .share_of_stored = NAN, .offset_s = NAN};
}

static json_t *number(float value) {
    return isfinite(value) ? json_real(vx_decimal_of_float(value)) : json_null();
}

json_t *vx_verdict_json(const vx_verdict_row *verdict) {
    return json_pack("{s:s, s:s?, s:o, s:o, s:o, s:o, s:o, s:b}", "verdict",
                     vx_verdict_name(verdict->kind), "of", verdict->of[0] ? verdict->of : NULL,
                     "score", number(verdict->score), "share", number(verdict->share),
                     "share_of_new", number(verdict->share_of_new), "share_of_stored",
                     number(verdict->share_of_stored), "offset_s", number(verdict->offset_s),
                     "mirrored", (int)verdict->mirrored);
}
