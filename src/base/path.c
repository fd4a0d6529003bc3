#include "path.h"

#include <string.h>
#include <strings.h>

#include "mem.h"

/* Trash of macOS, Windows, and of NAS systems; those that begin with a dot are hidden anyway. */
static const char *const trash_names[] = {"trash",    "$recycle.bin", "recycler",
                                          "recycled", "recycle bin",  "@recycle",
                                          "#recycle", "deleted items"};

bool vx_path_is_set_aside(const char *path) {
    for (const char *part = path; *part;) {
        size_t n = strcspn(part, "/");
        if (part[0] == '.')
            return true;
        for (size_t i = 0; i < VX_LEN(trash_names) && part[n]; i++) /* a folder */
            if (strlen(trash_names[i]) == n && !strncasecmp(part, trash_names[i], n))
                return true;
        part += n + (part[n] == '/');
    }
    return false;
}
