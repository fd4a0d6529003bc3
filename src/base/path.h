/* path.h — what the path of a file says about it. Threads: any; no state. */
#pragma once

#include <stdbool.h>

/* Whether the file is hidden, or in a hidden or trash folder: a name that begins with a dot, or a folder that is a
 * trash of macOS, Windows or a NAS, in upper or lower case. */
bool vx_path_is_set_aside(const char *path);
