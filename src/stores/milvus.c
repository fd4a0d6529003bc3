/* milvus.c — Milvus by its REST API: v2 where the server has it (2.4 on), else v1.
 *
 *       collection                                              sending again replaces, because
 * v2    id VarChar (the clip's id), vector, dynamic fields      upsert
 * v1    id Int64 that the server gives, vector, dynamic fields  delete by clip_id, then insert
 *
 * v1 can only make collections with ids of the server's. Killed between its two requests, the clips are sent
 * again, for the place in the changes has not moved. A delete by a filter sees all that was acknowledged. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "rest.h"

enum { PAGE = 1000, STALE_US = 6000000 };

static int open_milvus(vx_outside **ret_outside, vx_err *err) {
    return vx_rest_open("Authorization: Bearer %s", NULL, ret_outside, err);
}

/* ---- answers: {"code":…,"message":…,"data":…}, nearly always with the status 200 ---- */

enum { NO_COLLECTION = 100 };

static int judge_code(const vx_outside *outside, json_int_t code, const char *message,
                      vx_err *err) {
    char what[48];
    if (code == 0 || code == 200)
        return 0;
    snprintf(what, sizeof what, "answers code %" JSON_INTEGER_FORMAT, code);
    bool data = code == 1100 || (code >= 1802 && code < 1900);
    bool person = code == 1800 || code == 1801 || code == NO_COLLECTION;
    return vx_outside_fail(outside,
                           data     ? VX_OUTSIDE_REFUSED
                           : person ? VX_OUTSIDE_UNFIT
                                    : VX_OUTSIDE_AWAY,
                           what, message, err);
}

/* ret_data: NULL, or gives the member `data`. ret_code: NULL, or gets a code that is no success. */
static int call(vx_outside *outside, const char *method, const char *path, vx_string *body,
                json_t **ret_data, json_int_t *ret_code, vx_err *err) {
    long status;
    json_t *answer;
    int rc = vx_rest_call(outside, method, path, body, &status, &answer, err);
    if (rc)
        return rc;
    json_int_t code = json_integer_value(json_object_get(answer, "code"));
    const char *message = json_string_value(json_object_get(answer, "message"));
    if (status >= 400 && (code == 0 || code == 200))
        code = status;
    if (ret_code)
        *ret_code = code;
    rc = ret_code && code == NO_COLLECTION ? 0 : judge_code(outside, code, message, err);
    if (!rc && ret_data)
        *ret_data = json_incref(json_object_get(answer, "data"));
    json_decref(answer);
    return rc;
}

/* ---- the collection ---- */

/* v1 writes "FloatVector(256)", v2 {"type":"FloatVector","params":[{"key":"dim","value":"256"}]}. */
static int dim_of(const json_t *field) {
    const char *type = json_string_value(json_object_get(field, "type"));
    int dim = 0;
    if (!type || strncmp(type, "FloatVector", 11) != 0)
        return 0;
    if (sscanf(type, "FloatVector(%d)", &dim) == 1)
        return dim;
    size_t i;
    json_t *param;
    json_array_foreach(json_object_get(field, "params"), i, param) {
        const char *key = json_string_value(json_object_get(param, "key"));
        const json_t *value = json_object_get(param, "value");
        if (key && !strcmp(key, "dim"))
            dim = json_is_integer(value)  ? (int)json_integer_value(value)
                  : json_is_string(value) ? atoi(json_string_value(value))
                                          : 0;
    }
    return dim;
}

static int check_schema(vx_outside *outside, const json_t *data, vx_err *err) {
    bool v1 = vx_rest_of(outside)->version == 1;
    bool has_id = false;
    int dim = 0;
    size_t i;
    json_t *field;
    json_array_foreach(json_object_get(data, "fields"), i, field) {
        const char *name = json_string_value(json_object_get(field, "name"));
        const char *type = json_string_value(json_object_get(field, "type"));
        bool auto_id = json_is_true(json_object_get(field, "autoId"));
        if (name && !strcmp(name, "id"))
            has_id = type && !strcmp(type, v1 ? "Int64" : "VarChar") && auto_id == v1;
        if (name && !strcmp(name, "vector"))
            dim = dim_of(field);
    }
    if (!has_id || !dim)
        return vx_outside_fail(outside, VX_OUTSIDE_UNFIT, "has a collection of that name",
                               "its schema is another one; name a collection that does not exist",
                               err);
    if (dim != outside->dim) {
        char text[96];
        snprintf(text, sizeof text, "its vectors have %d dimensions, those of the model %d", dim,
                 outside->dim);
        return vx_outside_fail(outside, VX_OUTSIDE_UNFIT, "has a collection of that name", text,
                               err);
    }
    return 0;
}

