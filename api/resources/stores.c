/* stores.c — /v1/stores: vector databases outside that are kept equal to the collection. */
#include <jansson.h>
#include <string.h>

#include "api/http/body.h"
#include "api/http/json.h"
#include "api/http/out.h"
#include "api/http/reply.h"
#include "api/resources/change.h"
#include "api/resources/handlers.h"
#include "api/resources/show.h"
#include "server/server.h"

static void write_check(vx_out *out, const vx_store_view *s) {
    vx_out_begin(out, "check", '{');
    vx_out_bool(out, "due", s->check_due);
    vx_show_time(out, "finished_at", s->checked_us);
    vx_out_int(out, "points", s->points);
    vx_out_int(out, "differing", s->differing);
    vx_out_int(out, "missing", s->missing);
    vx_out_int(out, "stray", s->stray);
    vx_out_int(out, "foreign", s->foreign);
    vx_out_end(out, '}');
}

static void write_store(vx_out *out, const vx_store_view *s) {
    vx_out_begin(out, NULL, '{');
    vx_out_string(out, "name", s->name);
    vx_out_string(out, "kind", s->kind);
    vx_out_string(out, "url", s->url);
    vx_out_string(out, "model", s->model);
    vx_out_string(out, "version", s->version[0] ? s->version : NULL);
    vx_out_string(out, "state", vx_store_state_name(s->state));
    vx_out_int(out, "waiting_videos", s->waiting_videos);
    vx_show_seconds(out, "lag_s", (double)s->behind_us / 1e6);
    vx_out_int(out, "sent_clips", s->sent);
    vx_out_int(out, "deleted_clips", s->removed);
    vx_out_int(out, "refused_clips", s->refused);
    vx_out_int(out, "failures", s->failures);
    vx_out_string(out, "last_error", s->last_error[0] ? s->last_error : NULL);
    vx_show_time(out, "last_error_at", s->last_error_us);
    vx_show_time(out, "next_try_at", s->next_try_us);
    vx_show_time(out, "equal_at", s->equal_us);
    vx_show_time(out, "created_at", s->created_us);
    write_check(out, s);
    vx_out_end(out, '}');
}

/* Replies with the store of this name, as it is now. */
static void reply_one(vx_request *request, const char *name, int success) {
    VX_AUTO_FREE vx_store_view *views = NULL;
    size_t n = 0, i = 0;
    vx_err err;
    if (vx_stores_list(request->server->stores, &views, &n, &err)) {
        vx_reply_failure(request, &err);
        return;
    }
    while (i < n && strcmp(views[i].name, name) != 0)
        i++;
    if (i == n) {
        vx_reply_not_found(request, "store", name);
        return;
    }
    VX_AUTO_OUT out = {0};
    write_store(&out, &views[i]);
    vx_reply_json(request, success, &out);
}

void vx_stores_get(vx_request *request) {
    VX_AUTO_FREE vx_store_view *views = NULL;
    size_t n = 0;
    vx_err err;
    if (vx_stores_list(request->server->stores, &views, &n, &err)) {
        vx_reply_failure(request, &err);
        return;
    }
    VX_AUTO_OUT out = {0};
    vx_out_begin_items(&out);
    for (size_t i = 0; i < n; i++)
        write_store(&out, &views[i]);
    vx_out_end_items(&out, NULL);
    vx_out_end(&out, '}');
    vx_reply_json(request, VX_SUCCESS_OK, &out);
}

void vx_stores_one_get(vx_request *request) {
    reply_one(request, request->args[0], VX_SUCCESS_OK);
}

/* ---- POST /v1/stores ---- */

static bool read_spec(vx_request *request, vx_store_spec *ret_spec) {
    json_t *body = vx_body_json(request);
    *ret_spec = (vx_store_spec){0};
    if (!vx_json_only(request, body, "name url model") ||
        !vx_json_string(request, body, "name", &ret_spec->name) ||
        !vx_json_string(request, body, "url", &ret_spec->url) ||
        !vx_json_string(request, body, "model", &ret_spec->model))
        return false;
    if (!ret_spec->name || !ret_spec->url)
        vx_reply_problem(request, VX_PROBLEM_MISSING_PARAMETER,
                         "name and url must be given: what to call the store, and where it is.");
    return ret_spec->name && ret_spec->url;
}

static void finish_post(vx_request *request) {
    int code = vx_change_code(request);
    vx_store_spec spec;
    if (code == VX_CATALOG_EXISTS)
        vx_reply_problem(request, VX_PROBLEM_STORE_EXISTS, "A store of this name exists.");
    else if (code == VX_STORES_FULL)
        vx_reply_problem(request, VX_PROBLEM_STORE_EXISTS, "There are %d stores already.",
                         VX_STORES_MAX);
    else if (vx_change_succeeded(request, "store") && read_spec(request, &spec))
        reply_one(request, spec.name, VX_SUCCESS_CREATED);
}

void vx_stores_post(vx_request *request) {
    vx_store_spec spec;
    vx_err err;
    if (!read_spec(request, &spec))
        return;
    if (vx_stores_check_spec(request->server->stores, &spec, &err)) {
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER, "%s.", err.msg);
        return;
    }
    if (vx_change_begin(request, finish_post))
        vx_change_refuse(request,
                         vx_stores_add(request->server->stores, &spec, vx_change_done, request));
}

/* ---- DELETE, and POST …/check ---- */

static void finish_delete(vx_request *request) {
    if (vx_change_succeeded(request, "store"))
        vx_reply_empty(request, VX_SUCCESS_NO_CONTENT);
}

void vx_stores_one_delete(vx_request *request) {
    if (vx_change_begin(request, finish_delete))
        vx_change_refuse(request, vx_stores_remove(request->server->stores, request->args[0],
                                                   vx_change_done, request));
}

static void finish_check(vx_request *request) {
    if (vx_change_succeeded(request, "store"))
        reply_one(request, request->args[0], VX_SUCCESS_ACCEPTED);
}

void vx_stores_check_post(vx_request *request) {
    if (vx_change_begin(request, finish_check))
        vx_change_refuse(request, vx_stores_check(request->server->stores, request->args[0],
                                                  vx_change_done, request));
}
