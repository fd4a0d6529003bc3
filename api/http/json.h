/* json.h — JSON from clients: parsing within limits, and typed fields.
 *
 * Every function that returns false or NULL has set the request's reply.
 * Threads: the daemon thread of the request.
 */
#pragma once

#include <jansson.h>

#include "api/http/request.h"

#define VX_JSON_MAX_DEPTH 64
#define VX_JSON_MAX_VALUES                                                                         \
    262144 /* enough for 64 queries with 4000 numbers each; 100 MB at worst */

/* Parses an object. what: its name in a refusal ("The body", "metadata"). Gives a reference. */
json_t *vx_json_parse(vx_request *request, const char *what, const char *text, size_t n);
/* Refuses fields that are not in `known` (space separated). */
bool vx_json_only(vx_request *request, json_t *object, const char *known);
/* ret_text borrows; NULL if absent. */
bool vx_json_string(vx_request *request, json_t *object, const char *name, const char **ret_text);
bool vx_json_int(vx_request *request, json_t *object, const char *name, int64_t low, int64_t high,
                 int64_t *ret_value); /* untouched if absent */
bool vx_json_number(vx_request *request, json_t *object, const char *name, double low, double high,
                    double *ret_value); /* untouched if absent */
bool vx_json_bool(vx_request *request, json_t *object, const char *name,
                  bool *ret_value); /* untouched if absent */
/* A non-empty array of finite numbers, not all 0. Gives float32 [n] (free()); NULL if absent. */
bool vx_json_vector(vx_request *request, json_t *object, const char *name, float **ret_vector,
                    size_t *ret_n);
