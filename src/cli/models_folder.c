/* models_folder.c — see the header. */
#include "models_folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

static bool holds_package(const char *path) {
    DIR *folder = opendir(path);
    bool found = false;
    for (const struct dirent *entry; folder && !found && (entry = readdir(folder));) {
        char manifest[NAME_MAX + 32];
        snprintf(manifest, sizeof manifest, "%s/manifest.json", entry->d_name);
        found = entry->d_name[0] != '.' && !faccessat(dirfd(folder), manifest, R_OK, 0);
    }
    if (folder)
        closedir(folder);
    return found;
}

int vx_models_folder_search(const char *program_dir, const char *home, char ret_path[PATH_MAX],
                            vx_err *err) {
    const struct {
        const char *base, *below;
    } places[] = {
        {program_dir, "models"},       {program_dir, "../models"},
        {program_dir, "../../models"}, {home, ".local/share/vidx/models"},
        {"/usr/share/vidx", "models"},
    };
    for (size_t i = 0; i < VX_LEN(places); i++) {
        char path[PATH_MAX];
        if (!places[i].base || snprintf(path, sizeof path, "%s/%s", places[i].base,
                                        places[i].below) >= (int)sizeof path)
            continue;
        if (holds_package(path) && realpath(path, ret_path))
            return 0;
    }
    return VX_FAIL(err, VX_MODELS_FOLDER_NONE,
                   "no model package found in models, ../models or ../../models beside the "
                   "program, ~/.local/share/vidx/models or /usr/share/vidx/models. Name their "
                   "folder with --models, or get one with: ./dev model efficientnet-lite0");
}

int vx_models_folder_find(const char *given, char ret_path[PATH_MAX], vx_err *err) {
    if (given) {
        if (snprintf(ret_path, PATH_MAX, "%s", given) >= PATH_MAX)
            return VX_FAIL(err, -ENAMETOOLONG, "the path of the models folder is too long");
        return 0;
    }
    char program[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(program, '/');
    if (slash)
        *slash = '\0';
    return vx_models_folder_search(slash ? program : NULL, getenv("HOME"), ret_path, err);
}
