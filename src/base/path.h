/* path.h — what the path of a file says about it. Threads: any; no state. */
#pragma once

#include <stdbool.h>

/* Whether the name of a file ends as those of videos do, of the containers that media/ reads. */
bool vx_path_is_video(const char *path);

/* Whether the file is hidden, or in a hidden or trash folder: a name that begins with a dot, or a folder that is a
 * trash of macOS, Windows or a NAS, in upper or lower case. */
bool vx_path_is_set_aside(const char *path);

/* Without symbolic links if it is there, else absolute. Gives it (free()); NULL: no memory. */
char *vx_path_absolute(const char *path);
/* Whether an absolute path is this folder, or below it. */
bool vx_path_is_inside(const char *path, const char *folder);

/* Stands where the path of a file would: it lies in a folder that is indexed in place, and the catalog knows where. */
#define VX_IN_PLACE "folder:"