static int create(vx_outside *outside, vx_err *err) {
    VX_AUTO_STRING body = {0};
    const char *name = outside->url.collection;
    if (vx_rest_of(outside)->version == 1) {
        vx_string_add(&body,
                      "{\"collectionName\":\"%s\",\"dimension\":%d,\"metricType\":\"IP\","
                      "\"primaryField\":\"id\",\"vectorField\":\"vector\"}",
                      name, outside->dim);
        return call(outside, "POST", "/v1/vector/collections/create", &body, NULL, NULL, err);
    }
    vx_string_add(&body,
                  "{\"collectionName\":\"%s\",\"schema\":{\"autoId\":false,"
                  "\"enableDynamicField\":true,\"fields\":[{\"fieldName\":\"id\","
                  "\"dataType\":\"VarChar\",\"isPrimary\":true,"
                  "\"elementTypeParams\":{\"max_length\":\"64\"}},{\"fieldName\":\"vector\","
                  "\"dataType\":\"FloatVector\",\"elementTypeParams\":{\"dim\":\"%d\"}}]},"
                  "\"indexParams\":[{\"fieldName\":\"vector\",\"indexName\":\"vector\","
                  "\"metricType\":\"IP\",\"params\":{\"index_type\":\"AUTOINDEX\"}}]}",
                  name, outside->dim);
    return call(outside, "POST", "/v2/vectordb/collections/create", &body, NULL, NULL, err);
}

static int describe(vx_outside *outside, json_t **ret_data, json_int_t *ret_code, vx_err *err) {
    VX_AUTO_STRING body = {0}, path = {0};
    if (vx_rest_of(outside)->version != 1) {
        vx_string_add(&body, "{\"collectionName\":\"%s\"}", outside->url.collection);
        return call(outside, "POST", "/v2/vectordb/collections/describe", &body, ret_data, ret_code,
                    err);
    }
    vx_string_add(&path, "/v1/vector/collections/describe?collectionName=%s",
                  outside->url.collection);
    return path.failed ? VX_FAIL(err, -ENOMEM, "no memory for a request")
                       : call(outside, "GET", path.text, NULL, ret_data, ret_code, err);
}

static int find_version(vx_outside *outside, vx_err *err) {
    vx_rest *rest = vx_rest_of(outside);
    VX_AUTO_STRING body = {0};
    long status;
    json_t *answer;
    vx_string_add(&body, "{}");
    int rc = vx_rest_call(outside, "POST", "/v2/vectordb/collections/list", &body, &status, &answer,
                          err);
    if (rc)
        return rc;
    rest->version = status == 404 ? 1 : 2;
    snprintf(outside->version, sizeof outside->version, "Milvus, REST v%d", rest->version);
    json_decref(answer);
    return 0;
}

static int ensure(vx_outside *outside, vx_err *err) {
    json_t *data = NULL;
    json_int_t code = 0;
    int rc = find_version(outside, err);
    if (!rc)
        rc = describe(outside, &data, &code, err);
    if (!rc && code == NO_COLLECTION)
        rc = create(outside, err);
    else if (!rc)
        rc = check_schema(outside, data, err);
    json_decref(data);
    return rc;
}

/* ---- points ---- */

static const char *key_of(vx_outside *outside) {
    return vx_rest_of(outside)->version == 1 ? "clip_id" : "id";
}

static const char *path_of(vx_outside *outside, const char *v1, const char *v2) {
    return vx_rest_of(outside)->version == 1 ? v1 : v2;
}

/* Clip ids are of letters, digits and a dot. */
static void begin_filter(vx_string *body, vx_outside *outside) {
    vx_string_add(body, "{\"collectionName\":\"%s\",\"filter\":\"%s in [", outside->url.collection,
                  key_of(outside));
}

