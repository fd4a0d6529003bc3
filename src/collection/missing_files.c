/* missing_files.c — which stored videos have lost their file. A short list, looked through from its start. */
#include <string.h>

#include "collection.h"

void vx_collection_set_missing_files(vx_collection *collection, int64_t *videos, size_t n) {
    vx_missing_files *missing = &collection->missing_files;
    vx_mutex_lock(&missing->mu);
    free(missing->videos);
    missing->videos = videos;
    missing->n = n;
    vx_mutex_unlock(&missing->mu);
}

static size_t find_locked(vx_missing_files *missing, int64_t video) VX_REQUIRES(&missing->mu) {
    size_t i = 0;
    while (i < missing->n && missing->videos[i] != video)
        i++;
    return i;
}

bool vx_collection_misses_file(vx_collection *collection, int64_t video_row) {
    vx_missing_files *missing = &collection->missing_files;
    vx_mutex_lock(&missing->mu);
    bool found = find_locked(missing, video_row) < missing->n;
    vx_mutex_unlock(&missing->mu);
    return found;
}

void vx_collection_file_is_back(vx_collection *collection, int64_t video_row) {
    vx_missing_files *missing = &collection->missing_files;
    vx_mutex_lock(&missing->mu);
    size_t i = find_locked(missing, video_row);
    if (i < missing->n)
        missing->videos[i] = missing->videos[--missing->n];
    vx_mutex_unlock(&missing->mu);
}

int64_t vx_collection_count_missing_files(vx_collection *collection) {
    vx_missing_files *missing = &collection->missing_files;
    vx_mutex_lock(&missing->mu);
    int64_t n = (int64_t)missing->n;
    vx_mutex_unlock(&missing->mu);
    return n;
}
