/* spaces.h — the catalog of a data folder, and whose vectors a command means (private to src/cli). */
#pragma once

#include <limits.h>

#include "catalog/catalog.h"

/* The path of the catalog. VX_OPTION_WRONG: there is none. */
int vx_spaces_catalog(const char *data, char ret_path[PATH_MAX], vx_err *err);
/* The newest space in use of that model; NULL: of the only model that has vectors. VX_OPTION_WRONG. */
int vx_spaces_find(vx_catalog *catalog, const char *model, vx_vector_space *ret_space, vx_err *err);