static int send_delete(vx_outside *outside, vx_string *body, vx_err *err) {
    vx_string_add(body, "]\"}");
    return call(outside, "POST",
                path_of(outside, "/v1/vector/delete", "/v2/vectordb/entities/delete"), body, NULL,
                NULL, err);
}

static int remove_points(vx_outside *outside, const char (*ids)[VX_CLIP_ID_CHARS + 1], size_t n,
                         vx_err *err) {
    VX_AUTO_STRING body = {0};
    begin_filter(&body, outside);
    for (size_t i = 0; i < n; i++)
        vx_string_add(&body, "%s'%s'", i ? "," : "", ids[i]);
    return send_delete(outside, &body, err);
}

static void add_point(vx_string *body, vx_outside *outside, const vx_point *point) {
    vx_string_add(body, "{\"%s\":\"%s\",\"video\":\"%s\",\"clip\":%d,\"start_s\":", key_of(outside),
                  point->id, point->video, point->clip);
    vx_string_double(body, point->start_s);
    vx_string_add(body, ",\"end_s\":");
    vx_string_double(body, point->end_s);
    vx_string_add(body, ",\"filename\":");
    vx_string_json(body, point->filename);
    vx_string_add(body, ",\"metadata\":%s,\"digest\":\"%s\",\"vector\":", point->metadata,
                  point->digest);
    vx_string_vector(body, point->vector, outside->dim);
    vx_string_add(body, "}");
}

static int upsert(vx_outside *outside, const vx_point *points, size_t n, vx_err *err) {
    VX_AUTO_STRING body = {0};
    int rc = 0;
    if (vx_rest_of(outside)->version == 1) {
        begin_filter(&body, outside);
        for (size_t i = 0; i < n; i++)
            vx_string_add(&body, "%s'%s'", i ? "," : "", points[i].id);
        rc = send_delete(outside, &body, err);
    }
    if (rc)
        return rc;
    vx_string_add(&body, "{\"collectionName\":\"%s\",\"data\":[", outside->url.collection);
    for (size_t i = 0; i < n; i++) {
        vx_string_add(&body, "%s", i ? "," : "");
        add_point(&body, outside, &points[i]);
    }
    vx_string_add(&body, "]}");
    return call(outside, "POST",
                path_of(outside, "/v1/vector/insert", "/v2/vectordb/entities/upsert"), &body, NULL,
                NULL, err);
}

/* Pages by rising id: a query answers in that order. last: the id of the page before, which moves. */
static int list_page(vx_outside *outside, char last[80], size_t *ret_n,
                     vx_outside_on_point on_point, void *ctx, vx_err *err) {
    bool v1 = vx_rest_of(outside)->version == 1;
    VX_AUTO_STRING body = {0};
    json_t *data = NULL;
    vx_string_add(&body,
                  "{\"collectionName\":\"%s\",\"filter\":\"id > %s%s%s\",\"limit\":%d,"
                  "\"outputFields\":[\"id\",%s\"digest\"]%s}",
                  outside->url.collection, v1 ? "" : "'", last, v1 ? "" : "'", PAGE,
                  v1 ? "\"clip_id\"," : "", v1 ? "" : ",\"consistencyLevel\":\"Strong\"");
    int rc =
        call(outside, "POST", path_of(outside, "/v1/vector/query", "/v2/vectordb/entities/query"),
             &body, &data, NULL, err);
    *ret_n = json_array_size(data);
    for (size_t i = 0; i < *ret_n && !rc; i++) {
        const json_t *row = json_array_get(data, i);
        const char *id = json_string_value(json_object_get(row, "id"));
        const char *clip = json_string_value(json_object_get(row, key_of(outside)));
        const char *digest = json_string_value(json_object_get(row, "digest"));
        bool later = id && strlen(id) < 80 && !strpbrk(id, "'\"\\") &&
                     (v1 ? strtoll(id, NULL, 10) > strtoll(last, NULL, 10) : strcmp(id, last) > 0);
        if (!later) {
            rc = vx_outside_fail(outside, VX_OUTSIDE_AWAY, "lists its entities",
                                 "not in order of their ids", err);
            break;
        }
        snprintf(last, 80, "%s", id);
        rc = on_point(ctx, clip ? clip : "", digest ? digest : "", err);
    }
    json_decref(data);
    return rc;
}

