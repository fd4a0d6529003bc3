/* clusters.c — /v1/clusters: groups of similar clips. POST starts the job that finds them; GET lists
 * clusterings, shows one with its clusters and pages through its members; DELETE. And in which of them a video
 * is: GET /v1/videos/{id}/clusters.
 *
 * What a reply counts are the members of now: clips that were deleted since are gone.
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/http/body.h"
#include "api/http/json.h"
#include "api/http/params.h"
#include "api/http/reply.h"
#include "api/http/text.h"
#include "api/resources/change.h"
#include "api/resources/filters.h"
#include "api/resources/handlers.h"
#include "api/resources/jobs.h"
#include "api/resources/show.h"
#include "api/resources/videos.h"
#include "cluster/cluster.h"
#include "server/server.h"

#define FIELDS                                                                                     \
    "method k max_k iterations restarts seed min_cluster_size min_samples model filter concepts "  \
    "name"
#define MAX_LIST 100
#define MAX_MEMBERS 5000
#define REPRESENTATIVES 3
#define LOOK_AT 16 /* members, for representatives of different videos */

/* ---- POST /v1/clusters ---- */

static void finish_post(vx_request *request) {
    if (vx_change_succeeded(request, "clustering"))
        vx_jobs_reply_accepted(request, vx_change_job_id(request), "cluster");
}

/* Numbers of one method are refused with the other: whoever sends them expects something of them. */
static bool check_method(vx_request *request, const json_t *body, bool density) {
    static const char *const of_kmeans[] = {"k", "max_k", "iterations", "restarts", "seed"};
    static const char *const of_density[] = {"min_cluster_size", "min_samples"};
    const char *const *others = density ? of_kmeans : of_density;
    size_t n = density ? VX_LEN(of_kmeans) : VX_LEN(of_density);
    for (size_t i = 0; i < n; i++)
        if (json_object_get(body, others[i])) {
            vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER, "%s belongs to the method %s.",
                             others[i], density ? "kmeans" : "density");
            return false;
        }
    return true;
}

static bool check_numbers(vx_request *request, json_t *body) {
    int64_t ignored;
    return vx_json_int(request, body, "k", 1, VX_CLUSTER_MAX_K, &ignored) &&
           vx_json_int(request, body, "max_k", 2, VX_CLUSTER_MAX_K, &ignored) &&
           vx_json_int(request, body, "iterations", 1, VX_CLUSTER_MAX_ITERATIONS, &ignored) &&
           vx_json_int(request, body, "restarts", 1, VX_CLUSTER_MAX_RESTARTS, &ignored) &&
           vx_json_int(request, body, "seed", 0, INT64_MAX, &ignored) &&
           vx_json_int(request, body, "min_cluster_size", 2, 1000000, &ignored) &&
           vx_json_int(request, body, "min_samples", 1, VX_CLUSTER_MAX_NEIGHBOURS, &ignored);
}

static bool check_concepts(vx_request *request, const json_t *body, const vx_model *model) {
    const json_t *concepts = json_object_get(body, "concepts");
    size_t n = json_array_size(concepts);
    bool fine =
        !concepts || (json_is_array(concepts) && n >= 1 && n <= VX_CLUSTERINGS_MAX_CONCEPTS);
    for (size_t i = 0; fine && i < n; i++) {
        size_t bytes = json_string_length(json_array_get(concepts, i));
        fine = bytes >= 1 && bytes <= VX_CLUSTERINGS_MAX_CONCEPT_BYTES;
    }
    if (!fine)
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                         "concepts must be an array of 1 to %d texts of 1 to %d bytes.",
                         VX_CLUSTERINGS_MAX_CONCEPTS, VX_CLUSTERINGS_MAX_CONCEPT_BYTES);
    else if (concepts && !model->info->has_text)
        vx_reply_problem(request, VX_PROBLEM_WRONG_SPACE,
                         "%s takes no text, so it cannot name clusters by concepts.",
                         model->info->name);
    return fine && (!concepts || model->info->has_text);
}

static const vx_model *find_model(vx_request *request, json_t *body) {
    const char *name = NULL;
    vx_err err;
    if (!vx_json_string(request, body, "model", &name))
        return NULL;
    const vx_model *model = vx_models_find(request->server->models, name, &err);
    if (!model)
        vx_reply_outcome(request, VX_OUTCOME_WRONG_SPACE, &err);
    return model;
}

