/* folders.c — /v1/folders: folders whose videos are indexed where they lie, and /v1/forgotten: what was deleted there. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/http/params.h"
#include "api/http/reply.h"
#include "api/resources/change.h"
#include "api/resources/handlers.h"
#include "api/resources/show.h"
#include "base/base64.h"
#include "base/utf8.h"
#include "server/server.h"

#define MAX_LIST 1000
#define MAX_FILES 100000

/* ---- GET /v1/folders ---- */

static void write_states(vx_out *out, const char *key, const int64_t values[VX_FOLDER_STATES]) {
    vx_out_begin(out, key, '{');
    for (int i = 0; i < VX_FOLDER_STATES; i++)
        vx_out_int(out, vx_folder_state_name((vx_folder_state)i), values[i]);
    vx_out_end(out, '}');
}

static void write_folder(vx_out *out, const vx_folder_view *v) {
    vx_out_begin(out, NULL, '{');
    vx_out_string(out, "name", v->row.name);
    vx_out_string(out, "path", v->row.path);
    vx_out_bool(out, "trash", v->row.trash);
    vx_out_string(out, "state", vx_folder_health_name(v->health));
    vx_out_string(out, "problem", v->problem[0] ? v->problem : NULL);
    write_states(out, "files", v->files);
    write_states(out, "bytes", v->bytes);
    vx_out_begin(out, "walk", '{');
    vx_out_bool(out, "running", v->walking);
    vx_out_int(out, "dirs", v->walked_dirs);
    vx_out_int(out, "files", v->walked_files);
    vx_out_int(out, "unreadable", v->unreadable);
    vx_out_int(out, "links", v->links);
    vx_show_time(out, "ended_at", v->row.walked_us);
    vx_out_end(out, '}');
    vx_out_begin(out, "watch", '{');
    vx_out_int(out, "dirs", v->watches);
    vx_out_bool(out, "limited", v->limited);
    vx_out_end(out, '}');
    vx_out_begin(out, "progress", '{');
    vx_out_int(out, "reading", v->reading);
    vx_show_seconds(out, "bytes_per_s", v->bytes_per_s);
    vx_show_seconds(out, "eta_s", v->eta_s);
    vx_out_end(out, '}');
    vx_out_end(out, '}');
}

void vx_folders_list_get(vx_request *request) {
    vx_folder_view *views = NULL;
    size_t n = 0;
    vx_err err;
    if (vx_folders_list(request->server->folders, NULL, &views, &n, &err)) {
        vx_reply_failure(request, &err);
        return;
    }
    VX_AUTO_OUT out = {0};
    vx_out_begin_items(&out);
    for (size_t i = 0; i < n; i++)
        write_folder(&out, &views[i]);
    vx_out_end_items(&out, NULL);
    vx_out_end(&out, '}');
    vx_folder_views_free(views, n);
    vx_reply_json(request, VX_SUCCESS_OK, &out);
}

/* The name of the folder that args[0] names; false after a reply. */
static bool find_folder(vx_request *request, char ret_name[VX_FOLDER_NAME_CHARS + 1]) {
    vx_err err;
    int rc = vx_folders_find(request->server->folders, request->args[0], ret_name, &err);
    if (rc == VX_FOLDERS_NOT_FOUND)
        vx_reply_problem(request, VX_PROBLEM_NOT_FOUND, "%s.", err.msg);
    else if (rc)
        vx_reply_failure(request, &err);
    return !rc;
}

static void reply_one(vx_request *request, const char *name, vx_success success) {
    vx_folder_view *views = NULL;
    size_t n = 0;
    vx_err err;
    if (vx_folders_list(request->server->folders, name, &views, &n, &err)) {
        vx_reply_failure(request, &err);
        return;
    }
    VX_AUTO_OUT out = {0};
    if (n) {
        write_folder(&out, views);
        vx_reply_json(request, success, &out);
    } else {
        vx_reply_not_found(request, "folder", name);
    }
    vx_folder_views_free(views, n);
}

void vx_folders_one_get(vx_request *request) {
    char name[VX_FOLDER_NAME_CHARS + 1];
    if (find_folder(request, name))
        reply_one(request, name, VX_SUCCESS_OK);
}

