/* query_internal.h — what the parts of the read path share: query.c runs them on its pool, in order.
 *
 * Threads: a search thread, with everything of one query.
 */
#pragma once

#include "search.h"

/* A question as vectors in the model's space. */
typedef struct vx_asked {
    float *vectors; /* float32 [n, dim], unit length; owned */
    size_t n;
    vx_video
        *video; /* whose clips are no hits: all of a video, or the one that was asked with. Owned;
                        NULL for text, a vector or a file */
} vx_asked;
void vx_asked_clear(vx_asked *asked);

/* query_ask.c: every question of the query to vectors; ret_asked [query->n], zeroed before, is for
 * the caller to clear on failure too. Of several questions err names the one that failed. */
vx_outcome vx_query_ask(vx_server *server, vx_model *model, vx_query *query, vx_asked *ret_asked,
                        vx_err *err);

/* query_hits.c: the hits of every question into ret_answers [query->n], zeroed before. 0 or -errno. */
int vx_query_find(vx_server *server, const vx_model *model, const vx_query *query,
                  const vx_asked *asked, vx_hits *ret_answers, vx_err *err);
