/* output.h — how vidx embed puts files into its output folder.
 *
 * A file is written under <output>/.vidx/staging and renamed into place, so that nobody ever sees
 * half of one, whenever the process ends. `name` is relative to the output folder. Threads: one at
 * a time.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"

/* Below an output folder: the list of the clips that --write-clips made (clip_files.h). */
#define VX_BATCH_CLIP_FILES_LIST ".vidx/cuts.jsonl"

static inline void vx_batch_close_file(FILE *file) {
    fclose(file);
}
VX_DEFINE_AUTO(FILE, vx_batch_close_file)

/* Writes the content of a file. Returns 0 or -errno. */
typedef int (*vx_batch_write_content)(FILE *file, void *ctx);

/* "<output>/<name>"; -ENAMETOOLONG. */
int vx_batch_join(char ret_path[PATH_MAX], const char *output, const char *name, vx_err *err);
/* mkdir -p of an absolute path. */
int vx_batch_make_folders(const char *path, vx_err *err);
/* Makes <output>/<name>'s entries durable. */
int vx_batch_sync_folder(const char *output, const char *name, vx_err *err);
/* An empty staging folder: a killed run may have left files of any name in it. */
int vx_batch_open_staging(const char *output, vx_err *err);
/* Writes <output>/<name>, durable when it returns 0. */
int vx_batch_write_file(const char *output, const char *name, vx_batch_write_content write,
                        void *ctx, vx_err *err);
int vx_batch_move(const char *output, const char *from, const char *to, vx_err *err);
/* A file, or a folder if it is empty; one that is not there is no error. */
int vx_batch_remove(const char *output, const char *name, vx_err *err);
bool vx_batch_same_content(const char *a, const char *b);

/* Replaces <output>/<name>, durable when it returns 0. */
int vx_batch_replace(const char *output, const char *name, vx_batch_write_content write, void *ctx,
                     vx_err *err);

/* For many files. Writes <output>/<name>, with its folders, unless that is its content
 * already; durable after vx_batch_sync. vx_batch_open_staging was called before. */
int vx_batch_put(const char *output, const char *name, vx_batch_write_content write, void *ctx,
                 bool *ret_written, vx_err *err);
int vx_batch_put_bytes(const char *output, const char *name, const void *bytes, size_t n,
                       bool *ret_written, vx_err *err);
int vx_batch_sync(const char *output, vx_err *err);