/* ---- GET …/files ---- */

static void write_file(vx_out *out, vx_folder_state state, const vx_folder_file *file) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s%s%s", file->dir, *file->dir ? "/" : "", file->name);
    vx_out_begin(out, NULL, '{');
    vx_out_string(out, "path", path);
    if (!vx_utf8_is_valid(path, strlen(path))) {
        char text[(PATH_MAX + 2) / 3 * 4 + 1];
        vx_base64_encode(path, strlen(path), text);
        vx_out_string(out, "path_base64", text);
    }
    vx_out_string(out, "state", vx_folder_state_name(state));
    vx_out_int(out, "bytes", file->bytes);
    vx_show_time(out, "modified_at", file->mtime_ns / 1000);
    vx_out_string(out, "video_id", *file->video ? file->video : NULL);
    vx_out_string(out, "error", file->error);
    vx_show_time(out, "missing_since", file->missing_us);
    vx_out_end(out, '}');
}

/* As the catalog counts them. */
static int state_of(vx_catalog *catalog, const vx_folder_file *file, vx_folder_state *ret,
                    vx_err *err) {
    bool is_forgotten = false;
    int rc = *file->video ? vx_catalog_is_forgotten(catalog, file->video, &is_forgotten, err) : 0;
    *ret = file->missing_us ? VX_FOLDER_MISSING
           : file->error    ? VX_FOLDER_FAILED
           : !*file->video  ? VX_FOLDER_WAITING
           : is_forgotten   ? VX_FOLDER_FORGOTTEN
                            : VX_FOLDER_INDEXED;
    return rc;
}

typedef struct page {
    char folder[VX_FOLDER_NAME_CHARS + 1];
    int state, format;
    int64_t limit, above_row;
} page;

static bool read_page(vx_request *request, page *p) {
    const char *cursor = vx_request_value(request, "cursor");
    char *end = NULL;
    if (!find_folder(request, p->folder) ||
        !vx_params_choice(request, "state", VX_FOLDER_STATE_NAMES, VX_FOLDER_STATES, &p->state) ||
        !vx_params_choice(request, "format", "json paths0", 0, &p->format) ||
        !vx_params_int(request, "limit", 1, MAX_FILES, p->format ? MAX_FILES : 100, &p->limit))
        return false;
    if (cursor && *cursor == 'f')
        p->above_row = strtoll(cursor + 1, &end, 16);
    if (!cursor || (end && end != cursor + 1 && !*end && p->above_row > 0))
        return true;
    vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                     "cursor must be the value of next in the previous page.");
    return false;
}

static int write_files(vx_request *request, const page *p, vx_out *out, vx_err *err) {
    vx_catalog *catalog = request->server->catalog;
    vx_folder_file *files = NULL;
    size_t n = 0;
    char cursor[24];
    int rc = vx_catalog_list_folder_files(catalog, p->folder, (vx_folder_state)p->state,
                                          p->above_row, (size_t)p->limit, &files, &n, err);
    if (rc)
        return rc;
    vx_out_begin_items(out);
    for (size_t i = 0; i < n && !rc; i++) {
        vx_folder_state state;
        rc = state_of(catalog, &files[i], &state, err);
        write_file(out, state, &files[i]);
    }
    if (n)
        snprintf(cursor, sizeof cursor, "f%llx", (unsigned long long)files[n - 1].row);
    vx_out_end_items(out, n == (size_t)p->limit ? cursor : NULL);
    vx_out_end(out, '}');
    vx_folder_files_free(files, n);
    return rc;
}

