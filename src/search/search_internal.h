/* search_internal.h — what the parts of the read path share; pool.c runs them in this order.
 *
 * Threads: a search thread, with everything of one request.
 */
#pragma once

#include "base/pool.h"
#include "base/thread.h"
#include "search.h"

/* A query as vectors in the model's space. */
typedef struct vx_encoded_query {
    float *vectors; /* float32 [n, dim], unit length; owned */
    size_t n;
    vx_video
        *video; /* its clips are no hits: all of a video, or the one clip of the query. Owned; NULL
                        for a text, a vector or a file */
} vx_encoded_query;
void vx_encoded_query_clear(vx_encoded_query *encoded);

struct vx_search {
    vx_collection *collection;
    const vx_extractor *extractor;
    vx_pool *threads, *file_threads;
    atomic_bool stopping;
    vx_mutex mu;
    vx_search_stats stats VX_GUARDED;
};

/* encode.c: every query of the request to vectors; ret_encoded [request->n], zeroed before, is for the
 * caller to clear on failure too. Of several queries err names the one that failed. */
vx_outcome vx_search_encode(vx_search *search, const vx_model *model, vx_search_request *request,
                            vx_encoded_query *ret_encoded, vx_err *err);

/* hits.c: the hits of every query into ret_answers [request->n], zeroed before. 0 or -errno. */
int vx_search_find_hits(vx_catalog *catalog, const vx_model *model,
                        const vx_search_request *request, const vx_encoded_query *encoded,
                        vx_hits *ret_answers, vx_err *err);
