/* json.h — JSON from clients: parsing with limits, and typed fields with clear refusals.
 *
 * Every false or NULL has set the request's reply. Threads: any, one per request.
 */
#pragma once

#include <jansson.h>

#include "api/request.h"

#define VX_JSON_MAX_DEPTH 64
#define VX_JSON_MAX_VALUES 262144 /* 64 queries with vectors of 4000; some 100 MB at the worst */

/* Parses an object; what: how the refusal calls it ("the body", "metadata"). Gives a reference. */
json_t *vx_json_parse(vx_request *request, const char *what, const char *text, size_t n);
/* Refuses fields that `allowed` (space separated) lacks. */
bool vx_json_only(vx_request *request, json_t *object, const char *allowed);
/* ret_text borrows, NULL when absent. */
bool vx_json_string(vx_request *request, json_t *object, const char *name, const char **ret_text);
bool vx_json_int(vx_request *request, json_t *object, const char *name, int64_t low, int64_t high,
                 int64_t *ret_value); /* untouched when absent */
bool vx_json_number(vx_request *request, json_t *object, const char *name, double low, double high,
                    double *ret_value); /* untouched when absent */
/* A non-empty array of finite numbers: gives float32 [n] (free()); NULL when absent. */
bool vx_json_vector(vx_request *request, json_t *object, const char *name, float **ret_vector,
                    size_t *ret_n);
