/* package.c — the files of a package: whether they exist, their digests and the digest of the whole;
 * and frame sampling. */
#include "package.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/digest.h"
#include "base/hex.h"

static int open_file(const char *path, int *ret_fd, vx_err *err) {
    *ret_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*ret_fd >= 0)
        return 0;
    return errno == ENOENT ? VX_FAIL(err, VX_EMBED_BAD_PACKAGE,
                                     "%s is listed in the manifest but missing", path)
                           : VX_FAIL_ERRNO(err, "opening %s", path);
}

static void path_of(const vx_package *package, const char *name, char ret[VX_PACKAGE_PATH]) {
    snprintf(ret, VX_PACKAGE_PATH, "%s/%s", package->dir, name);
}

static int check_all_there(const vx_package *package, vx_err *err) {
    for (int i = 0; i < package->n_files; i++) {
        char path[VX_PACKAGE_PATH];
        VX_AUTO_FD int fd = -1;
        path_of(package, package->files[i].name, path);
        int rc = open_file(path, &fd, err);
        if (rc)
            return rc;
    }
    return 0;
}

int vx_package_check_file(const vx_package *package, const char *name, vx_err *err) {
    char path[VX_PACKAGE_PATH], found[VX_DIGEST_HEX_BYTES];
    const char *said = ""; /* the manifest's reader has seen that it lists the name */
    for (int i = 0; i < package->n_files; i++)
        if (!strcmp(package->files[i].name, name))
            said = package->files[i].sha256;
    VX_AUTO_FD int fd = -1;
    path_of(package, name, path);
    int rc = open_file(path, &fd, err);
    if (rc)
        return rc;
    rc = vx_digest_file(fd, found, err);
    if (rc)
        return VX_WRAP(err, "%s", path), rc;
    if (strcmp(found, said))
        return VX_FAIL(err, VX_EMBED_BAD_PACKAGE,
                       "%s is damaged: its SHA-256 begins %.12s, the manifest says %.12s", path,
                       found, said);
    return 0;
}

/* The digest of the vector space: the files, and those fields of the manifest that change a video's vector.
 * What only describes (source, licence, threshold), only schedules (max_batch) or only asks (the
 * text tower) stays out, so that measuring a threshold again does not invalidate all stored
 * vectors. */
static int digest_vector_space(vx_package *package, vx_err *err) {
    const vx_model_info *info = &package->info;
    const vx_preprocess_spec *p = &info->preprocess;
    char text[4096];
    size_t used = 0;
    for (int i = 0; i < package->n_files; i++) {
        const char *name = package->files[i].name;
        if (strcmp(name, package->text_file) && strcmp(name, package->text_vocab))
            used += (size_t)snprintf(text + used, sizeof text - used, "%s:%s\n", name,
                                     package->files[i].sha256);
    }
    used += (size_t)snprintf(
        text + used, sizeof text - used,
        "dim %d\nframes %d fps %.9g sampling %d\n"
        "picture %dx%d filter %d fit %d mean %.9g %.9g %.9g std %.9g %.9g %.9g\n",
        info->dim, info->n_frames, info->target_fps, (int)info->sampling, p->width_px, p->height_px,
        (int)p->filter, (int)p->fit, (double)p->mean[0], (double)p->mean[1], (double)p->mean[2],
        (double)p->std[0], (double)p->std[1], (double)p->std[2]);
    unsigned char sum[32];
    if (!EVP_Digest(text, used, sum, NULL, EVP_sha256(), NULL))
        return VX_FAIL(err, -EIO, "libcrypto refused to digest");
    vx_hex_encode(sum, sizeof sum, package->info.digest);
    return 0;
}

static bool is_model_name(const char *name) {
    size_t length = strlen(name);
    return length > 0 && length < sizeof((vx_model_info *)0)->name && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == length;
}

