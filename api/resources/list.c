/* list.c — lists of videos: GET /v1/videos, GET /v1/videos/{id}/copies.
 *
 * Every condition is part of one filter. A list that a client's own filter narrows may have to read much
 * metadata, so it runs on a search thread; the others take a millisecond or so.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "api/http/params.h"
#include "api/http/reply.h"
#include "api/resources/filters.h"
#include "api/resources/handlers.h"
#include "api/resources/show.h"
#include "api/resources/videos.h"
#include "server/server.h"

#define MAX_LIST 500
#define VERDICTS "new exact copy similar part_of contains shared_segment" /* as vx_verdict_kind */

typedef struct list {
    vx_request *request;
    vx_filter *filter; /* NULL: all videos */
    int64_t before_row;
    size_t limit;
    bool count;
    bool refused; /* no search thread took it */
    vx_video **videos;
    size_t n;
    int64_t next; /* the row that the next page begins below; 0 = there is none */
    int64_t total;
    int rc;
    vx_err err;
} list;

static void free_list(void *state) {
    list *l = state;
    for (size_t i = 0; i < l->n; i++)
        vx_video_free(l->videos[i]);
    free(l->videos);
    vx_filter_free(l->filter);
    free(l);
}

/* ---- reading the request ---- */

/* A cursor is the last row of the previous page, in a form that cannot be mistaken for an id. */
static bool read_cursor(vx_request *request, int64_t *ret_row) {
    const char *text = vx_request_value(request, "cursor");
    *ret_row = 0;
    if (!text || !*text)
        return true;
    size_t n = strlen(text);
    bool valid =
        text[0] == 'r' && n >= 2 && n <= 16 && strspn(text + 1, "0123456789abcdef") == n - 1;
    if (valid)
        *ret_row = strtoll(text + 1, NULL, 16);
    if (valid && *ret_row > 0)
        return true;
    vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                     "cursor must be the value of next in the previous page.");
    return false;
}

/* also: what the address and the other parameters ask for; NULL = nothing. Takes it. */
static list *read_list(vx_request *request, json_t *also) {
    list *l = request->state = vx_new(list);
    request->state_free = l ? free_list : NULL;
    int64_t limit;
    int count;
    bool fine = l && vx_params_int(request, "limit", 1, MAX_LIST, 50, &limit) &&
                read_cursor(request, &l->before_row) &&
                vx_params_choice(request, "count", "false true", 0, &count) &&
                vx_filters_read_value(request, also, &l->filter);
    json_decref(also);
    request->failed |= !l;
    if (!fine)
        return NULL;
    l->request = request;
    l->limit = (size_t)limit;
    l->count = count;
    return l;
}

/* ---- finding the videos ---- */

/* One more than the page has tells whether there is a next one. */
static int list_all(list *l, vx_catalog *catalog) {
    const vx_video_query query = {.limit = l->limit + 1, .before_row = l->before_row};
    int rc = l->count ? vx_catalog_count_videos(catalog, &l->total, &l->err) : 0;
    if (!rc)
        rc = vx_catalog_list_videos(catalog, &query, &l->videos, &l->n, &l->err);
    if (!rc && l->n > l->limit) {
        l->next = l->videos[l->limit - 1]->row;
        l->videos[l->limit] = vx_video_free(l->videos[l->limit]);
        l->n = l->limit;
    }
    return rc;
}

static int list_selected(list *l, vx_server *server) {
    VX_AUTO_FREE int64_t *rows = NULL;
    size_t n = 0, first = 0;
    int rc = vx_collection_select(server->collection, l->filter, l->count ? 0 : l->before_row,
                                  l->count ? 0 : l->limit + 1, &rows, &n, &l->err);
    if (rc)
        return rc;
    l->total = (int64_t)n;
    while (l->before_row && first < n && rows[first] >= l->before_row)
        first++;
    n -= first;
    if (n > l->limit) {
        n = l->limit;
        l->next = rows[first + n - 1];
    }
    return n ? vx_catalog_get_videos(server->catalog, rows + first, n, &l->videos, &l->n, &l->err)
             : 0;
}

static void find_videos(list *l) {
    vx_server *server = l->request->server;
    l->rc = l->filter ? list_selected(l, server) : list_all(l, server->catalog);
}

static void run(void *ctx) {
    list *l = ctx;
    find_videos(l);
    vx_request_wake(l->request);
}

/* ---- the reply ---- */

static void finish(vx_request *request) {
    const list *l = request->state;
    if (l->refused) {
        vx_reply_problem(request, VX_PROBLEM_BUSY, NULL);
        return;
    }
    if (l->rc) {
        vx_reply_failure(request, &l->err);
        return;
    }
    VX_AUTO_OUT out = {0};
    vx_out_begin_items(&out);
    for (size_t i = 0; i < l->n; i++)
        vx_show_video(&out, NULL, l->videos[i], NULL);
    char cursor[24];
    snprintf(cursor, sizeof cursor, "r%llx", (unsigned long long)l->next);
    vx_out_end_items(&out, l->next ? cursor : NULL);
    if (l->count)
        vx_out_int(&out, "total", l->total);
    vx_out_end(&out, '}');
    vx_reply_json(request, VX_SUCCESS_OK, &out);
}

static void reply(vx_request *request, list *l) {
    if (!vx_request_value(request, "filter")) {
        find_videos(l);
        finish(request);
        return;
    }
    vx_request_wait(request, finish);
    l->refused = false;
    if (!vx_search_run(request->server->search, run, l)) {
        l->refused = true;
        vx_request_wake(request);
    }
}

void vx_videos_list(vx_request *request) {
    const char *filename = vx_request_value(request, "filename");
    const char *verdict = vx_request_value(request, "verdict");
    int kind;
    if (!vx_params_choice(request, "verdict", VERDICTS, -1, &kind))
        return;
    json_t *also = filename || verdict ? json_object() : NULL;
    if (filename)
        json_object_set_new(also, "filename", json_pack("{s:s}", "$contains", filename));
    if (verdict)
        json_object_set_new(also, "duplicate.verdict", json_string(verdict));
    list *l = read_list(request, also);
    if (l)
        reply(request, l);
}

void vx_videos_copies_get(vx_request *request) {
    VX_AUTO(vx_video) original = vx_videos_find(request);
    if (!original)
        return;
    list *l = read_list(request, json_pack("{s:s, s:{s:[s, s]}}", "duplicate.of", original->id,
                                           "duplicate.verdict", "$in", "copy", "part_of"));
    if (l)
        reply(request, l);
}
