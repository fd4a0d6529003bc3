/* filters.h — the field or parameter `filter` of a request.
 *
 * Every function that returns false has set the request's reply. Threads: the daemon thread of the
 * request.
 */
#pragma once

#include <jansson.h>

#include "api/http/request.h"
#include "filter/filter.h"

/* Reads a filter.
 *   json        borrows; NULL: there is none
 *   also        NULL, or what must hold too, written here; borrows
 *   place       the JSON Pointer to `json` in the body ("/queries/2/filter"); "" for a parameter
 *   ret_filter  gives; untouched if there is nothing to filter by */
bool vx_filters_read(vx_request *request, const json_t *json, const json_t *also, const char *place,
                     vx_filter **ret_filter);
/* The same for the parameter or form field `filter`. */
bool vx_filters_read_value(vx_request *request, const json_t *also, vx_filter **ret_filter);
/* Replies `bad-filter`. pointer: the JSON Pointer to what is wrong. */
void vx_filters_refuse(vx_request *request, const char *pointer, const char *why);
