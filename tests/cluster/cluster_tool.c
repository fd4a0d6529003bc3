/* cluster_tool.c — clusters of a file of vectors, for tests and measurements in Python.
 *
 *   cluster_tool kmeans FILE DIM THREADS K MAX_K ITERATIONS RESTARTS SEED OUT
 *   cluster_tool density FILE DIM THREADS MIN_CLUSTER_SIZE MIN_SAMPLES OUT
 *   cluster_tool compare LABELS LABELS
 *
 * FILE: float32 [n, dim]. Writes OUT.labels (int32 [n]), OUT.centroids (float32 [k, dim]), OUT.outlier (uint8
 * [n]) and OUT.points (float32 [n, 2]), and a JSON object to stdout. `compare` prints the agreement of two
 * files of int32 labels.
 */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "cluster/cluster.h"

static const void *map_file(const char *path, size_t *ret_bytes) {
    VX_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info)) {
        perror(path);
        exit(1);
    }
    *ret_bytes = (size_t)info.st_size;
    return mmap(NULL, *ret_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
}

static void write_file(const char *out, const char *suffix, const void *data, size_t bytes) {
    char path[4096];
    snprintf(path, sizeof path, "%s.%s", out, suffix);
    FILE *file = fopen(path, "w");
    if (!file || fwrite(data, 1, bytes, file) != bytes || fclose(file)) {
        perror(path);
        exit(1);
    }
}

static double cpu_s(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void report(const vx_cluster_input *input, const vx_clustering *c, double wall_s,
                   const char *out) {
    struct rusage usage;
    vx_err err = {0};
    double share[2], used_s = cpu_s();
    float *points = vx_new_array(c->n, 2 * sizeof *points);
    getrusage(RUSAGE_SELF, &usage);
    if (!points || vx_cluster_project(input, points, share, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    write_file(out, "labels", c->labels, c->n * sizeof *c->labels);
    write_file(out, "centroids", c->centroids, c->k * (size_t)input->dim * sizeof *c->centroids);
    write_file(out, "outlier", c->outlier, c->n);
    write_file(out, "points", points, c->n * 2 * sizeof *points);
    json_t *object =
        json_pack("{s:I, s:f, s:i, s:b, s:s, s:f, s:f, s:I, s:[f, f]}", "k", (json_int_t)c->k,
                  "mean_score", c->mean_score, "iterations", c->iterations, "converged",
                  (int)c->converged, "why", c->why, "wall_s", wall_s, "cpu_s", used_s, "peak_kb",
                  (json_int_t)usage.ru_maxrss, "share", share[0], share[1]);
    json_dumpf(object, stdout, 0);
    json_decref(object);
    free(points);
}

static int compare(char **argv) {
    size_t a_bytes, b_bytes;
    const int32_t *a = map_file(argv[2], &a_bytes), *b = map_file(argv[3], &b_bytes);
    double index;
    vx_err err;
    if (a_bytes != b_bytes || vx_cluster_agreement(a, b, a_bytes / sizeof *a, &index, &err))
        return 1;
    printf("%.12f\n", index);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 4 && !strcmp(argv[1], "compare"))
        return compare(argv);
    bool kmeans = argc == 11 && !strcmp(argv[1], "kmeans");
    if (!kmeans && (argc != 8 || strcmp(argv[1], "density") != 0))
        return 2;
    size_t bytes;
    vx_cluster_input input = {
        .vectors = map_file(argv[2], &bytes), .dim = atoi(argv[3]), .threads = atoi(argv[4])};
    input.n = bytes / sizeof(float) / (size_t)input.dim;
    vx_clustering *c = NULL;
    vx_err err = {0};
    int64_t start_us = vx_clock_monotonic_us();
    int rc;
    if (kmeans) {
        const vx_kmeans_params p = {.k = atoi(argv[5]),
                                    .max_k = atoi(argv[6]),
                                    .iterations = atoi(argv[7]),
                                    .restarts = atoi(argv[8]),
                                    .seed = strtoull(argv[9], NULL, 10)};
        rc = vx_kmeans_run(&input, &p, &c, &err);
    } else {
        const vx_density_params p = {.min_cluster_size = atoi(argv[5]),
                                     .min_samples = atoi(argv[6])};
        rc = vx_density_run(&input, &p, &c, &err);
    }
    if (rc) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    report(&input, c, (double)(vx_clock_monotonic_us() - start_us) / 1e6, argv[argc - 1]);
    vx_clustering_free(c);
    return 0;
}
