/* keys.h — the key frames of a video that is in work; private to src/extract. Threads: the run's. */
#pragma once

#include <stdint.h>

/* The key frames of a video, ascending; none where its clips are made of exact frames. */
typedef struct vx_extract_keys {
    int64_t *frames; /* [n]; owned */
    int64_t n;
} vx_extract_keys;
