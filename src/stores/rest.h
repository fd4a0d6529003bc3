/* rest.h — the kinds of stores that are asked by JSON over HTTP (private). */
#pragma once

#include <jansson.h>

#include "export/text.h"
#include "fetch/fetch.h"
#include "outside.h"

typedef struct vx_rest {
    vx_outside outside;       /* first: a kind's functions get this */
    vx_service *service;      /* NULL until the first request */
    const char *key_header;   /* "Api-Key: %s"; static */
    const char *other_header; /* of every request, or NULL; static */
    int version;              /* of the API, for a kind that has several; 0 = not known yet */
} vx_rest;

vx_rest *vx_rest_of(vx_outside *outside);
/* Opens one; for a kind's `open`. */
int vx_rest_open(const char *key_header, const char *other_header, vx_outside **ret_outside,
                 vx_err *err);
void vx_rest_close(vx_outside *outside);

/* Sends a request and gives the JSON object that came back (json_decref), and its status.
 *   body  NULL: none. Clears it.
 * A status of 5xx, 408, 425 or 429 is VX_OUTSIDE_AWAY, 401 and 403 VX_OUTSIDE_UNFIT, and what is no JSON
 * object VX_OUTSIDE_AWAY; every other status is given back. */
int vx_rest_call(vx_outside *outside, const char *method, const char *path, vx_string *body,
                 long *ret_status, json_t **ret_answer, vx_err *err);
