/* rest.c — requests to stores, and answers that are read as those of a stranger: capped, parsed to the end,
 * looked at field by field. */
#include "rest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MAX_ANSWER_BYTES = 32 << 20, TIMEOUT_S = 120 };

vx_rest *vx_rest_of(vx_outside *outside) {
    return VX_CONTAINER_OF(outside, vx_rest, outside);
}

int vx_rest_open(const char *key_header, const char *other_header, vx_outside **ret_outside,
                 vx_err *err) {
    vx_rest *rest = vx_new(vx_rest);
    if (!rest)
        return VX_FAIL(err, -ENOMEM, "no memory for a store");
    rest->key_header = key_header;
    rest->other_header = other_header;
    *ret_outside = &rest->outside;
    return 0;
}

void vx_rest_close(vx_outside *outside) {
    vx_rest *rest = vx_rest_of(outside);
    vx_service_free(rest->service);
    free(rest);
}

static int connect_to(vx_rest *rest, vx_err *err) {
    const vx_outside_url *url = &rest->outside.url;
    VX_AUTO_STRING base = {0}, header = {0};
    vx_string_add(&base, "%s://%s:%s", url->plain ? "http" : "https", url->host, url->port);
    const char *mark = strstr(rest->key_header, "%s");
    if (rest->outside.key)
        vx_string_add(&header, "%.*s%s", (int)(mark - rest->key_header), rest->key_header,
                      rest->outside.key);
    if (base.failed || header.failed)
        return VX_FAIL(err, -ENOMEM, "no memory for a connection");
    vx_service_params params = {.base = base.text,
                                .headers = {header.text ? header.text : rest->other_header,
                                            header.text ? rest->other_header : NULL},
                                .max_answer_bytes = MAX_ANSWER_BYTES,
                                .timeout_s = TIMEOUT_S,
                                .ca_path = rest->outside.access.ca_path};
    return vx_service_new(&params, &rest->service, err);
}

static int judge_status(const vx_outside *outside, const vx_service_answer *answer, vx_err *err) {
    char what[64];
    snprintf(what, sizeof what, "answers %ld", answer->status);
    if (answer->status >= 500 || answer->status == 408 || answer->status == 425 ||
        answer->status == 429)
        return vx_outside_fail(outside, VX_OUTSIDE_AWAY, what, answer->body, err);
    if (answer->status == 401 || answer->status == 403)
        return vx_outside_fail(outside, VX_OUTSIDE_UNFIT, what,
                               outside->key ? "the credential is not accepted"
                                            : "it wants a credential: see --store-keys",
                               err);
    if (answer->status >= 300 && answer->status < 400)
        return vx_outside_fail(outside, VX_OUTSIDE_UNFIT, what,
                               "redirects are not followed; name the address that it leads to",
                               err);
    return 0;
}

int vx_rest_call(vx_outside *outside, const char *method, const char *path, vx_string *body,
                 long *ret_status, json_t **ret_answer, vx_err *err) {
    vx_rest *rest = vx_rest_of(outside);
    vx_service_answer answer;
    int rc = body && body->failed ? VX_FAIL(err, -ENOMEM, "no memory for a request") : 0;
    if (!rc && !rest->service)
        rc = connect_to(rest, err);
    if (!rc)
        rc = vx_service_send(rest->service, method, path, body ? body->text : NULL,
                             body ? body->n : 0, outside->cancelled, outside->ctx, &answer, err);
    if (body)
        vx_string_clear(body);
    if (rc == VX_FETCH_REFUSED)
        return VX_OUTSIDE_UNFIT;
    if (rc)
        return rc > 0 ? VX_OUTSIDE_AWAY : rc;
    rc = judge_status(outside, &answer, err);
    if (rc)
        return rc;
    json_error_t wrong;
    json_t *object = json_loadb(answer.body, answer.n, 0, &wrong);
    if (!json_is_object(object)) {
        json_decref(object);
        /* An error may have a page for its body. */
        if (answer.status < 400)
            return vx_outside_fail(outside, VX_OUTSIDE_AWAY, "sends no JSON object", "", err);
        object = json_pack("{s:s}", "message", "(no JSON)");
    }
    if (!object)
        return VX_FAIL(err, -ENOMEM, "no memory for an answer");
    *ret_status = answer.status;
    *ret_answer = object;
    return 0;
}
