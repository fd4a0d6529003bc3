/* search_internal.h — what the parts of the read path share; pool.c runs them in this order.
 *
 * Threads: a search thread, with everything of one request.
 */
#pragma once

#include <errno.h>

#include "base/pool.h"
#include "base/thread.h"
#include "search.h"

/* A query as vectors in the model's space. */
typedef struct vx_encoded_query {
    float *vectors; /* float32 [n, dim], unit length; owned */
    size_t n;
    int64_t
        *own; /* [n_own] rows of the clips that are no hits, those of what is searched by; owned */
    size_t n_own;
    vx_idset *selected; /* rows of the videos, or clips, that may be hits; NULL = all; borrows */
    bool selects_clips;
    const char *frames;     /* what the clips of a file are made of; NULL: it is none; static */
    vx_idset *own_selected; /* the same set, if it is of this query alone; owned */
} vx_encoded_query;
void vx_encoded_query_clear(vx_encoded_query *encoded); /* stored.c */

static inline bool vx_search_is_abandoned(const vx_search_request *request) {
    return request->abandoned && request->abandoned(request->ctx);
}

struct vx_search {
    vx_collection *collection;
    const vx_extractor *extractor;
    vx_remote *remote; /* borrows; NULL: the indexes in memory answer */
    vx_pool *threads, *file_threads;
    atomic_bool stopping;
    /* Held by one histogram at a time: it takes 72 bytes of memory for each clip there is. */
    vx_mutex counting;
    vx_mutex mu;
    vx_search_stats stats VX_GUARDED;
};

/* STOPPING, or CANCELLED: nobody waits for the answer. Else OK. */
static inline vx_outcome vx_search_check_over(const vx_search *search,
                                              const vx_search_request *request, vx_err *err) {
    if (atomic_load(&search->stopping)) {
        VX_FAIL(err, -ESHUTDOWN, "the server is shutting down");
        return VX_OUTCOME_STOPPING;
    }
    if (vx_search_is_abandoned(request)) {
        VX_FAIL(err, VX_OUTCOME_CANCELLED, "the client has left");
        return VX_OUTCOME_CANCELLED;
    }
    return VX_OUTCOME_OK;
}

/* encode.c: every query of the request to vectors; ret_encoded [request->n], zeroed before, is for the
 * caller to clear on failure too. Of several queries err names the one that failed. */
vx_outcome vx_search_encode(vx_search *search, const vx_model *model, vx_search_request *request,
                            vx_encoded_query *ret_encoded, vx_err *err);

/* stored.c: the vectors of a stored video (all its clips) or clip, which are its own. NOT_FOUND,
 * INTERNAL. */
vx_outcome vx_search_load(vx_catalog *catalog, const vx_model *model, const char *id, bool is_clip,
                          vx_encoded_query *ret_encoded, vx_err *err);

/* examples.c: one vector in place of the query's own (none for EXAMPLES), moved towards `like` and away
 * from `unlike`, whose clips join the query's own. BAD_REQUEST: nothing is left of it. */
vx_outcome vx_search_add_examples(vx_catalog *catalog, const vx_model *model, const vx_query *query,
                                  vx_encoded_query *encoded, vx_err *err);

/* select.c: what passes the filters: `selected` of each query. *ret_common is the set of the request's
 * own filter, for the caller to free behind the queries, on failure too. 0 or -errno.
 *   lazily  the sets may be lazy: after the search vx_search_count_selected() says whether it counts */
int vx_search_select(vx_collection *collection, const vx_search_request *request, bool lazily,
                     vx_encoded_query *encoded, vx_idset **ret_common, vx_err *err);
/* select.c: where the request asks for it, tells each answer how many videos or clips passed its filter. False: a
 * set was not sound, and the answers are nothing. */
bool vx_search_count_selected(const vx_search_request *request, const vx_encoded_query *encoded,
                              vx_hits *answers);

/* hits.c: the hits of every query into ret_answers [request->n], zeroed before. 0 or -errno. */
int vx_search_find_hits(vx_search *reader, const vx_model *model, const vx_search_request *request,
                        const vx_encoded_query *encoded, vx_hits *ret_answers, vx_err *err);

/* remote.c: the same out of an outside store. BAD_REQUEST: it does not know what is asked for; BUSY: it is
 * away; INTERNAL; as vx_search_check_over. */
vx_outcome vx_search_remotely(vx_search *search, const vx_model *model,
                              const vx_search_request *request, const vx_encoded_query *encoded,
                              vx_hits *ret_answers, vx_err *err);