/* The models that models/ has an exporter for; the large ones are not made from what ./dev installs. */
static int fail_not_there(const char *models_dir, const char *name, vx_err *err) {
    static const struct {
        const char *name, *option;
    } exporters[] = {
        {"cosmos-embed1-224p", " --download"},
        {"cosmos-embed1-336p", " --download"},
        {"cosmos-embed1-448p", " --download"},
        {"internvideo2-1b", " --download"},
        {"sscd", " --download"},
        {"efficientnet-lite0", ""},
    };
    for (size_t i = 0; i < VX_LEN(exporters); i++)
        if (!strcmp(name, exporters[i].name))
            return VX_FAIL(err, VX_EMBED_NO_PACKAGE,
                           "The model %s is not in %s. Get it with: ./dev model %s%s", name,
                           models_dir, name, exporters[i].option);
    return VX_FAIL(
        err, VX_EMBED_NO_PACKAGE,
        "The model %s is not in %s. --models names another folder; ./dev model lists the "
        "models that vidx can get",
        name, models_dir);
}

int vx_package_read_manifest(const char *models_dir, const char *name, vx_package *ret_package,
                             vx_err *err) {
    if (!is_model_name(name))
        return VX_FAIL(err, VX_EMBED_NO_PACKAGE, "'%.80s' is not a model name", name);
    vx_package package = {0};
    int n = snprintf(package.dir, sizeof package.dir, "%s/%s", models_dir, name);
    char path[sizeof package.dir + 16];
    if (n >= (int)sizeof package.dir)
        return VX_FAIL(err, -ENAMETOOLONG, "the models folder's path is too long");
    snprintf(path, sizeof path, "%s/manifest.json", package.dir);
    if (access(path, F_OK) && (errno == ENOENT || errno == ENOTDIR))
        return fail_not_there(models_dir, name, err);
    int rc = vx_manifest_read(path, &package, err);
    if (rc)
        return rc;
    if (strcmp(package.info.name, name))
        return VX_FAIL(err, VX_EMBED_BAD_PACKAGE, "%s: name is '%s', its folder's is '%s'", path,
                       package.info.name, name);
    *ret_package = package;
    return 0;
}

int vx_package_read(const char *models_dir, const char *name, vx_package *ret_package,
                    vx_err *err) {
    vx_package package;
    int rc = vx_package_read_manifest(models_dir, name, &package, err);
    if (rc || (rc = check_all_there(&package, err)) || (rc = digest_vector_space(&package, err)))
        return rc;
    *ret_package = package;
    return 0;
}

int vx_package_check_role(const vx_package *package, vx_model_role role, vx_err *err) {
    const char *name = package->info.name;
    if (package->info.role == role)
        return 0;
    return role == VX_ROLE_COPY
               ? VX_FAIL(err, VX_EMBED_BAD_PACKAGE,
                         "The model %s does not describe pictures for copies: its manifest has no "
                         "\"role\": \"copy\". Name it with --model",
                         name)
               : VX_FAIL(err, VX_EMBED_BAD_PACKAGE,
                         "The model %s has the role copy: it describes pictures, and no clips can "
                         "be searched by it. Name it with --copy-model",
                         name);
}

void vx_models_with_text(const char *models_dir, char *ret_names, size_t capacity) {
    size_t used = 0;
    ret_names[0] = '\0';
    DIR *dir = opendir(models_dir);
    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        VX_AUTO_FREE vx_package *package = vx_new(vx_package);
        VX_AUTO_FREE char *path = NULL;
        if (!package || !is_model_name(entry->d_name) ||
            asprintf(&path, "%s/%s/manifest.json", models_dir, entry->d_name) < 0)
            continue;
        if (vx_manifest_read(path, package, NULL) || !package->info.has_text ||
            used + strlen(entry->d_name) + 3 > capacity)
            continue;
        used += (size_t)snprintf(ret_names + used, capacity - used, "%s%s", used ? ", " : "",
                                 entry->d_name);
    }
    if (dir)
        closedir(dir);
}

void vx_model_sample(const vx_model_info *model, int64_t n, int64_t *ret_index) {
    int64_t t = model->n_frames;
    for (int64_t k = 0; k < t; k++) {
        if (model->sampling == VX_SAMPLE_CURATOR && n >= t)
            ret_index[k] = k * (n / t);
        else
            ret_index[k] = t > 1 ? k * (n - 1) / (t - 1) : 0;
    }
}