static bool check_name(vx_request *request, json_t *body) {
    const char *name = NULL;
    if (!vx_json_string(request, body, "name", &name))
        return false;
    if (!name || (*name && strlen(name) <= VX_CLUSTERINGS_MAX_NAME_BYTES && vx_utf8_is_plain(name)))
        return true;
    vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                     "name must be 1 to %d bytes of UTF-8 without control characters.",
                     VX_CLUSTERINGS_MAX_NAME_BYTES);
    return false;
}

static bool check_filter(vx_request *request, const json_t *body) {
    vx_filter *filter = NULL;
    bool fine = vx_filters_read(request, json_object_get(body, "filter"), NULL, "/filter", &filter);
    vx_filter_free(filter);
    return fine;
}

void vx_clusters_post(vx_request *request) {
    json_t *body = vx_body_json(request);
    const char *method = NULL;
    if (!vx_json_only(request, body, FIELDS) || !vx_json_string(request, body, "method", &method))
        return;
    bool density = method && !strcmp(method, "density");
    if (method && !density && strcmp(method, "kmeans")) {
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER, "method must be kmeans or density.");
        return;
    }
    const vx_model *model = find_model(request, body);
    if (!model || !check_numbers(request, body) || !check_method(request, body, density) ||
        !check_name(request, body) || !check_concepts(request, body, model) ||
        !check_filter(request, body))
        return;
    json_t *job = json_copy(body);
    json_object_set_new(job, "method", json_string(density ? "density" : "kmeans"));
    json_object_set_new(job, "model", json_string(model->info->name));
    if (!vx_change_begin(request, finish_post)) {
        json_decref(job);
        return;
    }
    vx_change_refuse(request, vx_clusterings_submit(request->server->clusterings, job,
                                                    vx_change_done_as_job, request));
}

/* ---- DELETE /v1/clusters/{id} ---- */

static void finish_delete(vx_request *request) {
    if (vx_change_succeeded(request, "clustering"))
        vx_reply_empty(request, VX_SUCCESS_NO_CONTENT);
}

void vx_clusters_one_delete(vx_request *request) {
    if (vx_change_begin(request, finish_delete))
        vx_change_refuse(request, vx_clusterings_delete(request->server->clusterings,
                                                        request->args[0], vx_change_done, request));
}

/* ---- what a clustering shows ---- */

static void write_raw(vx_out *out, const char *key, const json_t *value) {
    char *text =
        value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9)) : NULL;
    vx_out_json(out, key, text ? text : "null");
    free(text);
}

/* Vectors of the same model that are not in it: they came later, or did not pass its filter. */
static int64_t count_outside(vx_server *server, const vx_clustering_row *row, int64_t members) {
    for (int i = 0; i < server->models->n; i++)
        if (server->models->items[i].space == row->space) {
            int64_t outside = vx_index_count(server->models->items[i].index) - members;
            return outside > 0 ? outside : 0;
        }
    return -1; /* the model is not loaded */
}

/* Members of one open object. */
static void write_head(vx_out *out, vx_server *server, const vx_clustering_row *row,
                       const json_t *request, const json_t *summary, int64_t members) {
    static const char *const asked[] = {"name", "method", "model"};
    static const char *const found[] = {"why",       "clips_found",    "mean_score", "iterations",
                                        "converged", "variance_shown", "drift"};
    int64_t outside = count_outside(server, row, members);
    vx_out_string(out, "id", row->id);
    vx_show_time(out, "created_at", row->created_us);
    for (size_t i = 0; i < VX_LEN(asked); i++)
        write_raw(out, asked[i], json_object_get(request, asked[i]));
    write_raw(out, "request", request);
    vx_out_int(out, "n_clusters", (int64_t)json_array_size(json_object_get(summary, "clusters")));
    vx_out_int(out, "clips", members);
    vx_out_number(out, "clips_outside", outside < 0 ? (double)NAN : (double)outside);
    for (size_t i = 0; i < VX_LEN(found); i++)
        write_raw(out, found[i], json_object_get(summary, found[i]));
}

static void write_member(vx_out *out, const vx_cluster_member *m) {
    char id[VX_CLIP_ID_CHARS + 1];
    vx_clip_id_of(m->video_id, m->clip_index, id);
    vx_out_begin(out, NULL, '{');
    vx_out_string(out, "clip_id", id);
    vx_out_string(out, "video_id", m->video_id);
    vx_out_string(out, "filename", m->filename);
    vx_show_seconds(out, "start_s", m->start_s);
    vx_show_seconds(out, "end_s", m->end_s);
    vx_out_number(out, "cluster", m->cluster < 0 ? (double)NAN : m->cluster);
    vx_out_float(out, "score", m->score);
    vx_out_bool(out, "outlier", m->outlier);
    vx_out_begin(out, "point", '[');
    vx_out_float(out, NULL, m->x);
    vx_out_float(out, NULL, m->y);
    vx_out_end(out, ']');
    vx_out_end(out, '}');
}