/* Queries answer as of some seconds ago (bounded staleness: common.gracefulTime, 5 s by default). A list
 * must show all that was acknowledged before it, or a point that is to be deleted could hide. */
static int let_queries_catch_up(vx_outside *outside, vx_err *err) {
    const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
    int64_t until_us = vx_clock_monotonic_us() + STALE_US;
    while (vx_clock_monotonic_us() < until_us) {
        if (outside->cancelled && outside->cancelled(outside->ctx))
            return VX_FAIL(err, VX_OUTSIDE_AWAY, "cancelled");
        nanosleep(&pause, NULL);
    }
    return 0;
}

static int list_points(vx_outside *outside, vx_outside_on_point on_point, void *ctx, vx_err *err) {
    char last[80] = "";
    if (vx_rest_of(outside)->version == 1)
        strcpy(last, "-1");
    size_t n = PAGE;
    int rc = let_queries_catch_up(outside, err);
    while (n == PAGE && !rc)
        rc = list_page(outside, last, &n, on_point, ctx, err);
    return rc;
}

/* ---- searching ---- */

static int attach(vx_outside *outside, vx_err *err) {
    json_t *data = NULL;
    int rc = find_version(outside, err);
    if (!rc)
        rc = describe(outside, &data, NULL, err);
    if (!rc)
        rc = check_schema(outside, data, err);
    json_decref(data);
    return rc;
}

/* What is not of ours is no hit. */
static int tell_hit(vx_outside *outside, const json_t *row, vx_remote_on_hit on_hit, void *ctx,
                    vx_err *err) {
    const json_t *metadata = json_object_get(row, "metadata");
    const char *clip = json_string_value(json_object_get(row, key_of(outside)));
    const char *filename = json_string_value(json_object_get(row, "filename"));
    double score = json_number_value(json_object_get(row, "distance"));
    char video[VX_VIDEO_ID_CHARS + 1];
    if (!clip || !vx_outside_is_clip_id(clip) || !isfinite(score))
        return 0;
    snprintf(video, sizeof video, "%.*s", VX_VIDEO_ID_CHARS, clip);
    VX_AUTO_FREE char *text = json_is_object(metadata)
                                  ? json_dumps(metadata, JSON_COMPACT | JSON_REAL_PRECISION(17))
                                  : NULL;
    vx_remote_hit hit = {.video = video,
                         .clip = clip,
                         .start_s = json_number_value(json_object_get(row, "start_s")),
                         .end_s = json_number_value(json_object_get(row, "end_s")),
                         .score = (float)score,
                         .filename = filename ? filename : "",
                         .metadata = text ? text : "{}"};
    return on_hit(ctx, &hit, err);
}

static int search(vx_outside *outside, const float *vector, size_t k, vx_remote_on_hit on_hit,
                  void *ctx, vx_err *err) {
    bool v1 = vx_rest_of(outside)->version == 1;
    VX_AUTO_STRING body = {0};
    json_t *data = NULL, *row;
    vx_string_add(&body,
                  "{\"collectionName\":\"%s\",\"limit\":%zu,\"outputFields\":[\"%s\","
                  "\"start_s\",\"end_s\",\"filename\",\"metadata\"],",
                  outside->url.collection, k, key_of(outside));
    vx_string_add(&body,
                  v1 ? "\"vector\":"
                     : "\"annsField\":\"vector\",\"consistencyLevel\":\"Bounded\",\"data\":[");
    vx_string_vector(&body, vector, outside->dim);
    vx_string_add(&body, v1 ? "}" : "]}");
    int rc =
        call(outside, "POST", path_of(outside, "/v1/vector/search", "/v2/vectordb/entities/search"),
             &body, &data, NULL, err);
    size_t i;
    json_array_foreach(data, i, row) if (!rc && i < k) rc =
        tell_hit(outside, row, on_hit, ctx, err);
    json_decref(data);
    return rc;
}

const vx_outside_kind vx_outside_milvus = {
    .name = "milvus",
    .max_points = 500,
    .max_metadata = 48 << 10, /* a dynamic field has 64 KiB for all */
    .open = open_milvus,
    .ensure = ensure,
    .upsert = upsert,
    .remove = remove_points,
    .list = list_points,
    .close = vx_rest_close,
    .consistency = "bounded",
    .attach = attach,
    .search = search,
};
