/* Any bytes as the manifest.json of a model that embeds, and as that of the model for shots. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "clip/shots_package.h"
#include "embed/package.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static char models_dir[] = "/tmp/vidx-fuzz-XXXXXX", package_dir[64], manifest[96], empty[96];

static void remove_folder(void) {
    unlink(manifest);
    unlink(empty);
    rmdir(package_dir);
    rmdir(models_dir);
}

/* manifest.json is a link to memory: a file would keep the disk busy. */
static int make_folder(void) {
    int fd = memfd_create("manifest", 0);
    char target[64];
    snprintf(target, sizeof target, "/proc/self/fd/%d", fd);
    if (fd < 0 || !mkdtemp(models_dir))
        abort();
    snprintf(package_dir, sizeof package_dir, "%s/" VX_SHOTS_MODEL, models_dir);
    snprintf(manifest, sizeof manifest, "%s/manifest.json", package_dir);
    snprintf(empty, sizeof empty, "%s/empty.pt", package_dir);
    if (mkdir(package_dir, 0700) || mknod(empty, S_IFREG | 0600, 0) || symlink(target, manifest))
        abort();
    atexit(remove_folder);
    return fd;
}

/* Nothing that a package names may lie outside of its folder. */
static void check_name(const char *name) {
    if (!*name || *name == '.' || strchr(name, '/'))
        abort();
}

static void read_model(void) {
    static vx_package package;
    memset(&package, 0, sizeof package);
    if (vx_manifest_read(manifest, &package, NULL))
        return;
    for (int i = 0; i < package.n_files; i++)
        check_name(package.files[i].name);
    for (int i = 0; i < package.n_variants; i++)
        check_name(package.variants[i].file);
    if (package.n_files < 1 || package.n_variants < 1 || package.info.dim < 1 ||
        package.info.n_frames < 1 || package.info.n_frames > 64)
        abort();
}

static void read_shots(void) {
    static vx_shots_package package;
    memset(&package, 0, sizeof package);
    if (vx_shots_package_read(models_dir, &package, NULL))
        return;
    for (int i = 0; i < package.n_variants; i++) {
        check_name(package.variants[i].file);
        if (package.variants[i].max_batch < 1 || package.variants[i].memory_bytes < 0)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    static int fd;
    if (!*manifest)
        fd = make_folder();
    if (ftruncate(fd, 0) || pwrite(fd, data, n_bytes, 0) != (ssize_t)n_bytes)
        abort();
    read_model();
    read_shots();
    return 0;
}