/* Absolute paths, each with a NUL behind it: what xargs -0 takes, whatever the names are. */
static int write_paths(vx_request *request, const page *p, vx_out *out, vx_err *err) {
    vx_folder_file *files = NULL;
    vx_folder_view *views = NULL;
    size_t n = 0, n_views = 0;
    int rc = vx_folders_list(request->server->folders, p->folder, &views, &n_views, err);
    if (!rc)
        rc = vx_catalog_list_folder_files(request->server->catalog, p->folder,
                                          (vx_folder_state)p->state, p->above_row, (size_t)p->limit,
                                          &files, &n, err);
    for (size_t i = 0; i < n && n_views; i++) {
        const char *parts[] = {views->row.path, "/", files[i].dir, *files[i].dir ? "/" : "",
                               files[i].name};
        for (size_t k = 0; k < VX_LEN(parts); k++)
            vx_out_bytes(out, parts[k], strlen(parts[k]));
        vx_out_bytes(out, "", 1);
    }
    vx_folder_views_free(views, n_views);
    vx_folder_files_free(files, n);
    return rc;
}

void vx_folders_files_get(vx_request *request) {
    VX_AUTO_OUT out = {0};
    page p = {0};
    vx_err err;
    if (!read_page(request, &p))
        return;
    int rc = p.format ? write_paths(request, &p, &out, &err) : write_files(request, &p, &out, &err);
    request->failed |= out.failed;
    if (rc)
        vx_reply_failure(request, &err);
    else if (!p.format)
        vx_reply_json(request, VX_SUCCESS_OK, &out);
    else if (!out.failed)
        vx_reply_bytes(request, vx_take(out.text), out.n, "application/octet-stream");
}

/* ---- POST …/walk, DELETE ---- */

void vx_folders_walk_post(vx_request *request) {
    char name[VX_FOLDER_NAME_CHARS + 1];
    int accept_empty;
    vx_err err;
    if (!find_folder(request, name) ||
        !vx_params_choice(request, "accept_empty", "false true", 0, &accept_empty))
        return;
    if (vx_folders_walk(request->server->folders, name, accept_empty, &err))
        vx_reply_problem(request, VX_PROBLEM_FOLDER_UNUSED, "%s.", err.msg);
    else
        reply_one(request, name, VX_SUCCESS_ACCEPTED);
}

static void finish_delete(vx_request *request) {
    if (vx_change_succeeded(request, "folder"))
        vx_reply_empty(request, VX_SUCCESS_NO_CONTENT);
}

void vx_folders_one_delete(vx_request *request) {
    char name[VX_FOLDER_NAME_CHARS + 1];
    if (!find_folder(request, name))
        return;
    if (vx_folders_is_given(request->server->folders, name))
        vx_reply_problem(request, VX_PROBLEM_FOLDER_IN_USE, NULL);
    else if (vx_change_begin(request, finish_delete))
        vx_change_refuse(
            request, vx_folders_forget(request->server->folders, name, vx_change_done, request));
}

/* ---- /v1/forgotten ---- */

void vx_forgotten_list_get(vx_request *request) {
    vx_forgotten *items = NULL;
    size_t n = 0;
    int64_t limit;
    vx_err err;
    if (!vx_params_int(request, "limit", 1, MAX_LIST, 100, &limit))
        return;
    if (vx_catalog_list_forgotten(request->server->catalog, vx_request_value(request, "cursor"),
                                  false, (size_t)limit, &items, &n, &err)) {
        vx_reply_failure(request, &err);
        return;
    }
    VX_AUTO_OUT out = {0};
    vx_out_begin_items(&out);
    for (size_t i = 0; i < n; i++) {
        vx_out_begin(&out, NULL, '{');
        vx_out_string(&out, "video_id", items[i].video);
        vx_out_string(&out, "filename", items[i].filename);
        vx_out_int(&out, "bytes", items[i].bytes);
        vx_show_time(&out, "forgotten_at", items[i].forgotten_us);
        vx_out_end(&out, '}');
        free(items[i].filename);
    }
    vx_out_end_items(&out, n == (size_t)limit ? items[n - 1].video : NULL);
    vx_out_end(&out, '}');
    free(items);
    vx_reply_json(request, VX_SUCCESS_OK, &out);
}

static void finish_undo(vx_request *request) {
    if (vx_change_succeeded(request, "forgotten video"))
        vx_reply_empty(request, VX_SUCCESS_NO_CONTENT);
}

void vx_forgotten_one_delete(vx_request *request) {
    if (vx_change_begin(request, finish_undo))
        vx_change_refuse(request, vx_folders_remember(request->server->folders, request->args[0],
                                                      vx_change_done, request));
}
