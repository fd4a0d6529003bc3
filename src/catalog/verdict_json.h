/* verdict_json.h — a duplicate verdict as JSON, with the fields and digits of the HTTP API's
 * `duplicate` (api/resources/show.c writes those), for job reports and clips.jsonl. Threads: any.
 */
#pragma once

#include <jansson.h>

#include "catalog.h"

/* Gives {"verdict","of","score","share","offset_s","mirrored"}, NaN as null; NULL without memory.
 * To be written with VX_VERDICT_JSON_DIGITS or more. */
json_t *vx_verdict_json(const vx_verdict_row *verdict);
#define VX_VERDICT_JSON_DIGITS JSON_REAL_PRECISION(9)
