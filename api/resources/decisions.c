/* decisions.c — POST /v1/duplicates/{group}/resolve, and /v1/duplicate-decisions. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/http/body.h"
#include "api/http/json.h"
#include "api/http/params.h"
#include "api/resources/duplicates.h"
#include "api/resources/filters.h"
#include "api/resources/handlers.h"
#include "api/resources/show.h"
#include "base/clock.h"

#define MAX_LIST 100
#define MAX_NAMED 10000                /* videos that a decision may name */
#define MAX_DELAY_S (30 * 24 * 3600.0) /* until deletion */

static const char *const actions[] = {[VX_DECISION_KEEP] = "keep",
                                      [VX_DECISION_DELETE] = "delete",
                                      [VX_DECISION_UNRELATED] = "not_duplicates"};
static const char *const roles[] = {[VX_ROLE_KEPT] = "kept",
                                    [VX_ROLE_DELETED] = "deleted",
                                    [VX_ROLE_UNRELATED] = "unrelated",
                                    [VX_ROLE_OTHER] = "other"};

/* 0: it is no id. */
static int64_t read_decision_id(const char *text) {
    size_t n = strlen(text);
    bool valid =
        text[0] == 'd' && n >= 2 && n <= 16 && strspn(text + 1, "0123456789abcdef") == n - 1;
    return valid ? strtoll(text + 1, NULL, 16) : 0;
}

/* ---- showing decisions ---- */

static void show_decision(vx_out *out, const char *key, const vx_decision *d) {
    char id[VX_DECISION_ID_CHARS + 1];
    int64_t bytes = 0, pending = 0;
    for (size_t i = 0; i < d->n; i++) {
        bytes += d->videos[i].role == VX_ROLE_DELETED ? d->videos[i].bytes : 0;
        pending += d->videos[i].pending;
    }
    vx_duplicates_decision_id(d->row, id);
    vx_out_begin(out, key, '{');
    vx_out_string(out, "id", d->row ? id : NULL); /* null: a dry run */
    vx_out_string(out, "action", actions[d->kind]);
    vx_out_string(out, "keep", d->policy[0] ? d->policy : NULL);
    vx_show_time(out, "created_at", d->created_us);
    vx_show_time(out, "due_at", d->due_us);
    vx_out_int(out, "bytes", bytes);
    vx_out_int(out, "pending", pending);
    vx_out_begin(out, "videos", '[');
    for (size_t i = 0; i < d->n; i++) {
        vx_out_begin(out, NULL, '{');
        vx_out_string(out, "video_id", d->videos[i].id);
        vx_out_string(out, "role", roles[d->videos[i].role]);
        vx_out_int(out, "bytes", d->videos[i].bytes);
        vx_out_bool(out, "pending", d->videos[i].pending);
        vx_out_end(out, '}');
    }
    vx_out_end(out, ']');
    vx_out_end(out, '}');
}

/* ---- POST /v1/duplicates/{group}/resolve ---- */

/* What a client asks for; borrows from the body. */
typedef struct resolution {
    vx_duplicates_ask ask; /* first: it is what the request keeps */
    json_t *videos;        /* ids, or NULL: as the policy has it, or all */
    const char **ids;      /* [n_ids] these, sorted; NULL: none; owned */
    size_t n_ids;
    char revision[9];
    double delay_s;
} resolution;

