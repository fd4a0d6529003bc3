/* duplicates.c — /v1/duplicates: scan, groups, what is decided about them.
 *
 * Groups are read, and decisions written, on a search thread: both may take a while.
 */
#include "api/resources/duplicates.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "api/http/params.h"
#include "api/resources/change.h"
#include "api/resources/filters.h"
#include "api/resources/handlers.h"
#include "api/resources/jobs.h"
#include "api/resources/show.h"

#define MAX_LIST 100
#define MAX_VIDEOS 50 /* of a group in a list; GET /v1/duplicates/{group} has all */
#define MAX_PAIRS 200
#define MAX_PAIRS_OF_ONE 10000
#define MAX_SEGMENTED 2000 /* pairs of one group whose segments are read */

/* ---- POST /v1/duplicates/scan ---- */

static void finish_scan(vx_request *request) {
    if (vx_change_succeeded(request, "video"))
        vx_jobs_reply_accepted(request, vx_change_job_id(request), VX_DUPLICATES_KIND);
}

void vx_duplicates_scan_post(vx_request *request) {
    VX_AUTO(vx_filter) filter = NULL;
    vx_keep_policy policy;
    const char *keep = vx_request_value(request, "keep");
    int fast = 0;
    if (vx_params_choice(request, "evidence", "deep fast", 0, &fast) &&
        vx_filters_read_value(request, NULL, &filter) &&
        vx_duplicates_read_policy(request, keep, &policy) && vx_change_begin(request, finish_scan))
        vx_change_refuse(request, vx_duplicates_submit(request->server->duplicates,
                                                       vx_request_value(request, "filter"), keep,
                                                       fast, vx_change_done_as_job, request));
}

/* ---- what groups are asked for ---- */

void vx_duplicates_ask_free(void *state) {
    vx_duplicates_ask *ask = state;
    vx_filter_free(ask->filter);
    vx_group_page_clear(&ask->page);
    vx_group_free(ask->group);
    vx_decision_clear(&ask->decision);
    free(ask->text);
    free(ask);
}

static bool read_kind(vx_request *request, const char *word, size_t n, unsigned *kinds) {
    for (int kind = VX_VERDICT_COPY; kind < VX_VERDICT_KINDS; kind++) {
        const char *name = vx_verdict_name((vx_verdict_kind)kind);
        if (strlen(name) == n && !strncmp(name, word, n)) {
            *kinds |= 1U << kind;
            return true;
        }
    }
    vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                     "kind must be a list of copy, part_of, contains, shared_segment and similar, "
                     "separated by commas.");
    return false;
}

bool vx_duplicates_read_kinds(vx_request *request, const char *text, unsigned *ret_kinds) {
    *ret_kinds = 0;
    for (const char *word = text; word;) {
        size_t n = strcspn(word, ",");
        if (!read_kind(request, word, n, ret_kinds))
            return false;
        word = word[n] ? word + n + 1 : NULL;
    }
    return true;
}

bool vx_duplicates_read_policy(vx_request *request, const char *text, vx_keep_policy *ret_policy) {
    vx_err err;
    if (!vx_keep_policy_parse(text ? text : "largest_picture", ret_policy, &err))
        return true;
    vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER, "%s", err.msg);
    return false;
}

static bool read_cursor(vx_request *request, vx_group_query *query) {
    const char *text = vx_request_value(request, "cursor");
    char *end;
    if (!text || !*text)
        return true;
    query->after_bytes = strtoll(text, &end, 16);
    if (query->after_bytes >= 0 && *end == '.' && strlen(end + 1) == VX_VIDEO_ID_CHARS &&
        end - text <= 15 && strspn(text, "0123456789abcdef") == (size_t)(end - text)) {
        strcpy(query->after_id, end + 1);
        return true;
    }
    vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                     "cursor must be the value of next in the previous page.");
    return false;
}

/* From the parameters of GET. NULL after a reply. */
static vx_duplicates_ask *read_ask(vx_request *request) {
    vx_duplicates_ask *ask = request->state = vx_new(vx_duplicates_ask);
    request->state_free = ask ? vx_duplicates_ask_free : NULL;
    request->failed |= !ask;
    int64_t limit = 0;
    double min_score = 0;
    bool fine =
        ask && vx_params_int(request, "limit", 1, MAX_LIST, 20, &limit) &&
        vx_params_number(request, "min_score", 0, 1, 0, &min_score) &&
        vx_params_choice(request, "state", "open decided all", 0, &ask->query.state) &&
        vx_params_choice(request, "format", "json csv jsonl", 0, &ask->format) &&
        vx_duplicates_read_kinds(request, vx_request_value(request, "kind"), &ask->query.kinds) &&
        vx_duplicates_read_policy(request, vx_request_value(request, "keep"), &ask->policy) &&
        read_cursor(request, &ask->query) && vx_filters_read_value(request, NULL, &ask->filter);
    if (!fine)
        return NULL;
    ask->request = request;
    ask->query.state = ask->query.state == 2 ? -1 : ask->query.state;
    ask->query.limit = ask->format ? 0 : (size_t)limit;
    ask->query.max_looks = VX_DUPLICATES_MAX_LOOKS;
    ask->query.min_score = (float)min_score;
    ask->query.filter = ask->filter;
    ask->query.policy = &ask->policy;
    return ask;
}

