/* read.c — embeddings.npy and clips.jsonl. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/npy.h"
#include "cluster_folder_internal.h"

#define MAX_DIM 8192

void vx_embedded_done(vx_embedded *in) {
    for (size_t i = 0; i < in->n; i++) {
        if (in->clip_ids)
            free(in->clip_ids[i]);
        if (in->files)
            free(in->files[i]);
    }
    free(in->clip_ids);
    free(in->files);
    if (in->mapped)
        munmap(in->mapped, in->mapped_bytes);
}

static int map_file(const char *path, vx_embedded *in, vx_err *err) {
    VX_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info))
        return VX_FAIL_ERRNO(err, "reading %s", path);
    in->mapped_bytes = (size_t)info.st_size;
    void *mapped =
        in->mapped_bytes ? mmap(NULL, in->mapped_bytes, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (mapped == MAP_FAILED)
        return VX_FAIL(err, -EIO, "%s cannot be read", path);
    in->mapped = mapped;
    return 0;
}

static int read_header(const char *path, vx_embedded *in, vx_err *err) {
    vx_npy_shape shape;
    if (!vx_npy_read_header(in->mapped, in->mapped_bytes, &shape) || shape.dim < 1 ||
        shape.dim > MAX_DIM)
        return VX_FAIL(
            err, -EINVAL,
            "%s must be a NumPy file of float32 [rows, dim] in C order, as vidx embed writes it",
            path);
    size_t row_bytes = (size_t)shape.dim * sizeof(float);
    if ((uint64_t)shape.n > (in->mapped_bytes - shape.begin) / row_bytes)
        return VX_FAIL(err, -EINVAL, "%s is cut off: it should hold %lld vectors", path,
                       (long long)shape.n);
    if (shape.n < 2)
        return VX_FAIL(err, -EINVAL, "%s holds %lld vectors: there is nothing to cluster", path,
                       (long long)shape.n);
    if (shape.begin % sizeof(float))
        return VX_FAIL(err, -EINVAL, "%s is not aligned as NumPy aligns files", path);
    in->vectors = (const float *)(const void *)((const char *)in->mapped + shape.begin);
    in->n = (size_t)shape.n;
    in->dim = (int)shape.dim;
    return 0;
}

static int check_lengths(const char *path, const vx_embedded *in, vx_err *err) {
    size_t dim = (size_t)in->dim;
    for (size_t i = 0; i < in->n; i++) {
        double square = 0;
        for (size_t d = 0; d < dim; d++)
            square += (double)in->vectors[i * dim + d] * (double)in->vectors[i * dim + d];
        if (!(fabs(square - 1) < 1e-3))
            return VX_FAIL(err, -EINVAL, "vector %zu of %s is no unit vector", i, path);
    }
    return 0;
}

/* Of several files with the same bytes the first. */
static int read_line(vx_embedded *in, const char *line, size_t number, vx_err *err) {
    json_t *object = json_loads(line, 0, NULL);
    const json_t *row = json_object_get(object, "row");
    const char *id = json_string_value(json_object_get(object, "clip_id"));
    const char *file = json_string_value(json_object_get(object, "file"));
    const char *model = json_string_value(json_object_get(object, "model"));
    const char *digest = json_string_value(json_object_get(object, "model_digest"));
    json_int_t at = json_integer_value(row);
    int rc = 0;
    if (!json_is_integer(row) || at < 0 || (size_t)at >= in->n || !id)
        rc = VX_FAIL(err, -EINVAL,
                     "line %zu of clips.jsonl has no clip_id, or a row that embeddings.npy has not",
                     number);
    else if (!in->clip_ids[at]) {
        in->clip_ids[at] = strdup(id);
        in->files[at] = strdup(file ? file : "");
        if (!in->clip_ids[at] || !in->files[at])
            rc = VX_FAIL(err, -ENOMEM, "no memory for clip %s", id);
    }
    if (number == 1 && model && digest) {
        snprintf(in->model, sizeof in->model, "%s", model);
        snprintf(in->digest, sizeof in->digest, "%s", digest);
    }
    json_decref(object);
    return rc;
}

static void close_file(FILE *file) {
    fclose(file);
}
VX_DEFINE_AUTO(FILE, close_file)

static int read_clips(const char *path, vx_embedded *in, vx_err *err) {
    VX_AUTO_FREE char *line = NULL;
    VX_AUTO(FILE) file = fopen(path, "re");
    size_t capacity = 0, number = 0;
    in->clip_ids = vx_new_array(in->n, sizeof *in->clip_ids);
    in->files = vx_new_array(in->n, sizeof *in->files);
    if (!file)
        return VX_FAIL_ERRNO(err, "reading %s", path);
    if (!in->clip_ids || !in->files)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu clips", in->n);
    while (getline(&line, &capacity, file) > 0) {
        int rc = read_line(in, line, ++number, err);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < in->n; i++)
        if (!in->clip_ids[i])
            return VX_FAIL(err, -EINVAL, "%s has no line for row %zu of embeddings.npy", path, i);
    return 0;
}

int vx_embedded_read(const char *folder, vx_embedded *ret, vx_err *err) {
    char vectors[PATH_MAX], clips[PATH_MAX];
    if (snprintf(vectors, PATH_MAX, "%s/embeddings.npy", folder) >= PATH_MAX ||
        snprintf(clips, PATH_MAX, "%s/clips.jsonl", folder) >= PATH_MAX)
        return VX_FAIL(err, -ENAMETOOLONG, "%s is too long a path", folder);
    int rc = map_file(vectors, ret, err);
    if (!rc)
        rc = read_header(vectors, ret, err);
    if (!rc)
        rc = check_lengths(vectors, ret, err);
    return rc ? rc : read_clips(clips, ret, err);
}
