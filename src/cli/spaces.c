/* spaces.c — see the header. */
#include "spaces.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "options.h"

int vx_spaces_catalog(const char *data, char ret_path[PATH_MAX], vx_err *err) {
    struct stat facts;
    if (snprintf(ret_path, PATH_MAX, "%s/catalog.db", data) >= PATH_MAX)
        return VX_FAIL(err, -ENAMETOOLONG, "the path %s is too long", data);
    return stat(ret_path, &facts)
               ? VX_FAIL(err, VX_OPTION_WRONG, "%s is no data folder of vidx serve", data)
               : 0;
}

int vx_spaces_find(vx_catalog *catalog, const char *model, vx_vector_space *ret_space,
                   vx_err *err) {
    VX_AUTO_FREE vx_vector_space *spaces = NULL;
    size_t n = 0, n_found = 0;
    int rc = vx_catalog_list_vector_spaces(catalog, &spaces, &n, err);
    for (size_t i = 0; i < n && !rc; i++) {
        if (spaces[i].retired || !(model ? !strcmp(spaces[i].model, model) : spaces[i].vectors > 0))
            continue;
        n_found += !n_found || strcmp(ret_space->model, spaces[i].model) != 0;
        *ret_space = spaces[i];
    }
    if (!rc && !n_found)
        rc = VX_FAIL(err, VX_OPTION_WRONG, "there are no vectors of %s",
                     model ? model : "any model");
    if (!rc && n_found > 1)
        rc = VX_FAIL(err, VX_OPTION_WRONG, "several models have vectors: choose one with --model");
    return rc;
}
