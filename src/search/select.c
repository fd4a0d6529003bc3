/* select.c — the filters of a request to sets of videos, or of clips. */
#include "search_internal.h"

static int select_set(vx_collection *collection, const vx_filter *filter, bool lazily,
                      vx_idset **ret_set, vx_err *err) {
    int rc = lazily ? vx_collection_select_lazily(collection, filter, ret_set, err) : 0;
    return rc || *ret_set ? rc : vx_collection_select_set(collection, filter, ret_set, err);
}

int vx_search_select(vx_collection *collection, const vx_search_request *request, bool lazily,
                     vx_encoded_query *encoded, vx_idset **ret_common, vx_err *err) {
    int rc = 0;
    for (size_t i = 0; i < request->n && !rc; i++) {
        const vx_filter *own = request->queries[i].filter;
        const vx_filter *filter = own ? own : request->filter;
        if (own)
            rc = select_set(collection, own, lazily, &encoded[i].own_selected, err);
        else if (filter && !*ret_common)
            rc = select_set(collection, filter, lazily, ret_common, err);
        encoded[i].selected = own ? encoded[i].own_selected : *ret_common;
        encoded[i].selects_clips = filter && vx_filter_is_of_clips(filter);
    }
    return rc;
}

bool vx_search_count_selected(const vx_search_request *request, const vx_encoded_query *encoded,
                              vx_hits *answers) {
    for (size_t i = 0; i < request->n; i++) {
        vx_idset *set = encoded[i].selected;
        answers[i].work.filter_videos = answers[i].work.filter_clips = -1;
        if (set && !(request->explain ? vx_idset_complete(set) : vx_idset_is_sound(set)))
            return false;
        if (set && request->explain)
            *(encoded[i].selects_clips ? &answers[i].work.filter_clips
                                       : &answers[i].work.filter_videos) = (int64_t)set->n;
    }
    return true;
}
