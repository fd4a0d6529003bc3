/* qdrant.c — Qdrant by its REST API. Its ids are numbers or UUIDs: a clip's UUID is the 96 bits of the
 * video's id and the clip's index, so that each leads to the other; the payload has the clip's id too. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "rest.h"

enum { PAGE = 1000 };

static int open_qdrant(vx_outside **ret_outside, vx_err *err) {
    return vx_rest_open("api-key: %s", NULL, ret_outside, err);
}

static int call(vx_outside *outside, const char *method, const char *tail, vx_string *body,
                long *ret_status, json_t **ret_result, vx_err *err) {
    VX_AUTO_STRING path = {0};
    long status;
    json_t *answer;
    vx_string_add(&path, "/collections/%s%s", outside->url.collection, tail);
    int rc = path.failed ? VX_FAIL(err, -ENOMEM, "no memory for a request")
                         : vx_rest_call(outside, method, path.text, body, &status, &answer, err);
    if (rc)
        return rc;
    if (ret_status)
        *ret_status = status;
    char what[48];
    snprintf(what, sizeof what, "answers %ld", status);
    if (status >= 400 && !(ret_status && status == 404)) {
        const json_t *error = json_object_get(json_object_get(answer, "status"), "error");
        rc = vx_outside_fail(outside, status == 404 ? VX_OUTSIDE_AWAY : VX_OUTSIDE_REFUSED, what,
                             json_string_value(error), err);
    } else if (ret_result) {
        *ret_result = json_incref(json_object_get(answer, "result"));
    }
    json_decref(answer);
    return rc;
}

static int create(vx_outside *outside, vx_err *err) {
    VX_AUTO_STRING body = {0};
    vx_string_add(&body, "{\"vectors\":{\"size\":%d,\"distance\":\"Dot\"}}", outside->dim);
    return call(outside, "PUT", "", &body, NULL, NULL, err);
}

static int ensure(vx_outside *outside, vx_err *err) {
    long status;
    json_t *result = NULL;
    strcpy(outside->version, "Qdrant");
    int rc = call(outside, "GET", "", NULL, &status, &result, err);
    if (rc)
        return rc;
    if (status == 404) {
        json_decref(result);
        return create(outside, err);
    }
    json_int_t size = 0;
    json_unpack(result, "{s:{s:{s:{s:I}}}}", "config", "params", "vectors", "size", &size);
    json_decref(result);
    char text[96];
    snprintf(text, sizeof text,
             size ? "its vectors have %d dimensions, those of the model %d"
                  : "its vectors have names; one unnamed vector is wanted",
             (int)size, outside->dim);
    return size == outside->dim ? 0
                                : vx_outside_fail(outside, VX_OUTSIDE_UNFIT,
                                                  "has a collection of that name", text, err);
}

/* "v0123…(24 digits).5" is 01234567-89ab-cdef-0123-456700000005. */
static void add_uuid(vx_string *body, const char *id) {
    const char *hex = id + 1;
    unsigned index = (unsigned)strtoul(id + VX_VIDEO_ID_CHARS + 1, NULL, 10);
    vx_string_add(body, "\"%.8s-%.4s-%.4s-%.4s-%.4s%08x\"", hex, hex + 8, hex + 12, hex + 16,
                  hex + 20, index);
}

static int upsert(vx_outside *outside, const vx_point *points, size_t n, vx_err *err) {
    VX_AUTO_STRING body = {0};
    vx_string_add(&body, "{\"points\":[");
    for (size_t i = 0; i < n; i++) {
        const vx_point *point = &points[i];
        vx_string_add(&body, "%s{\"id\":", i ? "," : "");
        add_uuid(&body, point->id);
        vx_string_add(&body,
                      ",\"payload\":{\"id\":\"%s\",\"video\":\"%s\",\"clip\":%d,\"start_s\":",
                      point->id, point->video, point->clip);
        vx_string_double(&body, point->start_s);
        vx_string_add(&body, ",\"end_s\":");
        vx_string_double(&body, point->end_s);
        vx_string_add(&body, ",\"filename\":");
        vx_string_json(&body, point->filename);
        vx_string_add(&body, ",\"metadata\":%s,\"digest\":\"%s\"},\"vector\":", point->metadata,
                      point->digest);
        vx_string_vector(&body, point->vector, outside->dim);
        vx_string_add(&body, "}");
    }
    vx_string_add(&body, "]}");
    return call(outside, "PUT", "/points?wait=true", &body, NULL, NULL, err);
}

static int remove_points(vx_outside *outside, const char (*ids)[VX_CLIP_ID_CHARS + 1], size_t n,
                         vx_err *err) {
    VX_AUTO_STRING body = {0};
    vx_string_add(&body, "{\"points\":[");
    for (size_t i = 0; i < n; i++) {
        vx_string_add(&body, "%s", i ? "," : "");
        add_uuid(&body, ids[i]);
    }
    vx_string_add(&body, "]}");
    return call(outside, "POST", "/points/delete?wait=true", &body, NULL, NULL, err);
}

/* offset: where this page begins, as JSON; becomes that of the next one, NULL at the end. */
static int list_page(vx_outside *outside, json_t **offset, vx_outside_on_point on_point, void *ctx,
                     vx_err *err) {
    VX_AUTO_STRING body = {0};
    json_t *result = NULL, *point;
    char *from = *offset ? json_dumps(*offset, JSON_ENCODE_ANY) : NULL;
    vx_string_add(&body, "{\"limit\":%d,\"with_vector\":false,\"with_payload\":[\"id\",\"digest\"]",
                  PAGE);
    if (from)
        vx_string_add(&body, ",\"offset\":%s", from);
    vx_string_add(&body, "}");
    free(from);
    int rc = call(outside, "POST", "/points/scroll", &body, NULL, &result, err);
    size_t i;
    const json_t *points = json_object_get(result, "points");
    json_array_foreach(points, i, point) {
        const json_t *payload = json_object_get(point, "payload");
        const char *id = json_string_value(json_object_get(payload, "id"));
        const char *digest = json_string_value(json_object_get(payload, "digest"));
        if (!rc)
            rc = on_point(ctx, id ? id : "", digest ? digest : "", err);
    }
    json_t *next = json_object_get(result, "next_page_offset");
    bool more = !rc && (json_is_string(next) || json_is_integer(next));
    if (more && *offset && json_equal(next, *offset))
        rc = vx_outside_fail(outside, VX_OUTSIDE_AWAY, "lists its points", "in a circle", err);
    json_decref(*offset);
    *offset = more && !rc ? json_incref(next) : NULL;
    json_decref(result);
    return rc;
}

static int list(vx_outside *outside, vx_outside_on_point on_point, void *ctx, vx_err *err) {
    json_t *offset = NULL;
    int rc = list_page(outside, &offset, on_point, ctx, err);
    while (!rc && offset)
        rc = list_page(outside, &offset, on_point, ctx, err);
    return rc;
}

const vx_outside_kind vx_outside_qdrant = {
    .name = "qdrant",
    .max_points = 500,
    .max_metadata = 1 << 20,
    .open = open_qdrant,
    .ensure = ensure,
    .upsert = upsert,
    .remove = remove_points,
    .list = list,
    .close = vx_rest_close,
};
