/* truncation.h — how long a container says it is, to recognise a file that was cut off (private to
 * src/media). Threads: any. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

typedef struct vx_file_length {
    const char *kind;     /* MP4, Matroska, AVI; NULL = another container, which states no length */
    int64_t have_bytes;   /* size of the file */
    int64_t stated_bytes; /* least length that the container states; 0 = it states none */
    char box[4];          /* MP4: the box in which the file ends too early */
} vx_file_length;

/* Reads the headers of the top-level boxes or chunks, nothing else. A file that cannot be read
 * gives zeros: opening it will say why. */
vx_file_length vx_file_length_of(const char *path);
bool vx_file_is_truncated(const vx_file_length *length);
/* MP4: cut inside the index, so that FFmpeg sees fewer pictures than there were. */
bool vx_file_is_truncated_in_index(const vx_file_length *length);
/* Reports a truncated file: VX_MEDIA_DAMAGED. where: the place, as in "before its index"; may be
 * NULL when the file ends inside an index. */
int vx_file_fail_truncated(const vx_file_length *length, const char *where, vx_err *err);