void vx_duplicates_run(vx_duplicates_ask *ask, void (*run)(void *ctx),
                       void (*finish)(vx_request *request)) {
    vx_request *request = ask->request;
    vx_request_wait(request, finish);
    if (vx_search_run(request->server->search, run, ask))
        return;
    ask->refused = true;
    vx_request_wake(request);
}

bool vx_duplicates_succeeded(vx_request *request) {
    vx_duplicates_ask *ask = request->state;
    if (ask->refused)
        vx_reply_problem(request, VX_PROBLEM_BUSY, NULL);
    else if (ask->rc == VX_CATALOG_NOT_FOUND)
        vx_reply_problem(request, VX_PROBLEM_NOT_FOUND, "Not found: %s.", ask->err.msg);
    else if (ask->rc)
        vx_reply_failure(request, &ask->err);
    return !ask->refused && !ask->rc;
}

/* ---- showing groups ---- */

void vx_duplicates_decision_id(int64_t row, char ret_id[VX_DECISION_ID_CHARS + 1]) {
    snprintf(ret_id, VX_DECISION_ID_CHARS + 1, "d%llx", (unsigned long long)row);
}

static void show_video(vx_out *out, const vx_group *g, size_t i) {
    const vx_group_video *v = &g->videos[i];
    vx_out_begin(out, NULL, '{');
    vx_out_string(out, "video_id", v->id);
    vx_out_string(out, "filename", v->filename);
    vx_out_int(out, "bytes", v->bytes);
    vx_out_int(out, "width", v->width_px);
    vx_out_int(out, "height", v->height_px);
    vx_show_seconds(out, "duration_s", v->duration_s);
    vx_out_number(out, "bitrate",
                  v->duration_s > 0 ? round((double)v->bytes * 8 / v->duration_s) : (double)NAN);
    vx_show_time(out, "created_at", v->created_us);
    vx_out_bool(out, "set_aside", v->set_aside);
    vx_out_string(out, "action", v->keep ? "keep" : "delete");
    vx_out_string(out, "of", v->keep ? NULL : g->videos[v->of].id);
    vx_out_bool(out, "unchecked", v->unchecked);
    vx_out_end(out, '}');
}

static const char *smaller_of(const vx_group_video *a, const vx_group_video *b) {
    int64_t x = (int64_t)a->width_px * a->height_px, y = (int64_t)b->width_px * b->height_px;
    if (x == y) {
        x = a->bytes;
        y = b->bytes;
    }
    return x == y ? NULL : x < y ? a->id : b->id;
}

/* Of a pair whose rows are in the other order than its places in the group, the segments are turned. */
static int show_segments(vx_out *out, vx_catalog *catalog, const vx_group_video *first,
                         const vx_group_video *second, vx_err *err) {
    VX_AUTO_FREE float *segments = NULL;
    bool turned = first->row > second->row;
    size_t n = 0;
    int rc = vx_catalog_get_segments(catalog, turned ? second->row : first->row,
                                     turned ? first->row : second->row, &segments, &n, err);
    if (rc)
        return rc;
    vx_out_begin(out, "segments", '[');
    for (size_t i = 0; i < n; i++) {
        const float *a = segments + 4 * i + 2 * turned, *b = segments + 4 * i + 2 * !turned;
        vx_out_begin(out, NULL, '{');
        vx_show_seconds(out, "a_start_s", (double)a[0]);
        vx_show_seconds(out, "a_end_s", (double)a[1]);
        vx_show_seconds(out, "b_start_s", (double)b[0]);
        vx_show_seconds(out, "b_end_s", (double)b[1]);
        vx_out_end(out, '}');
    }
    vx_out_end(out, ']');
    return 0;
}

static int show_pair(vx_out *out, vx_catalog *catalog, const vx_group *g, const vx_group_pair *p,
                     bool segments, vx_err *err) {
    const vx_group_video *a = &g->videos[p->first], *b = &g->videos[p->second];
    int rc = 0;
    vx_out_begin(out, NULL, '{');
    vx_out_string(out, "a", a->id);
    vx_out_string(out, "b", b->id);
    vx_out_string(out, "relation", vx_verdict_name(p->kind));
    vx_out_float(out, "score", p->score);
    vx_out_float(out, "share", p->share);
    vx_out_float(out, "share_of_a", p->share_of_first);
    vx_out_float(out, "share_of_b", p->share_of_second);
    vx_out_float(out, "offset_s", p->offset_s);
    vx_out_bool(out, "mirrored", p->mirrored);
    vx_out_string(out, "smaller", smaller_of(a, b));
    if (segments)
        rc = show_segments(out, catalog, a, b, err);
    vx_out_end(out, '}');
    return rc;
}

