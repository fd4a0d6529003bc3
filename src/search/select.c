/* select.c — the filters of a request to sets of videos. */
#include "search_internal.h"

int vx_search_select(vx_collection *collection, const vx_search_request *request,
                     vx_encoded_query *encoded, vx_idset **ret_common, vx_err *err) {
    int rc = 0;
    for (size_t i = 0; i < request->n && !rc; i++) {
        const vx_filter *own = request->queries[i].filter;
        if (own)
            rc = vx_collection_select_set(collection, own, &encoded[i].own_videos, err);
        else if (request->filter && !*ret_common)
            rc = vx_collection_select_set(collection, request->filter, ret_common, err);
        encoded[i].videos = own ? encoded[i].own_videos : *ret_common;
    }
    return rc;
}