/* ---- work on a search thread ---- */

typedef struct view {
    vx_request *request;
    int (*make)(struct view *view);
    vx_clustering_row row;
    vx_member_query query;
    vx_out out;
    bool refused;
    int rc;
    vx_err err;
} view;

static void free_view(void *state) {
    view *v = state;
    vx_clustering_row_clear(&v->row);
    vx_out_clear(&v->out);
    free(v);
}

static void run_view(void *ctx) {
    view *v = ctx;
    v->rc = v->make(v);
    vx_request_wake(v->request);
}

static void finish_view(vx_request *request) {
    view *v = request->state;
    if (v->refused)
        vx_reply_problem(request, VX_PROBLEM_BUSY, NULL);
    else if (v->rc)
        vx_reply_failure(request, &v->err);
    else
        vx_reply_json(request, VX_SUCCESS_OK, &v->out);
}

/* The view of the clustering that the path names; NULL after a reply. */
static view *find_view(vx_request *request) {
    view *v = request->state = vx_new(view);
    request->state_free = v ? free_view : NULL;
    request->failed |= !v;
    if (!v)
        return NULL;
    v->request = request;
    int rc = vx_catalog_get_clustering(request->server->catalog, request->args[0], false, &v->row,
                                       &v->err);
    if (rc == VX_CATALOG_NOT_FOUND)
        vx_reply_not_found(request, "clustering", request->args[0]);
    else if (rc)
        vx_reply_failure(request, &v->err);
    return rc ? NULL : v;
}

static void start_view(view *v, int (*make)(view *view)) {
    v->make = make;
    vx_request_wait(v->request, finish_view);
    if (!vx_search_run(v->request->server->search, run_view, v)) {
        v->refused = true;
        vx_request_wake(v->request);
    }
}

/* ---- GET /v1/clusters/{id} ---- */

typedef struct counts {
    int64_t *n, *outliers; /* [k + 1], of cluster -1 at 0 */
    size_t k;
    int64_t all;
} counts;

static int add_count(void *ctx, int32_t cluster, int64_t n, int64_t outliers, vx_err *err) {
    counts *c = ctx;
    size_t at = (size_t)(cluster + 1);
    (void)err;
    c->all += n;
    if (at <= c->k) {
        c->n[at] = n;
        c->outliers[at] = outliers;
    }
    return 0;
}

/* The first members, each of another video where there are such. */
static int write_representatives(view *v, int32_t cluster) {
    const vx_member_query query = {.clustering = v->row.row,
                                   .first_cluster = cluster,
                                   .last_cluster = cluster,
                                   .after_cluster = cluster,
                                   .after_place = -1,
                                   .limit = LOOK_AT};
    vx_cluster_member *members = NULL;
    size_t n = 0, n_shown = 0;
    int rc = vx_catalog_list_members(v->request->server->catalog, &query, &members, &n, &v->err);
    if (rc)
        return rc;
    bool shown[LOOK_AT] = {false};
    vx_out_begin(&v->out, "representatives", '[');
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < n && n_shown < REPRESENTATIVES; i++) {
            bool again = shown[i];
            for (size_t j = 0; j < i && !round && !again; j++)
                again = shown[j] && members[j].video == members[i].video;
            if (again)
                continue;
            shown[i] = true;
            n_shown++;
            write_member(&v->out, &members[i]);
        }
    vx_out_end(&v->out, ']');
    vx_cluster_members_free(members, n);
    return 0;
}

static int write_cluster(view *v, const json_t *cluster, size_t number, const counts *c) {
    char id[VX_CLUSTER_ID_CHARS + 1];
    snprintf(id, sizeof id, "%s.%zu", v->row.id, number);
    vx_out_begin(&v->out, NULL, '{');
    vx_out_int(&v->out, "number", (int64_t)number);
    vx_out_string(&v->out, "id", id);
    vx_out_int(&v->out, "clips", c->n[number + 1]);
    vx_out_int(&v->out, "outliers", c->outliers[number + 1]);
    write_raw(&v->out, "clips_found", json_object_get(cluster, "clips_found"));
    write_raw(&v->out, "mean_score", json_object_get(cluster, "mean_score"));
    write_raw(&v->out, "name", json_object_get(cluster, "name"));
    write_raw(&v->out, "names", json_object_get(cluster, "names"));
    write_raw(&v->out, "before", json_object_get(cluster, "before"));
    int rc = write_representatives(v, (int32_t)number);
    vx_out_end(&v->out, '}');
    return rc;
}

