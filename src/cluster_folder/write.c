/* write.c — the files of vidx's own layout. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/npy.h"
#include "cluster_folder_internal.h"

enum { REPRESENTATIVES = 5 };

int vx_open_below(const char *folder, const char *name, FILE **ret_file, vx_err *err) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return VX_FAIL(err, -ENAMETOOLONG, "%s is too long a path", folder);
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        if (mkdir(path, 0777) && errno != EEXIST)
            return VX_FAIL_ERRNO(err, "creating the folder %s", path);
    }
    *ret_file = fopen(path, "we");
    return *ret_file ? 0 : VX_FAIL_ERRNO(err, "creating %s", path);
}

int vx_close_durably(FILE *file, const char *name, vx_err *err) {
    bool fine = !ferror(file) && !fflush(file) && !fsync(fileno(file));
    int error = errno;
    fine = !fclose(file) && fine;
    errno = error ? error : EIO;
    return fine ? 0 : VX_FAIL_ERRNO(err, "writing %s", name);
}

int vx_write_npy(const char *folder, const char *name, const char *descr, const void *data,
                 size_t n, size_t width, vx_err *err) {
    char header[VX_NPY_HEADER_BYTES];
    FILE *file;
    int rc = vx_open_below(folder, name, &file, err);
    if (rc)
        return rc;
    vx_npy_write_header(header, descr, (int64_t)n, (int64_t)width);
    fwrite(header, sizeof header, 1, file);
    fwrite(data, 4, n * (width ? width : 1), file);
    return vx_close_durably(file, name, err);
}

static int close_json(FILE *file, json_t *object, const char *name, vx_err *err) {
    bool fine = object && !json_dumpf(object, file, JSON_INDENT(2)) && fputc('\n', file) >= 0;
    json_decref(object);
    if (!fine)
        VX_FAIL(err, -ENOMEM, "writing %s", name);
    int rc = vx_close_durably(file, name, err);
    return fine ? rc : -ENOMEM;
}

static bool write_line(FILE *file, json_t *object) {
    bool fine = object && !json_dumpf(object, file, JSON_COMPACT | JSON_REAL_PRECISION(9)) &&
                fputc('\n', file) >= 0;
    json_decref(object);
    return fine;
}

static int write_members(const char *folder, const vx_embedded *in, const vx_clustering *found,
                         const float *points, vx_err *err) {
    FILE *file;
    bool fine = true;
    int rc = vx_open_below(folder, "members.jsonl", &file, err);
    for (size_t i = 0; i < in->n && !rc && fine; i++)
        fine = write_line(
            file, json_pack("{s:I, s:s, s:s, s:o, s:o, s:b, s:[f, f]}", "row", (json_int_t)i,
                            "clip_id", in->clip_ids[i], "file", in->files[i], "cluster",
                            found->labels[i] < 0 ? json_null() : json_integer(found->labels[i]),
                            "score", found->k ? json_real((double)found->scores[i]) : json_null(),
                            "outlier", (int)found->outlier[i], "point", (double)points[2 * i],
                            (double)points[2 * i + 1]));
    if (rc)
        return rc;
    rc = vx_close_durably(file, "members.jsonl", err);
    return fine ? rc : VX_FAIL(err, -EIO, "writing members.jsonl");
}

/* Rows of each cluster by falling score, then rising row. */
static int by_score(const void *a, const void *b, void *ctx) {
    const vx_clustering *found = ctx;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    if (found->labels[x] != found->labels[y])
        return found->labels[x] < found->labels[y] ? -1 : 1;
    if (found->scores[x] != found->scores[y])
        return found->scores[x] > found->scores[y] ? -1 : 1;
    return (x > y) - (x < y);
}

static json_t *describe_cluster(int32_t number, size_t n, json_t *ids, const json_t *names) {
    json_t *cluster = json_pack("{s:i, s:I, s:o}", "number", number, "clips", (json_int_t)n,
                                "representatives", ids);
    json_t *own = json_array_get(names, (size_t)number);
    if (cluster && own) {
        json_object_set(cluster, "name", json_object_get(json_array_get(own, 0), "concept"));
        json_object_set(cluster, "names", own);
    }
    return cluster;
}

static int write_clusters(const char *folder, const vx_embedded *in, const vx_clustering *found,
                          const json_t *names, vx_err *err) {
    VX_AUTO_FREE uint32_t *order = vx_new_array(in->n, sizeof *order);
    FILE *file;
    if (!order)
        return VX_FAIL(err, -ENOMEM, "no memory to order %zu clips", in->n);
    for (size_t i = 0; i < in->n; i++)
        order[i] = (uint32_t)i;
    qsort_r(order, in->n, sizeof *order, by_score, (void *)found);
    int rc = vx_open_below(folder, "clusters.jsonl", &file, err);
    if (rc)
        return rc;
    bool fine = true;
    for (size_t at = 0, end; at < in->n && fine; at = end) {
        int32_t label = found->labels[order[at]];
        json_t *ids = json_array();
        for (end = at; end < in->n && found->labels[order[end]] == label; end++)
            if (end - at < REPRESENTATIVES)
                json_array_append_new(ids, json_string(in->clip_ids[order[end]]));
        if (label < 0)
            json_decref(ids);
        else
            fine = write_line(file, describe_cluster(label, end - at, ids, names));
    }
    rc = vx_close_durably(file, "clusters.jsonl", err);
    return fine ? rc : VX_FAIL(err, -EIO, "writing clusters.jsonl");
}

static int write_summary(const char *folder, const vx_clustering *found, const double share[2],
                         vx_err *err) {
    FILE *file;
    int rc = vx_open_below(folder, "summary.json", &file, err);
    if (rc)
        return rc;
    return close_json(file,
                      json_pack("{s:I, s:I, s:s, s:f, s:i, s:b, s:[f, f]}", "clips",
                                (json_int_t)found->n, "clusters", (json_int_t)found->k, "why",
                                found->why, "mean_score", found->k ? found->mean_score : 0.0,
                                "iterations", found->iterations, "converged", (int)found->converged,
                                "variance_shown", share[0], share[1]),
                      "summary.json", err);
}

int vx_cluster_folder_write(const char *folder, const vx_embedded *in, const vx_clustering *found,
                            const float *points, const double share[2], const json_t *names,
                            vx_err *err) {
    size_t dim = (size_t)in->dim;
    int rc = vx_write_npy(folder, "labels.npy", "<i4", found->labels, in->n, 0, err);
    if (!rc)
        rc = vx_write_npy(folder, "points.npy", "<f4", points, in->n, 2, err);
    if (!rc)
        rc = vx_write_npy(folder, "centroids.npy", "<f4", found->centroids, found->k, dim, err);
    if (!rc)
        rc = write_members(folder, in, found, points, err);
    if (!rc)
        rc = write_clusters(folder, in, found, names, err);
    return rc ? rc : write_summary(folder, found, share, err);
}