/* all: every video, and pairs with segments. */
static int show_group(vx_out *out, vx_catalog *catalog, const vx_group *g, bool all, vx_err *err) {
    char decision[VX_DECISION_ID_CHARS + 1];
    size_t n_videos = all || g->n_videos < MAX_VIDEOS ? g->n_videos : MAX_VIDEOS;
    size_t max_pairs = all ? MAX_PAIRS_OF_ONE : MAX_PAIRS;
    size_t n_pairs = g->n_pairs < max_pairs ? g->n_pairs : max_pairs;
    int rc = 0;
    vx_duplicates_decision_id(g->decision, decision);
    vx_out_begin(out, NULL, '{');
    vx_out_string(out, "id", g->id);
    vx_out_string(out, "revision", g->revision);
    vx_out_string(out, "state", g->state == VX_GROUP_OPEN ? "open" : "decided");
    vx_out_string(out, "decision", g->decision ? decision : NULL);
    vx_out_int(out, "bytes", g->bytes);
    vx_out_int(out, "removable_bytes", g->removable_bytes);
    vx_out_begin(out, "keeper", '{');
    vx_out_string(out, "video_id", g->videos[0].id);
    vx_out_string(out, "why", g->why);
    vx_out_end(out, '}');
    vx_out_int(out, "videos_total", (int64_t)g->n_videos);
    vx_out_begin(out, "videos", '[');
    for (size_t i = 0; i < n_videos; i++)
        show_video(out, g, i);
    vx_out_end(out, ']');
    vx_out_int(out, "pairs_total", (int64_t)g->n_pairs);
    vx_out_begin(out, "pairs", '[');
    for (size_t i = 0; i < n_pairs && !rc; i++)
        rc = show_pair(out, catalog, g, &g->pairs[i], all && i < MAX_SEGMENTED, err);
    vx_out_end(out, ']');
    vx_out_end(out, '}');
    return rc;
}

/* ---- GET /v1/duplicates ---- */

static void list_groups(void *ctx) {
    vx_duplicates_ask *ask = ctx;
    ask->rc =
        vx_duplicates_list(ask->request->server->duplicates, &ask->query, &ask->page, &ask->err);
    if (!ask->rc && ask->format) {
        FILE *file = open_memstream(&ask->text, &ask->n_text);
        ask->rc =
            file ? vx_groups_write(&ask->page, ask->format == 1 ? VX_GROUPS_CSV : VX_GROUPS_JSONL,
                                   file, &ask->err)
                 : VX_FAIL_ERRNO(&ask->err, "writing groups");
        if (file && fclose(file) && !ask->rc)
            ask->rc = VX_FAIL_ERRNO(&ask->err, "writing groups");
    }
    vx_request_wake(ask->request);
}

static void finish_list(vx_request *request) {
    vx_duplicates_ask *ask = request->state;
    if (!vx_duplicates_succeeded(request))
        return;
    if (ask->format) {
        vx_reply_bytes(request, vx_take(ask->text), ask->n_text,
                       ask->format == 1 ? "text/csv; charset=utf-8; header=present"
                                        : "application/x-ndjson");
        return;
    }
    VX_AUTO_OUT out = {0};
    vx_err err;
    int rc = 0;
    char next[64] = "";
    const vx_group *last = ask->page.n ? ask->page.groups[ask->page.n - 1] : NULL;
    if (ask->page.more && last)
        snprintf(next, sizeof next, "%llx.%s", (unsigned long long)last->removable_bytes, last->id);
    vx_out_begin_items(&out);
    for (size_t i = 0; i < ask->page.n && !rc; i++)
        rc = show_group(&out, request->server->catalog, ask->page.groups[i], false, &err);
    vx_out_end_items(&out, next[0] ? next : NULL);
    vx_out_int(&out, "total", ask->page.total);
    vx_out_int(&out, "total_removable_bytes", ask->page.total_removable_bytes);
    vx_out_end(&out, '}');
    if (rc)
        vx_reply_failure(request, &err);
    else
        vx_reply_json(request, VX_SUCCESS_OK, &out);
}

void vx_duplicates_list_get(vx_request *request) {
    vx_duplicates_ask *ask = read_ask(request);
    if (ask)
        vx_duplicates_run(ask, list_groups, finish_list);
}

/* ---- GET /v1/duplicates/{group} ---- */

static void plan_group(void *ctx) {
    vx_duplicates_ask *ask = ctx;
    ask->rc = vx_duplicates_plan(ask->request->server->duplicates, &ask->query,
                                 ask->request->args[0], &ask->group, &ask->err);
    vx_request_wake(ask->request);
}

static void finish_group(vx_request *request) {
    vx_duplicates_ask *ask = request->state;
    VX_AUTO_OUT out = {0};
    vx_err err;
    if (!vx_duplicates_succeeded(request))
        return;
    if (show_group(&out, request->server->catalog, ask->group, true, &err))
        vx_reply_failure(request, &err);
    else
        vx_reply_json(request, VX_SUCCESS_OK, &out);
}

void vx_duplicates_group_get(vx_request *request) {
    vx_duplicates_ask *ask = read_ask(request);
    if (ask)
        vx_duplicates_run(ask, plan_group, finish_group);
}
