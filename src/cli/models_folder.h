/* models_folder.h — where the model packages are, when --models and VIDX_MODELS do not say.
 *
 * The first of these that holds a package wins:
 *   models, ../models and ../../models beside the program (build/release/vidx finds build/models, an
 *   installed bin/vidx finds models beside bin)
 *   ~/.local/share/vidx/models
 *   /usr/share/vidx/models
 * A package is a folder with a manifest.json. Threads: main only.
 */
#pragma once

#include <limits.h>

#include "base/err.h"

/* given: what --models or VIDX_MODELS says, used as it is; NULL = look in the places above.
 * VX_MODELS_FOLDER_NONE: none holds a package; the message lists them and says how to get one. */
#define VX_MODELS_FOLDER_NONE 1
int vx_models_folder_find(const char *given, char ret_path[PATH_MAX], vx_err *err);

/* The same, for a program in the folder `program_dir` and a user whose home is `home` (NULL: none). */
int vx_models_folder_search(const char *program_dir, const char *home, char ret_path[PATH_MAX],
                            vx_err *err);
