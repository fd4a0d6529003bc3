/* outside.c — what all kinds of stores share. */
#include "outside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- points ---- */

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t n) {
    const unsigned char *at = bytes; /* FNV-1a */
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ at[i]) * 0x100000001b3;
    return hash;
}

void vx_point_set_digest(vx_point *point, int dim) {
    uint64_t hash = 0xcbf29ce484222325;
    hash = hash_bytes(hash, point->id, strlen(point->id) + 1);
    hash = hash_bytes(hash, &point->start_s, sizeof point->start_s);
    hash = hash_bytes(hash, &point->end_s, sizeof point->end_s);
    hash = hash_bytes(hash, point->filename, strlen(point->filename) + 1);
    hash = hash_bytes(hash, point->metadata, strlen(point->metadata) + 1);
    hash = hash_bytes(hash, point->vector, (size_t)dim * sizeof *point->vector);
    snprintf(point->digest, sizeof point->digest, "%016llx", (unsigned long long)hash);
}

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

int vx_outside_open(const vx_outside_url *url, char *key, int dim, vx_outside **ret_outside,
                    vx_err *err) {
    vx_outside *outside = NULL;
    int rc = url->kind->open(&outside, err);
    if (rc) {
        free(key);
        return rc;
    }
    outside->kind = url->kind;
    outside->url = *url;
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