static int make_one(view *v) {
    vx_server *server = v->request->server;
    json_t *request = json_loads(v->row.request, 0, NULL);
    json_t *summary = json_loads(v->row.summary, 0, NULL);
    const json_t *clusters = json_object_get(summary, "clusters");
    counts c = {.k = json_array_size(clusters)};
    c.n = vx_new_array(c.k + 1, sizeof *c.n);
    c.outliers = vx_new_array(c.k + 1, sizeof *c.outliers);
    int rc = c.n && c.outliers
                 ? vx_catalog_count_members(server->catalog, v->row.row, add_count, &c, &v->err)
                 : VX_FAIL(&v->err, -ENOMEM, "no memory for %zu clusters", c.k);
    if (!rc) {
        vx_out_begin(&v->out, NULL, '{');
        write_head(&v->out, server, &v->row, request, summary, c.all);
        vx_out_int(&v->out, "clips_in_none", c.n[0]);
        vx_out_begin(&v->out, "clusters", '[');
        for (size_t i = 0; i < c.k && !rc; i++)
            rc = write_cluster(v, json_array_get(clusters, i), i, &c);
        vx_out_end(&v->out, ']');
        vx_out_end(&v->out, '}');
    }
    free(c.n);
    free(c.outliers);
    json_decref(request);
    json_decref(summary);
    return rc;
}

void vx_clusters_one_get(vx_request *request) {
    view *v = find_view(request);
    if (v)
        start_view(v, make_one);
}

/* ---- GET /v1/clusters/{id}/members ---- */

static int make_members(view *v) {
    vx_cluster_member *members = NULL;
    size_t n = 0, page = v->query.limit;
    v->query.limit++; /* to see whether there is a next page */
    int rc = vx_catalog_list_members(v->request->server->catalog, &v->query, &members, &n, &v->err);
    if (rc)
        return rc;
    vx_out_begin_items(&v->out);
    for (size_t i = 0; i < n && i < page; i++)
        write_member(&v->out, &members[i]);
    char cursor[48];
    if (n > page)
        snprintf(cursor, sizeof cursor, "%d-%lld", members[page - 1].cluster + 1,
                 (long long)members[page - 1].place);
    vx_out_end_items(&v->out, n > page ? cursor : NULL);
    vx_out_end(&v->out, '}');
    vx_cluster_members_free(members, n);
    return 0;
}

/* "<cluster + 1>-<place>" of the last member of the previous page. */
static bool read_cursor(vx_request *request, vx_member_query *query) {
    const char *text = vx_request_value(request, "cursor");
    size_t cluster_digits = text ? strspn(text, "0123456789") : 0;
    const char *place = text ? text + cluster_digits + 1 : NULL;
    if (!text || !*text)
        return true;
    if (cluster_digits && cluster_digits < 10 && text[cluster_digits] == '-' && *place &&
        strlen(place) < 16 && !place[strspn(place, "0123456789")]) {
        query->after_cluster = (int32_t)strtol(text, NULL, 10) - 1;
        query->after_place = strtoll(place, NULL, 10);
        return true;
    }
    vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                     "cursor must be the value of next in the previous page.");
    return false;
}

static bool read_cluster(vx_request *request, vx_member_query *query) {
    const char *text = vx_request_value(request, "cluster");
    int64_t number;
    if (!text)
        return true;
    if (!strcmp(text, "none")) {
        query->last_cluster = -1;
        return true;
    }
    if (!vx_params_int(request, "cluster", 0, INT32_MAX - 1, 0, &number))
        return false;
    query->first_cluster = query->last_cluster = query->after_cluster = (int32_t)number;
    return true;
}

void vx_clusters_members_get(vx_request *request) {
    int64_t limit;
    int outliers;
    vx_member_query query = {
        .first_cluster = -1, .last_cluster = INT32_MAX, .after_cluster = -1, .after_place = -1};
    if (!vx_params_int(request, "limit", 1, MAX_MEMBERS, 100, &limit) ||
        !vx_params_choice(request, "outliers", "false true", 0, &outliers) ||
        !read_cluster(request, &query) || !read_cursor(request, &query))
        return;
    view *v = find_view(request);
    if (!v)
        return;
    query.clustering = v->row.row;
    query.limit = (size_t)limit;
    query.only_outliers = outliers;
    v->query = query;
    start_view(v, make_members);
}

/* ---- GET /v1/clusters ---- */

static int add_all(void *ctx, int32_t cluster, int64_t n, int64_t outliers, vx_err *err) {
    (void)cluster, (void)outliers, (void)err;
    *(int64_t *)ctx += n;
    return 0;
}

