#include "path.h"

#include <string.h>
#include <strings.h>

#include "mem.h"

/* Trash of macOS, Windows, and of NAS systems; those that begin with a dot are hidden anyway. */
static const char *const trash_names[] = {"trash",    "$recycle.bin", "recycler",
                                          "recycled", "recycle bin",  "@recycle",
                                          "#recycle", "deleted items"};

/* Of the containers that media/ reads. */
static const char *const suffixes[] = {
    "mp4", "m4v",  "mov",  "qt",   "f4v",  "ismv", "3gp",  "3gpp", "3g2",  "3gpp2", "mj2",
    "mkv", "mk3d", "webm", "avi",  "divx", "ts",   "m2t",  "m2ts", "mts",  "trp",   "tp",
    "mpg", "mpeg", "mpe",  "mpv",  "m1v",  "m2v",  "m2p",  "vob",  "flv",  "wmv",   "asf",
    "ogv", "ogg",  "ogm",  "mxf",  "gif",  "rm",   "rmvb", "nut",  "ivf",  "h264",  "264",
    "avc", "h265", "265",  "hevc", "obu",  "y4m",  "dv",   "dif",  "mjpg", "mjpeg"};

bool vx_path_is_video(const char *path) {
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < VX_LEN(suffixes); i++)
        if (!strcasecmp(dot + 1, suffixes[i]))
            return true;
    return false;
}

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

char *vx_path_absolute(const char *path) {
    char *real = realpath(path, NULL), *text = NULL;
    VX_AUTO_FREE char *here = real || *path == '/' ? NULL : getcwd(NULL, 0);
    if (real)
        return real;
    if (asprintf(&text, "%s%s%s", here ? here : "", here ? "/" : "", path) < 0)
        return NULL;
    for (size_t n = strlen(text); n > 1 && text[n - 1] == '/';)
        text[--n] = '\0';
    return text;
}

bool vx_path_is_inside(const char *path, const char *folder) {
    size_t n = strlen(folder);
    return !strncmp(path, folder, n) && (!path[n] || path[n] == '/' || folder[n - 1] == '/');
}
