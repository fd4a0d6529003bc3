/* named_folders.c — the folders that the operator named for files: NAME=DIR, one a line. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/path.h"
#include "outside.h"
#include "stores.h"

static bool take_name(const char *text, size_t n, char ret_name[256]) {
    if (n >= 256)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)text[i]) && text[i] != '.' && text[i] != '-')
            return false;
    memcpy(ret_name, text, n);
    ret_name[n] = '\0';
    return true;
}

/* Takes the next line. False: there is none. */
static bool next_folder(const char **at, char ret_name[256], char ret_root[PATH_MAX],
                        bool *ret_fine) {
    *at += strspn(*at, "\n");
    size_t n = strcspn(*at, "\n"), n_name = strcspn(*at, "=\n");
    if (!n)
        return false;
    *ret_fine =
        n_name && n_name + 1 < n && n - n_name - 1 < PATH_MAX && take_name(*at, n_name, ret_name);
    if (*ret_fine)
        snprintf(ret_root, PATH_MAX, "%.*s", (int)(n - n_name - 1), *at + n_name + 1);
    *at += n;
    return true;
}

bool vx_outside_find_folder(const char *folders, const vx_outside_url *url, size_t capacity,
                            char *ret_root, char *ret_folder) {
    char name[256], root[PATH_MAX];
    bool fine;
    for (const char *at = folders ? folders : ""; next_folder(&at, name, root, &fine);)
        if (fine && !strcmp(name, url->host))
            return snprintf(ret_root, capacity, "%s", root) < (int)capacity &&
                   snprintf(ret_folder, capacity, "%s/%s", root, url->collection) < (int)capacity;
    return false;
}

int vx_stores_check_access(const vx_store_access *access, const char *data_dir, vx_err *err) {
    char name[256], root[PATH_MAX];
    bool fine;
    VX_AUTO_FREE char *data = vx_path_absolute(data_dir);
    for (const char *at = access->folders ? access->folders : "";
         next_folder(&at, name, root, &fine);) {
        VX_AUTO_FREE char *path = fine ? vx_path_absolute(root) : NULL;
        if (!fine)
            return VX_FAIL(
                err, VX_STORES_INVALID,
                "--store-folder must be NAME=DIR, the name of letters, digits, dots and -");
        if (!data || !path)
            return VX_FAIL(err, -ENOMEM, "no memory for a folder");
        if (vx_path_is_inside(path, data))
            return VX_FAIL(err, VX_STORES_INVALID, "--store-folder %s is inside the data folder",
                           path);
    }
    return 0;
}