static int write_row(vx_out *out, vx_server *server, const vx_clustering_row *row, vx_err *err) {
    int64_t members = 0;
    int rc = vx_catalog_count_members(server->catalog, row->row, add_all, &members, err);
    if (rc)
        return rc;
    json_t *request = json_loads(row->request, 0, NULL);
    json_t *summary = json_loads(row->summary, 0, NULL);
    vx_out_begin(out, NULL, '{');
    write_head(out, server, row, request, summary, members);
    vx_out_end(out, '}');
    json_decref(request);
    json_decref(summary);
    return 0;
}

static int make_list(view *v) {
    vx_server *server = v->request->server;
    vx_clustering_row *rows = NULL;
    size_t n = 0, page = v->query.limit;
    int rc = vx_catalog_list_clusterings(server->catalog, v->query.clustering, 0, page + 1, false,
                                         &rows, &n, &v->err);
    vx_out_begin_items(&v->out);
    for (size_t i = 0; i < n && i < page && !rc; i++)
        rc = write_row(&v->out, server, &rows[i], &v->err);
    char cursor[24];
    if (n > page)
        snprintf(cursor, sizeof cursor, "r%llx", (unsigned long long)rows[page - 1].row);
    vx_out_end_items(&v->out, n > page ? cursor : NULL);
    vx_out_end(&v->out, '}');
    for (size_t i = 0; i < n; i++)
        vx_clustering_row_clear(&rows[i]);
    free(rows);
    return rc;
}

void vx_clusters_list_get(vx_request *request) {
    const char *cursor = vx_request_value(request, "cursor");
    int64_t limit, before = 0;
    if (!vx_params_int(request, "limit", 1, MAX_LIST, 20, &limit))
        return;
    if (cursor && *cursor) {
        size_t n = strlen(cursor);
        if (cursor[0] == 'r' && n >= 2 && n <= 9 && strspn(cursor + 1, "0123456789abcdef") == n - 1)
            before = strtoll(cursor + 1, NULL, 16);
        if (before <= 0) {
            vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                             "cursor must be the value of next in the previous page.");
            return;
        }
    }
    view *v = request->state = vx_new(view);
    request->state_free = v ? free_view : NULL;
    request->failed |= !v;
    if (!v)
        return;
    v->request = request;
    v->query.clustering = before;
    v->query.limit = (size_t)limit;
    start_view(v, make_list);
}

/* ---- GET /v1/videos/{id}/clusters ---- */

/* The clusters of one clustering in "c1.3,c1.none,c2.0": true if the video is in it at all. */
static bool write_clusters(vx_out *out, const char *id, const char *clusters) {
    size_t n_id = strlen(id);
    bool in = false;
    vx_out_begin(out, "clusters", '[');
    for (const char *at = clusters; at && *at;) {
        size_t n = strcspn(at, ",");
        if (n > n_id && !strncmp(at, id, n_id) && at[n_id] == '.') {
            in = true;
            if (at[n_id + 1] != 'n')
                vx_out_int(out, NULL, strtoll(at + n_id + 1, NULL, 10));
        }
        at += n + (at[n] != '\0');
    }
    vx_out_end(out, ']');
    return in;
}

void vx_videos_clusters_get(vx_request *request) {
    VX_AUTO(vx_video) video = vx_videos_find(request);
    VX_AUTO(vx_video) alone = NULL;
    vx_catalog *catalog = request->server->catalog;
    vx_clustering_row *rows = NULL;
    size_t n = 0;
    vx_err err;
    if (!video)
        return;
    int rc = vx_catalog_get_video_alone(catalog, video->row, &alone, &err);
    if (!rc)
        rc = vx_catalog_list_clusterings(catalog, 0, 0, MAX_LIST, true, &rows, &n, &err);
    VX_AUTO_OUT out = {0};
    vx_out_begin_items(&out);
    for (size_t i = 0; i < n; i++) {
        vx_out_begin(&out, NULL, '{');
        vx_out_string(&out, "clustering_id", rows[i].id);
        vx_show_time(&out, "created_at", rows[i].created_us);
        bool in = write_clusters(&out, rows[i].id, alone->clusters);
        vx_out_bool(&out, "in", in);
        vx_out_end(&out, '}');
        vx_clustering_row_clear(&rows[i]);
    }
    free(rows);
    vx_out_end_items(&out, NULL);
    vx_out_end(&out, '}');
    if (rc == VX_CATALOG_NOT_FOUND)
        vx_reply_not_found(request, "video", request->args[0]);
    else if (rc)
        vx_reply_failure(request, &err);
    else
        vx_reply_json(request, VX_SUCCESS_OK, &out);
}
