/* point.c — clips as points, and their metadata in Pinecone's form. */
#include "point.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t n) {
    const unsigned char *at = bytes; /* FNV-1a */
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ at[i]) * 0x100000001b3;
    return hash;
}

static void set_digest(vx_point *point, int dim) {
    uint64_t hash = 0xcbf29ce484222325;
    hash = hash_bytes(hash, point->id, strlen(point->id) + 1);
    hash = hash_bytes(hash, &point->start_s, sizeof point->start_s);
    hash = hash_bytes(hash, &point->end_s, sizeof point->end_s);
    hash = hash_bytes(hash, point->filename, strlen(point->filename) + 1);
    hash = hash_bytes(hash, point->metadata, strlen(point->metadata) + 1);
    hash = hash_bytes(hash, point->vector, (size_t)dim * sizeof *point->vector);
    snprintf(point->digest, sizeof point->digest, "%016llx", (unsigned long long)hash);
}

void vx_point_fill(const vx_video *video, const vx_clip *clip, const float *vector, int dim,
                   size_t max_metadata, vx_point *ret_point) {
    bool fits = video->metadata && strlen(video->metadata) <= max_metadata;
    *ret_point = (vx_point){.clip = clip->index,
                            .start_s = clip->start_s,
                            .end_s = clip->end_s,
                            .filename = video->filename ? video->filename : "",
                            .metadata = fits ? video->metadata : "{}",
                            .vector = vector};
    strcpy(ret_point->video, video->id);
    vx_clip_id_of(video->id, clip->index, ret_point->id);
    set_digest(ret_point, dim);
}

/* ---- Pinecone ---- */

static bool is_list_of_texts(const json_t *value) {
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item) if (!json_is_string(item)) return false;
    return json_is_array(value);
}

static void add_members(vx_string *out, const char *metadata) {
    json_t *object = json_loads(metadata, 0, NULL), *value;
    const char *name;
    json_object_foreach(object, name, value) {
        if (!json_is_string(value) && !json_is_number(value) && !json_is_boolean(value) &&
            !is_list_of_texts(value))
            continue;
        VX_AUTO_STRING full = {0};
        vx_string_add(&full, "metadata.%s", name);
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
        vx_string_add(out, ",");
        vx_string_json(out, full.text ? full.text : "");
        vx_string_add(out, ":%s", text ? text : "null");
        out->failed |= !text || full.failed;
        free(text);
    }
    json_decref(object);
}

void vx_point_add_pinecone(vx_string *out, const vx_point *point) {
    vx_string_add(out, "{\"video\":\"%s\",\"clip\":%d,\"start_s\":", point->video, point->clip);
    vx_string_double(out, point->start_s);
    vx_string_add(out, ",\"end_s\":");
    vx_string_double(out, point->end_s);
    vx_string_add(out, ",\"filename\":");
    vx_string_json(out, point->filename);
    vx_string_add(out, ",\"digest\":\"%s\"", point->digest);
    add_members(out, point->metadata);
    vx_string_add(out, "}");
}
