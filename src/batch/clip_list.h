/* clip_list.h — every clip of a run under the name it has in the output.
 *
 * Threads: one at a time. Memory: 64 bytes a clip.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

typedef struct vx_batch_clip {
    char id[40];    /* clip id, or UUID */
    int64_t row;    /* of the index; two files of the same bytes share it */
    int64_t pixels; /* of a picture */
    bool set_aside; /* all its files are in trash or hidden folders: vx_batch_file_is_set_aside */
} vx_batch_clip;

/* In the order of files (path, ascending), then of clips in the video. */
typedef struct vx_batch_clip_list {
    vx_batch_clip *items;
    size_t n, capacity;
} vx_batch_clip_list;

static inline void vx_batch_clip_list_done(vx_batch_clip_list *clips) {
    free(clips->items);
    *clips = (vx_batch_clip_list){0};
}

/* NULL when out of memory. */
static inline vx_batch_clip *vx_batch_clip_list_add(vx_batch_clip_list *clips) {
    if (!vx_make_room(clips->items, clips->n, clips->capacity))
        return NULL;
    vx_batch_clip *clip = &clips->items[clips->n++];
    *clip = (vx_batch_clip){0};
    return clip;
}
