/* missing_files.c — which stored videos have lost their file.  Sorted. */
#include <string.h>

#include "collection.h"

static int by_row(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void vx_collection_set_missing_files(vx_collection *collection, int64_t *videos, size_t n) {
    vx_missing_files *missing = &collection->missing_files;
    if (n)
        qsort(videos, n, sizeof *videos, by_row);
    vx_mutex_lock(&missing->mu);
    free(missing->videos);
    missing->videos = videos;
    missing->n = n;
    vx_mutex_unlock(&missing->mu);
}

static size_t find_locked(vx_missing_files *missing, int64_t video) VX_REQUIRES(&missing->mu) {
    const int64_t *at =
        missing->n ? bsearch(&video, missing->videos, missing->n, sizeof *missing->videos, by_row)
                   : NULL;
    return at ? (size_t)(at - missing->videos) : missing->n;
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
        memmove(missing->videos + i, missing->videos + i + 1,
                (--missing->n - i) * sizeof *missing->videos);
    vx_mutex_unlock(&missing->mu);
}

int64_t vx_collection_count_missing_files(vx_collection *collection) {
    vx_missing_files *missing = &collection->missing_files;
    vx_mutex_lock(&missing->mu);
    int64_t n = (int64_t)missing->n;
    vx_mutex_unlock(&missing->mu);
    return n;
}
