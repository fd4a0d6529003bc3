/* select.c — the filters of a request to sets of videos, or of clips. */
#include "search_internal.h"

int vx_search_select(vx_collection *collection, const vx_search_request *request,
                     vx_encoded_query *encoded, vx_idset **ret_common, vx_err *err) {
    int rc = 0;
    for (size_t i = 0; i < request->n && !rc; i++) {
        const vx_filter *own = request->queries[i].filter;
        const vx_filter *filter = own ? own : request->filter;
        if (own)
            rc = vx_collection_select_set(collection, own, &encoded[i].own_selected, err);
        else if (filter && !*ret_common)
            rc = vx_collection_select_set(collection, filter, ret_common, err);
        encoded[i].selected = own ? encoded[i].own_selected : *ret_common;
        encoded[i].selects_clips = filter && vx_filter_is_of_clips(filter);
    }
    return rc;
}
