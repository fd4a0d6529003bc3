/* run.c — the steps of `vidx cluster`. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "cluster_folder_internal.h"

#define SAY_US 1000000

typedef struct watching {
    const vx_cluster_folder_params *p;
    int64_t told_us;
} watching;

static bool go_on(void *ctx, int64_t done, int64_t total) {
    watching *w = ctx;
    int64_t now_us = vx_clock_monotonic_us();
    if (!w->p->quiet && total && now_us - w->told_us > SAY_US) {
        w->told_us = now_us;
        fprintf(stderr, "%lld %%\n", (long long)(100 * done / total));
    }
    return !w->p->interrupted || !w->p->interrupted();
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *at) {
    (void)info, (void)kind, (void)at;
    return remove(path);
}

/* A new folder beside the output, which becomes the output at the end. */
static int make_folder(const char *output, char ret[PATH_MAX], vx_err *err) {
    size_t n = strlen(output);
    while (n > 1 && output[n - 1] == '/')
        n--;
    if (snprintf(ret, PATH_MAX, "%.*s.XXXXXX", (int)n, output) >= PATH_MAX)
        return VX_FAIL(err, -ENAMETOOLONG, "%s is too long a path", output);
    if (!access(output, F_OK) && rmdir(output) && errno != ENOENT) {
        if (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR)
            return VX_FAIL(err, -EEXIST, "%s has files: remove it, or choose another --output",
                           output);
        return VX_FAIL_ERRNO(err, "replacing the empty folder %s", output);
    }
    if (!mkdtemp(ret))
        return VX_FAIL_ERRNO(err, "creating a folder beside %s", output);
    return chmod(ret, 0755) ? VX_FAIL_ERRNO(err, "creating %s", ret) : 0;
}

static int write_all(const vx_cluster_folder_params *p, const char *folder, const vx_embedded *in,
                     const vx_clustering *found, const float *points, const double share[2],
                     vx_err *err) {
    size_t removed = 0;
    json_t *names = NULL;
    int rc = vx_cluster_folder_names(p, in, found, &names, err);
    if (!rc)
        rc = vx_cluster_folder_write(folder, in, found, points, share, names, err);
    json_decref(names);
    if (!rc && p->eps > 0)
        rc = vx_cluster_folder_write_curator(folder, in, found, p->eps, p->interrupted, &removed,
                                             err);
    if (!rc && rename(folder, p->output))
        rc = VX_FAIL_ERRNO(err, "putting %s into place", p->output);
    if (!rc && !p->quiet)
        fprintf(stderr, "%zu clips, %zu clusters in %s: %s\n", found->n, found->k, p->output,
                found->why);
    if (!rc && !p->quiet && p->eps > 0)
        fprintf(stderr, "%zu clips are near-duplicates within their cluster: %s/duplicates\n",
                removed, p->output);
    return rc;
}

static int find(const vx_cluster_folder_params *p, const vx_embedded *in, vx_clustering **ret_found,
                float *points, double share[2], vx_err *err) {
    watching w = {.p = p, .told_us = vx_clock_monotonic_us()};
    const vx_cluster_input input = {
        .vectors = in->vectors, .n = in->n, .dim = in->dim, .go_on = go_on, .ctx = &w};
    int rc = p->density ? vx_density_run(&input, &p->by_density, ret_found, err)
                        : vx_kmeans_run(&input, &p->kmeans, ret_found, err);
    return rc ? rc : vx_cluster_project(&input, points, share, err);
}

int vx_cluster_folder_run(const vx_cluster_folder_params *p, vx_err *err) {
    __attribute__((cleanup(vx_embedded_done))) vx_embedded in = {0};
    VX_AUTO(vx_clustering) found = NULL;
    char folder[PATH_MAX];
    double share[2];
    int rc = vx_embedded_read(p->input, &in, err);
    if (rc)
        return rc;
    VX_AUTO_FREE float *points = vx_new_array(in.n, 2 * sizeof *points);
    if (!points)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu points", in.n);
    rc = make_folder(p->output, folder, err);
    if (rc)
        return rc;
    rc = find(p, &in, &found, points, share, err);
    if (!rc)
        rc = write_all(p, folder, &in, found, points, share, err);
    if (rc)
        nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return rc;
}
