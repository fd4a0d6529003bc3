/* package_fixture.h — the packages of tests/testmodel/make.py, in $VX_TEST_MODELS, and copies of
 * them for a test to damage. */
#pragma once

#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "embed/embed.h"

static inline const char *models(void) {
    return getenv("VX_TEST_MODELS");
}

static inline int open_package(const char *dir, const char *name, vx_embedder **ret, vx_err *err) {
    return vx_embedder_open(
        &(vx_embedder_params){.models_dir = dir, .name = name, .device = "cpu", .threads = 1}, ret,
        err);
}

/* A copy of a package in a fresh models folder; its files are links. */
typedef struct copy {
    char dir[64], name[32], package[112], path[256], manifest_path[256];
    json_t *manifest;
} copy;

static inline void write_manifest(const copy *c) {
    assert_int_equal(json_dump_file(c->manifest, c->manifest_path, 0), 0);
}

static inline const char *path_in(copy *c, const char *file) {
    snprintf(c->path, sizeof c->path, "%s/%s", c->package, file);
    return c->path;
}

static inline copy copy_package(const char *name) {
    copy c = {.dir = "/tmp/vx-embed-XXXXXX"};
    char original[512];
    const char *file;
    json_t *digest;
    assert_non_null(mkdtemp(c.dir));
    snprintf(c.name, sizeof c.name, "%s", name);
    snprintf(c.package, sizeof c.package, "%s/%s", c.dir, name);
    snprintf(c.manifest_path, sizeof c.manifest_path, "%s/manifest.json", c.package);
    assert_int_equal(mkdir(c.package, 0700), 0);
    snprintf(original, sizeof original, "%s/%s/manifest.json", models(), name);
    c.manifest = json_load_file(original, 0, NULL);
    assert_non_null(c.manifest);
    json_object_foreach(json_object_get(c.manifest, "files"), file, digest) {
        snprintf(original, sizeof original, "%s/%s/%s", models(), name, file);
        char *target = realpath(original, NULL);
        assert_non_null(target);
        assert_int_equal(symlink(target, path_in(&c, file)), 0);
        free(target);
    }
    write_manifest(&c);
    return c;
}

static inline void remove_copy(copy *c) {
    static const char *const files[] = {"video.pt", "text.pt", "vocab.txt"};
    for (size_t i = 0; i < VX_LEN(files); i++)
        unlink(path_in(c, files[i]));
    json_decref(c->manifest);
    unlink(c->manifest_path);
    rmdir(c->package);
    rmdir(c->dir);
}

static inline void expect_bad(const copy *c, const char *reason) {
    vx_err err;
    vx_embedder *e = NULL;
    int r = open_package(c->dir, c->name, &e, &err);
    if (r != VX_EMBED_BAD_PACKAGE || !strstr(err.msg, reason))
        fail_msg("expected '%s', got %d: %s", reason, r, r ? err.msg : "");
    assert_null(e);
}

/* Writes the manifest with `value`, as JSON text, for a field of one of its objects (NULL: the
 * outermost); without the field where value is NULL. By text, so that values which jansson would
 * not build can be written. */
static inline void put(const copy *c, const char *object_name, const char *field,
                       const char *value) {
    json_t *object = c->manifest;
    if (object_name && !strcmp(object_name, "video[0]"))
        object = json_array_get(json_object_get(c->manifest, "video"), 0);
    else if (object_name)
        object = json_object_get(c->manifest, object_name);
    assert_non_null(object);
    if (!value) {
        json_object_del(object, field);
        write_manifest(c);
        return;
    }
    json_object_set_new(object, field, json_string("@@"));
    char *text = json_dumps(c->manifest, 0);
    char *mark = strstr(text, "\"@@\"");
    FILE *file = fopen(c->manifest_path, "w");
    assert_non_null(file);
    fprintf(file, "%.*s%s%s", (int)(mark - text), text, value, mark + 4);
    fclose(file);
    free(text);
}

typedef struct wrong_field {
    const char *object, *field, *value, *reason;
} wrong_field;

/* Each of them alone makes a copy of the package bad, for its reason. */
static inline void expect_each_refused(const char *name, const wrong_field *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        copy c = copy_package(name);
        put(&c, rows[i].object, rows[i].field, rows[i].value);
        expect_bad(&c, rows[i].reason);
        remove_copy(&c);
    }
}
