/* outcome.h — how a request can end, in the words of the product rather than of HTTP.
 *
 * ingest, search and jobs report one of these with a vx_err sentence; only api/ knows which HTTP
 * status belongs to which (api/http/errors.def).
 */
#pragma once

#include <stdbool.h>

#include "err.h"

typedef enum vx_outcome {
    VX_OUTCOME_OK,
    VX_OUTCOME_EXISTING,          /* the same bytes are stored already; nothing was inserted */
    VX_OUTCOME_DUPLICATE,         /* on_duplicate=reject and all of the video is stored */
    VX_OUTCOME_MEDIA_UNSUPPORTED, /* not a video, or a codec or shape we do not decode */
    VX_OUTCOME_MEDIA_NO_VIDEO,
    VX_OUTCOME_MEDIA_DAMAGED,
    VX_OUTCOME_MEDIA_TOO_LARGE, /* over a limit of picture size, duration or frames */
    VX_OUTCOME_BAD_REQUEST,     /* a value is wrong; the message names it */
    VX_OUTCOME_NOT_FOUND,
    VX_OUTCOME_WRONG_SPACE, /* a vector or model of another vector space than the index searched */
    VX_OUTCOME_IMPORT_REFUSED, /* files of an import, or some of their rows, cannot be used */
    VX_OUTCOME_BUSY,     /* a queue is full, or memory, files or threads have run out: try again */
    VX_OUTCOME_NO_SPACE, /* the disk is full, or this user's share of it */
    VX_OUTCOME_CANCELLED,
    VX_OUTCOME_STOPPING, /* the server is shutting down */
    VX_OUTCOME_INTERNAL,
} vx_outcome;

/* Stable short name ("media_damaged"), stored in job rows; and back (INTERNAL for unknown names).
 */
const char *vx_outcome_name(vx_outcome outcome);
vx_outcome vx_outcome_of_name(const char *name);

/* What a code that a module returned means for a request whose caller has no more to say about it:
 * 0 OK; -ENOSPC and -EDQUOT NO_SPACE; -ENOMEM, -EMFILE, -ENFILE, -EAGAIN and -EHOSTDOWN (a device does
 * not work now; the message is for the client) BUSY; -ESHUTDOWN STOPPING;
 * any other -errno INTERNAL. A positive code is an outcome that its direct caller should have handled:
 * that is a fault of ours, so it is logged with where it came from, and INTERNAL. */
vx_outcome vx_outcome_of_error(int rc, const vx_err *err);
/* Whether it was our fault or the machine's, so that the same work may succeed later: BUSY, NO_SPACE,
 * STOPPING, INTERNAL. What is wrong with a file or a request stays wrong. */
bool vx_outcome_is_our_fault(vx_outcome outcome);
