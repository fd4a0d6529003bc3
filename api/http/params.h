/* params.h — query parameters and form fields: collecting them, and reading them as typed values.
 *
 * A name that the route does not know, a repeated name and a value that is out of range are each
 * refused: the function sets the request's reply and returns false.
 *
 * Threads: the daemon thread of the request.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/http/request.h"

/* Adds every pair of the query string to the request's values. */
bool vx_params_parse_query(vx_request *request);
/* Adds one value. known: the names that are accepted, space separated. Takes text. */
bool vx_params_add(vx_request *request, const char *known, const char *name, char *text);

/* Lets the route check the values that have arrived so far. */
bool vx_params_check(vx_request *request);

/* Each gives `fallback` if the parameter is absent. */
bool vx_params_int(vx_request *request, const char *name, int64_t low, int64_t high,
                   int64_t fallback, int64_t *ret_value);
bool vx_params_number(vx_request *request, const char *name, double low, double high,
                      double fallback, double *ret_value);
/* words: space separated; gives the position of the one that was sent. */
bool vx_params_choice(vx_request *request, const char *name, const char *words, int fallback,
                      int *ret_index);
