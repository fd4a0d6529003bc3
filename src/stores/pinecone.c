/* pinecone.c — Pinecone's data plane by REST. The URL names the host of an index, which is made in
 * Pinecone's console, and a namespace. Ids are the clips' ids. Metadata is flat there (export/point.h). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "rest.h"

enum { PAGE = 100 };

static int open_pinecone(vx_outside **ret_outside, vx_err *err) {
    return vx_rest_open("Api-Key: %s", "X-Pinecone-API-Version: 2025-01", ret_outside, err);
}

static int call(vx_outside *outside, const char *method, const char *path, vx_string *body,
                json_t **ret_answer, vx_err *err) {
    long status;
    json_t *answer;
    int rc = vx_rest_call(outside, method, path, body, &status, &answer, err);
    if (rc)
        return rc;
    char what[48];
    snprintf(what, sizeof what, "answers %ld", status);
    if (status >= 400) {
        rc = vx_outside_fail(outside, status == 404 ? VX_OUTSIDE_UNFIT : VX_OUTSIDE_REFUSED, what,
                             json_string_value(json_object_get(answer, "message")), err);
    } else if (ret_answer) {
        *ret_answer = json_incref(answer);
    }
    json_decref(answer);
    return rc;
}

static int ensure(vx_outside *outside, vx_err *err) {
    VX_AUTO_STRING body = {0};
    json_t *stats = NULL;
    strcpy(outside->version, "Pinecone, API 2025-01");
    vx_string_add(&body, "{}");
    int rc = call(outside, "POST", "/describe_index_stats", &body, &stats, err);
    if (rc)
        return rc;
    int dim = (int)json_integer_value(json_object_get(stats, "dimension"));
    json_decref(stats);
    char text[96];
    snprintf(text, sizeof text, "its vectors have %d dimensions, those of the model %d", dim,
             outside->dim);
    return dim == outside->dim
               ? 0
               : vx_outside_fail(outside, VX_OUTSIDE_UNFIT, "has this index", text, err);
}

static int upsert(vx_outside *outside, const vx_point *points, size_t n, vx_err *err) {
    VX_AUTO_STRING body = {0};
    vx_string_add(&body, "{\"namespace\":\"%s\",\"vectors\":[", outside->url.collection);
    for (size_t i = 0; i < n; i++) {
        const vx_point *point = &points[i];
        vx_string_add(&body, "%s{\"id\":\"%s\",\"values\":", i ? "," : "", point->id);
        vx_string_vector(&body, point->vector, outside->dim);
        vx_string_add(&body, ",\"metadata\":");
        vx_point_add_pinecone(&body, point);
        vx_string_add(&body, "}");
    }
    vx_string_add(&body, "]}");
    return call(outside, "POST", "/vectors/upsert", &body, NULL, err);
}

static int remove_points(vx_outside *outside, const char (*ids)[VX_CLIP_ID_CHARS + 1], size_t n,
                         vx_err *err) {
    VX_AUTO_STRING body = {0};
    vx_string_add(&body, "{\"namespace\":\"%s\",\"ids\":[", outside->url.collection);
    for (size_t i = 0; i < n; i++)
        vx_string_add(&body, "%s\"%s\"", i ? "," : "", ids[i]);
    vx_string_add(&body, "]}");
    return call(outside, "POST", "/vectors/delete", &body, NULL, err);
}

/* ---- listing: pages of ids, and then their metadata ---- */

static void add_escaped(vx_string *path, const char *text) {
    for (; *text; text++)
        vx_string_add(path, "%%%02X", (unsigned char)*text);
}

static int tell_digests(const json_t *vectors, const json_t *ids, vx_outside_on_point on_point,
                        void *ctx, vx_err *err) {
    size_t i;
    json_t *item;
    int rc = 0;
    json_array_foreach(ids, i, item) {
        const char *id = json_string_value(json_object_get(item, "id"));
        const json_t *metadata =
            json_object_get(json_object_get(vectors, id ? id : ""), "metadata");
        const char *digest = json_string_value(json_object_get(metadata, "digest"));
        if (!rc)
            rc = on_point(ctx, id ? id : "", digest ? digest : "", err);
    }
    return rc;
}

static int list_page(vx_outside *outside, char *token, size_t token_bytes,
                     vx_outside_on_point on_point, void *ctx, vx_err *err) {
    VX_AUTO_STRING path = {0}, fetch = {0};
    json_t *page = NULL, *fetched = NULL, *item;
    vx_string_add(&path, "/vectors/list?limit=%d&namespace=%s", PAGE, outside->url.collection);
    if (*token) {
        vx_string_add(&path, "&paginationToken=");
        add_escaped(&path, token);
    }
    if (path.failed)
        return VX_FAIL(err, -ENOMEM, "no memory for a request");
    int rc = call(outside, "GET", path.text, NULL, &page, err);
    const json_t *ids = json_object_get(page, "vectors");
    vx_string_add(&fetch, "/vectors/fetch?namespace=%s", outside->url.collection);
    size_t i;
    json_array_foreach(ids, i, item) {
        const char *id = json_string_value(json_object_get(item, "id"));
        vx_string_add(&fetch, "&ids=");
        add_escaped(&fetch, id && strlen(id) <= 512 ? id : "");
    }
    if (!rc && fetch.failed)
        rc = VX_FAIL(err, -ENOMEM, "no memory for a request");
    if (!rc && json_array_size(ids) > PAGE)
        rc = vx_outside_fail(outside, VX_OUTSIDE_AWAY, "lists its vectors", "in too long a page",
                             err);
    if (!rc && json_array_size(ids))
        rc = call(outside, "GET", fetch.text, NULL, &fetched, err);
    if (!rc)
        rc = tell_digests(json_object_get(fetched, "vectors"), ids, on_point, ctx, err);
    const char *next =
        json_string_value(json_object_get(json_object_get(page, "pagination"), "next"));
    if (!rc && next && (strlen(next) >= token_bytes || !strcmp(next, token)))
        rc = vx_outside_fail(outside, VX_OUTSIDE_AWAY, "lists its vectors",
                             "with a token that leads nowhere", err);
    snprintf(token, token_bytes, "%s", next && !rc ? next : "");
    json_decref(page);
    json_decref(fetched);
    return rc;
}

static int list(vx_outside *outside, vx_outside_on_point on_point, void *ctx, vx_err *err) {
    char token[2048] = "";
    int rc = list_page(outside, token, sizeof token, on_point, ctx, err);
    while (!rc && *token)
        rc = list_page(outside, token, sizeof token, on_point, ctx, err);
    return rc;
}

const vx_outside_kind vx_outside_pinecone = {
    .name = "pinecone",
    .max_points = 100, /* a request has 2 MB */
    .max_metadata = VX_POINT_PINECONE_METADATA,
    .open = open_pinecone,
    .ensure = ensure,
    .upsert = upsert,
    .remove = remove_points,
    .list = list,
    .close = vx_rest_close,
};
