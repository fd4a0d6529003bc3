/* outside.c — what all kinds of stores share. */
#include "outside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool vx_outside_is_clip_id(const char *id) {
    size_t n = strlen(id);
    return n > VX_VIDEO_ID_CHARS + 1 && n <= VX_CLIP_ID_CHARS && id[0] == 'v' &&
           strspn(id + 1, "0123456789abcdef") == VX_VIDEO_ID_CHARS - 1 &&
           id[VX_VIDEO_ID_CHARS] == '.' &&
           strspn(id + VX_VIDEO_ID_CHARS + 1, "0123456789") == n - VX_VIDEO_ID_CHARS - 1;
}

int vx_outside_fail(const vx_outside *outside, int code, const char *what, const char *text,
                    vx_err *err) {
    char shown[200];
    snprintf(shown, sizeof shown, "%s", text ? text : "");
    for (char *at = shown; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = ' ';
    if (outside->key && strstr(text ? text : "", outside->key))
        strcpy(shown, "(its sentence holds the credential and is left out)");
    /* Cut inside the credential, its beginning would be shown. */
    else if (outside->key && text && strlen(text) >= sizeof shown)
        shown[0] = 0;
    return VX_FAIL(err, code, "%s %s: %s", outside->url.host, what, shown);
}

/* ---- opening and closing ---- */

int vx_outside_open(const vx_store_access *access, const vx_outside_url *url, int dim,
                    vx_outside **ret_outside, vx_err *err) {
    vx_outside *outside = NULL;
    char *key = NULL;
    int rc = vx_outside_find_key(access->keys_path, url, &key, err);
    if (!rc)
        rc = url->kind->open(&outside, err);
    if (rc) {
        free(key);
        return rc;
    }
    outside->kind = url->kind;
    outside->url = *url;
    outside->access = *access;
    outside->key = key;
    outside->dim = dim;
    *ret_outside = outside;
    return 0;
}

vx_outside *vx_outside_close(vx_outside *outside) {
    if (!outside)
        return NULL;
    free(outside->key);
    outside->kind->close(outside);
    return NULL;
}