static void resolution_free(void *state) {
    resolution *r = state;
    free(r->ids);
    vx_duplicates_ask_free(&r->ask);
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool names(const resolution *r, const char *id) {
    return r->n_ids && bsearch(&id, r->ids, r->n_ids, sizeof *r->ids, by_text);
}

static vx_decision_role role_of(const resolution *r, const vx_group_video *v) {
    bool named = r->videos && names(r, v->id);
    switch (r->ask.decision.kind) {
    case VX_DECISION_DELETE:
        return (r->videos ? named : !v->keep) ? VX_ROLE_DELETED : VX_ROLE_KEPT;
    case VX_DECISION_UNRELATED:
        return !r->videos || named ? VX_ROLE_UNRELATED : VX_ROLE_OTHER;
    default:
        return VX_ROLE_KEPT;
    }
}

static int refuse(resolution *r, const char *why) {
    return VX_FAIL(&r->ask.err, VX_FILTER_BAD, "%s", why);
}

/* Every video that the client names is in the group, and one stays. */
static int check_named(resolution *r) {
    const vx_group *g = r->ask.group;
    size_t n = json_array_size(r->videos), n_found = 0, files_left = 0, files_named = 0;
    for (size_t i = 0; i < g->n_videos; i++) {
        bool named = names(r, g->videos[i].id);
        n_found += named;
        files_named += named && !g->videos[i].no_file;
        files_left += !named && !g->videos[i].no_file;
    }
    if (r->videos && n_found != n)
        return refuse(r, "videos must be ids of videos of this group, each once");
    if (r->ask.decision.kind == VX_DECISION_DELETE && n_found == g->n_videos)
        return refuse(r, "videos must leave one video of the group");
    if (r->ask.decision.kind == VX_DECISION_DELETE && files_named && !files_left)
        return refuse(r, "videos must leave one video of the group that has a file");
    return 0;
}

static int make_decision(resolution *r) {
    const vx_group *g = r->ask.group;
    vx_decision *d = &r->ask.decision;
    int rc = check_named(r);
    if (rc)
        return rc;
    d->videos = vx_new_array(g->n_videos, sizeof *d->videos);
    if (!d->videos)
        return VX_FAIL(&r->ask.err, -ENOMEM, "no memory for a decision");
    d->n = g->n_videos;
    d->created_us = vx_clock_unix_us();
    for (size_t i = 0; i < d->n; i++) {
        const vx_group_video *v = &g->videos[i];
        d->videos[i] = (vx_decision_video){.role = role_of(r, v), .row = v->row, .bytes = v->bytes};
        d->videos[i].pending = d->videos[i].role == VX_ROLE_DELETED;
        if (d->videos[i].pending && !v->keep && role_of(r, &g->videos[v->of]) == VX_ROLE_KEPT)
            d->videos[i].of = g->videos[v->of].row;
        strcpy(d->videos[i].id, v->id);
    }
    if (d->kind == VX_DECISION_DELETE) {
        d->due_us = d->created_us + (int64_t)(r->delay_s * 1e6);
        if (!r->videos)
            strcpy(d->policy, r->ask.policy.text);
    }
    return 0;
}

static void resolve(void *ctx) {
    resolution *r = ctx;
    vx_duplicates_ask *ask = &r->ask;
    vx_duplicates *duplicates = ask->request->server->duplicates;
    ask->rc =
        vx_duplicates_plan(duplicates, &ask->query, ask->request->args[0], &ask->group, &ask->err);
    ask->changed = !ask->rc && r->revision[0] && strcmp(r->revision, ask->group->revision);
    if (!ask->rc && !ask->changed)
        ask->rc = make_decision(r);
    if (!ask->rc && !ask->changed && !ask->dry_run)
        ask->rc = vx_duplicates_decide(duplicates, &ask->decision, &ask->err);
    vx_request_wake(ask->request);
}

static void show_plan(vx_out *out, const resolution *r) {
    const vx_group *g = r->ask.group;
    const vx_decision *d = &r->ask.decision;
    static const char *const lists[] = {"kept", "deleted"};
    for (int deleted = 0; deleted < 2; deleted++) {
        vx_out_begin(out, lists[deleted], '[');
        for (size_t i = 0; i < d->n; i++) {
            const vx_group_video *v = &g->videos[i];
            if ((d->videos[i].role == VX_ROLE_DELETED) != (deleted == 1))
                continue;
            vx_out_begin(out, NULL, '{');
            vx_out_string(out, "video_id", v->id);
            vx_out_string(out, "filename", v->filename);
            vx_out_int(out, "bytes", v->bytes);
            if (deleted)
                vx_out_string(out, "of", v->keep ? NULL : g->videos[v->of].id);
            vx_out_end(out, '}');
        }
        vx_out_end(out, ']');
    }
}

static void finish_resolve(vx_request *request) {
    const resolution *r = request->state;
    if (r->ask.changed) {
        vx_reply_problem(request, VX_PROBLEM_GROUP_CHANGED, NULL);
        return;
    }
    if (r->ask.rc == VX_FILTER_BAD) {
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER, "%s", r->ask.err.msg);
        return;
    }
    if (!vx_duplicates_succeeded(request))
        return;
    VX_AUTO_OUT out = {0};
    vx_out_begin(&out, NULL, '{');
    vx_out_string(&out, "group", r->ask.group->id);
    vx_out_bool(&out, "dry_run", r->ask.dry_run);
    show_decision(&out, "decision", &r->ask.decision);
    show_plan(&out, r);
    vx_out_end(&out, '}');
    vx_reply_json(request, VX_SUCCESS_OK, &out);
}

