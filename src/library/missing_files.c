/* missing_files.c — looks whether the file of every stored video is there, by its name and size. */
#include <errno.h>
#include <unistd.h>

#include "base/log.h"
#include "library_internal.h"

#define VIDEOS_AT_ONCE 100
#define PAUSE_US                                                                                   \
    2000 /* between them: a million videos take a minute, beside all that is asked meanwhile */
#define LOGGED_MAX 100 /* videos that are named; all are counted */

typedef struct look {
    vx_library *library;
    int64_t *videos; /* [n] that miss their file */
    size_t n, capacity, n_new;
} look;

static int look_at(look *l, const vx_video *video, vx_err *err) {
    vx_collection *collection = l->library->params.collection;
    if (video->source_path || vx_store_has(l->library->params.store, video->sha256, video->bytes))
        return 0;
    if (!vx_make_room(l->videos, l->n, l->capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu videos", l->n + 1);
    l->videos[l->n++] = video->row;
    if (vx_collection_misses_file(collection, video->row) || l->n_new++ >= LOGGED_MAX)
        return 0;
    char name[96];
    vx_log(VX_LOG_WARN, "missing_file", "video=%s file=%s", video->id,
           vx_log_quote(video->filename, name, sizeof name));
    return 0;
}

static int look_at_all(look *l, vx_err *err) {
    vx_video_query query = {.limit = VIDEOS_AT_ONCE};
    size_t n = query.limit;
    while (n == query.limit && !atomic_load(&l->library->stopping)) {
        vx_video **videos = NULL;
        int rc = vx_catalog_list_videos(l->library->params.collection->catalog, &query, &videos, &n,
                                        err);
        if (rc)
            return rc;
        for (size_t i = 0; i < n; i++) {
            if (!rc)
                rc = look_at(l, videos[i], err);
            query.before_row = videos[i]->row;
            vx_video_free(videos[i]);
        }
        free(videos);
        if (rc)
            return rc;
        usleep(PAUSE_US);
    }
    return 0;
}

int vx_library_find_missing_files(vx_library *library, vx_err *err) {
    look l = {.library = library};
    int rc = look_at_all(&l, err);
    if (rc || atomic_load(&library->stopping)) {
        free(l.videos);
        return rc;
    }
    vx_collection_set_missing_files(library->params.collection, l.videos, l.n);
    if (l.n_new)
        vx_log(
            VX_LOG_WARN, "missing_files",
            "videos=%zu hint=\"their files are gone from media/, or cut off: send the same files "
            "again, or delete the videos; vidx check lists all and compares the bytes\"",
            l.n);
    return 0;
}
