/* shots_package.c — the manifest of the shots model and the digests of its files. */
#include "shots_package.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "base/hex.h"

#define MAX_MANIFEST_BYTES (256 * 1024)

static int bad(const vx_shots_package *p, vx_err *err, const char *problem) {
    return VX_FAIL(err, VX_SHOTS_BAD_PACKAGE, "%s/manifest.json: %s", p->dir, problem);
}

static void free_md(EVP_MD_CTX **md) {
    EVP_MD_CTX_free(*md);
}

static int digest_end(EVP_MD_CTX *md, char ret_hex[65], vx_err *err) {
    unsigned char sum[32];
    if (!EVP_DigestFinal_ex(md, sum, NULL))
        return VX_FAIL(err, -EIO, "libcrypto refused to digest");
    vx_hex_encode(sum, sizeof sum, ret_hex);
    return 0;
}

static int digest_file(const char *path, char ret_hex[VX_DIGEST_HEX_BYTES], vx_err *err) {
    VX_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return VX_FAIL(err, VX_SHOTS_BAD_PACKAGE, "%s is in the manifest but missing", path);
    if (fd < 0)
        return VX_FAIL_ERRNO(err, "opening %s", path);
    int rc = vx_digest_file(fd, ret_hex, err);
    if (rc)
        VX_WRAP(err, "%s", path);
    return rc;
}

/* Compares every listed file with its digest and digests the list. */
static int check_files(vx_shots_package *p, json_t *files, vx_err *err) {
    __attribute__((cleanup(free_md))) EVP_MD_CTX *md = EVP_MD_CTX_new();
    if (!md || !EVP_DigestInit_ex(md, EVP_sha256(), NULL))
        return VX_FAIL(err, -ENOMEM, "no memory for a digest");
    const char *name;
    json_t *value;
    json_object_foreach(files, name, value) {
        char path[1200], found[65];
        if (strchr(name, '/') || name[0] == '.' || strlen(name) > 63 || !json_is_string(value))
            return bad(p, err, "files is not a list of names and digests");
        snprintf(path, sizeof path, "%s/%s", p->dir, name);
        int rc = digest_file(path, found, err);
        if (rc)
            return rc;
        if (strcmp(found, json_string_value(value)))
            return VX_FAIL(err, VX_SHOTS_BAD_PACKAGE, "%s is damaged: its SHA-256 begins %.12s",
                           path, found);
        if (!EVP_DigestUpdate(md, found, 64))
            return VX_FAIL(err, -EIO, "libcrypto refused to digest");
    }
    return digest_end(md, p->info.digest, err);
}

/* A text field; false when it is missing, empty or too long. */
static bool read_text(json_t *object, const char *field, char *ret, size_t capacity) {
    const char *value = json_string_value(json_object_get(object, field));
    return value && *value && (size_t)snprintf(ret, capacity, "%s", value) < capacity;
}

static int read_variant(vx_shots_package *p, json_t *files, json_t *entry, vx_err *err) {
    vx_shots_variant *v = &p->variants[p->n_variants++];
    json_t *batch = json_object_get(entry, "max_batch"), *amx = json_object_get(entry, "needs_amx");
    int64_t max_batch = json_integer_value(batch);
    v->memory_bytes = json_integer_value(json_object_get(entry, "memory_bytes"));
    v->needs_amx = json_is_true(amx);
    if (!read_text(entry, "file", v->file, sizeof v->file) || !json_object_get(files, v->file))
        return bad(p, err, "shots has an entry whose file is not listed in files");
    if (!read_text(entry, "device", v->device, sizeof v->device) ||
        (strcmp(v->device, "cpu") && strcmp(v->device, "cuda")) ||
        !read_text(entry, "dtype", v->dtype, sizeof v->dtype))
        return bad(p, err, "shots has an entry whose device is not cpu or cuda, or without dtype");
    if (max_batch < 1 || max_batch > 64)
        return bad(p, err, "shots has an entry whose max_batch is not from 1 to 64");
    if (v->memory_bytes < 0)
        return bad(p, err, "shots has an entry whose memory_bytes is below 0");
    v->max_batch = (int)max_batch;
    return 0;
}

static int read_fields(vx_shots_package *p, json_t *root, vx_err *err) {
    char name[64], kind[16];
    json_t *files = json_object_get(root, "files"), *list = json_object_get(root, "shots");
    if (json_integer_value(json_object_get(root, "format")) != 1 ||
        !read_text(root, "kind", kind, sizeof kind) || strcmp(kind, "shots"))
        return bad(p, err, "it is not format 1 of kind shots");
    if (!read_text(root, "name", name, sizeof name) || strcmp(name, VX_SHOTS_MODEL))
        return bad(p, err, "its name is not " VX_SHOTS_MODEL);
    if (!read_text(root, "source", p->info.source, sizeof p->info.source) ||
        !read_text(root, "license", p->info.license, sizeof p->info.license))
        return bad(p, err, "source or license is missing or too long");
    if (!json_is_object(files) || !json_array_size(list) ||
        json_array_size(list) > VX_SHOTS_MAX_VARIANTS)
        return bad(p, err, "files or shots is missing, or shots has more than 8 entries");
    for (size_t i = 0; i < json_array_size(list); i++) {
        int rc = read_variant(p, files, json_array_get(list, i), err);
        if (rc)
            return rc;
    }
    return check_files(p, files, err);
}

int vx_shots_package_read(const char *models_dir, vx_shots_package *ret_package, vx_err *err) {
    char path[sizeof ret_package->dir + 16];
    struct stat facts;
    if (snprintf(ret_package->dir, sizeof ret_package->dir, "%s/" VX_SHOTS_MODEL, models_dir) >=
        (int)sizeof ret_package->dir)
        return VX_FAIL(err, -ENAMETOOLONG, "the models folder's path is too long");
    snprintf(path, sizeof path, "%s/manifest.json", ret_package->dir);
    if (stat(path, &facts))
        return errno == ENOENT || errno == ENOTDIR
                   ? VX_FAIL(err, VX_SHOTS_NO_PACKAGE,
                             "cutting at shots needs the model " VX_SHOTS_MODEL ": %s is missing",
                             path)
                   : VX_FAIL_ERRNO(err, "reading %s", path);
    if (!S_ISREG(facts.st_mode) || facts.st_size > MAX_MANIFEST_BYTES)
        return bad(ret_package, err, "it is not a file of a manifest's size");
    json_error_t problem;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &problem);
    if (!root)
        return VX_FAIL(err, VX_SHOTS_BAD_PACKAGE, "%s: line %d: %s", path, problem.line,
                       problem.text);
    int rc = read_fields(ret_package, root, err);
    json_decref(root);
    return rc;
}