static bool read_action(vx_request *request, json_t *body, vx_decision_kind *ret_kind) {
    const char *action = NULL;
    if (!vx_json_string(request, body, "action", &action))
        return false;
    for (size_t i = 0; action && i < VX_LEN(actions); i++) {
        if (strcmp(action, actions[i]))
            continue;
        *ret_kind = (vx_decision_kind)i;
        return true;
    }
    vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                     "action must be keep, delete or not_duplicates.");
    return false;
}

static bool read_videos(vx_request *request, json_t *body, resolution *r) {
    r->videos = json_object_get(body, "videos");
    size_t n = json_array_size(r->videos);
    bool fine = !r->videos || (json_is_array(r->videos) && n && n <= MAX_NAMED &&
                               r->ask.decision.kind != VX_DECISION_KEEP);
    for (size_t i = 0; i < n && fine; i++)
        fine = json_is_string(json_array_get(r->videos, i));
    if (!fine)
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                         "videos must be an array of 1 to %d ids of videos; keep takes none.",
                         MAX_NAMED);
    if (!fine || !n)
        return fine;
    r->ids = vx_new_array(n, sizeof *r->ids);
    request->failed |= !r->ids;
    if (!r->ids)
        return false;
    for (; r->n_ids < n; r->n_ids++)
        r->ids[r->n_ids] = json_string_value(json_array_get(r->videos, r->n_ids));
    qsort(r->ids, n, sizeof *r->ids, by_text);
    return true;
}

static bool read_resolution(vx_request *request, json_t *body, resolution *r) {
    const char *kinds = NULL, *policy = NULL, *revision = NULL;
    double min_score = 0;
    bool fine =
        vx_json_only(request, body,
                     "action videos keep kind min_score filter revision delay_s dry_run") &&
        read_action(request, body, &r->ask.decision.kind) && read_videos(request, body, r) &&
        vx_json_string(request, body, "kind", &kinds) &&
        vx_duplicates_read_kinds(request, kinds, &r->ask.query.kinds) &&
        vx_json_string(request, body, "keep", &policy) &&
        vx_duplicates_read_policy(request, policy, &r->ask.policy) &&
        vx_json_string(request, body, "revision", &revision) &&
        vx_json_number(request, body, "min_score", 0, 1, &min_score) &&
        vx_json_number(request, body, "delay_s", 0, MAX_DELAY_S, &r->delay_s) &&
        vx_json_bool(request, body, "dry_run", &r->ask.dry_run) &&
        vx_filters_read(request, json_object_get(body, "filter"), NULL, "/filter", &r->ask.filter);
    if (!fine)
        return false;
    snprintf(r->revision, sizeof r->revision, "%s", revision ? revision : "");
    r->ask.query.min_score = (float)min_score;
    r->ask.query.filter = r->ask.filter;
    r->ask.query.policy = &r->ask.policy;
    r->ask.query.state = -1;
    r->ask.query.max_looks = VX_DUPLICATES_MAX_LOOKS;
    r->ask.request = request;
    return true;
}

void vx_duplicates_resolve_post(vx_request *request) {
    resolution *r = vx_new(resolution);
    request->state = r;
    request->state_free = r ? resolution_free : NULL;
    request->failed |= !r;
    if (r && read_resolution(request, vx_body_json(request), r))
        vx_duplicates_run(&r->ask, resolve, finish_resolve);
}

/* ---- GET /v1/duplicate-decisions, GET and DELETE of one ---- */

void vx_decisions_list_get(vx_request *request) {
    vx_catalog *catalog = request->server->catalog;
    const char *cursor = vx_request_value(request, "cursor");
    int64_t limit, rows[MAX_LIST + 1], before = cursor && *cursor ? read_decision_id(cursor) : 0;
    size_t n = 0;
    vx_err err;
    if (!vx_params_int(request, "limit", 1, MAX_LIST, 20, &limit))
        return;
    if (cursor && *cursor && !before) {
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                         "cursor must be the value of next in the previous page.");
        return;
    }
    VX_AUTO_OUT out = {0};
    char next[VX_DECISION_ID_CHARS + 1];
    int rc = vx_catalog_list_decisions(catalog, before, (size_t)limit + 1, rows, &n, &err);
    vx_out_begin_items(&out);
    for (size_t i = 0; i < n && i < (size_t)limit && !rc; i++) {
        vx_decision decision = {0};
        rc = vx_catalog_get_decision(catalog, rows[i], &decision, &err);
        if (!rc)
            show_decision(&out, NULL, &decision);
        vx_decision_clear(&decision);
        rc = rc == VX_CATALOG_NOT_FOUND ? 0 : rc; /* undone meanwhile */
    }
    if (n > (size_t)limit)
        vx_duplicates_decision_id(rows[limit - 1], next);
    vx_out_end_items(&out, n > (size_t)limit ? next : NULL);
    vx_out_end(&out, '}');
    if (rc)
        vx_reply_failure(request, &err);
    else
        vx_reply_json(request, VX_SUCCESS_OK, &out);
}

void vx_decisions_one_get(vx_request *request) {
    vx_decision decision = {0};
    vx_err err;
    int rc = vx_catalog_get_decision(request->server->catalog, read_decision_id(request->args[0]),
                                     &decision, &err);
    if (rc == VX_CATALOG_NOT_FOUND) {
        vx_reply_not_found(request, "decision", request->args[0]);
    } else if (rc) {
        vx_reply_failure(request, &err);
    } else {
        VX_AUTO_OUT out = {0};
        show_decision(&out, NULL, &decision);
        vx_reply_json(request, VX_SUCCESS_OK, &out);
    }
    vx_decision_clear(&decision);
}

static void undo(void *ctx) {
    vx_duplicates_ask *ask = ctx;
    ask->rc = vx_duplicates_undo(ask->request->server->duplicates,
                                 read_decision_id(ask->request->args[0]), &ask->err);
    vx_request_wake(ask->request);
}

static void finish_undo(vx_request *request) {
    if (vx_duplicates_succeeded(request))
        vx_reply_empty(request, VX_SUCCESS_NO_CONTENT);
}

void vx_decisions_one_delete(vx_request *request) {
    vx_duplicates_ask *ask = request->state = vx_new(vx_duplicates_ask);
    request->state_free = ask ? vx_duplicates_ask_free : NULL;
    request->failed |= !ask;
    if (!ask)
        return;
    ask->request = request;
    vx_duplicates_run(ask, undo, finish_undo);
}
