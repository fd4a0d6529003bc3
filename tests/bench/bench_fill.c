/* Fills a catalog as an import would have: videos of four clips each, without fingerprints and files.
 *
 *   bench_fill CATALOG MODEL DIGEST DIM VECTORS [COUNT]
 *
 * VECTORS is float32 [n, DIM], one a clip; COUNT: only so many of them. Prints the id of the video of every
 * thousandth one.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "bench.h"
#include "catalog/catalog.h"

enum { CLIPS = 4, GROUP = 500 };

static vx_err failure;

static void add_video(vx_catalog *catalog, int64_t space, size_t number, const float *vectors,
                      int dim) {
    vx_clip clips[CLIPS];
    vx_video v = {.filename = (char *)"camera 7/2026-01-02 03:04:05.mp4",
                  .source_path = (char *)VX_NO_FILE,
                  .metadata = (char *)"{\"camera\":7,\"place\":\"gate\"}",
                  .fps = 30,
                  .clips = clips,
                  .n_clips = CLIPS};
    for (int i = 0; i < 32; i++) /* spread over the id index, as real hashes are */
        v.sha256[i] = (uint8_t)((uint64_t)(number + 1) * 0x9E3779B97F4A7C15u >> (i % 8 * 8));
    for (int i = 0; i < CLIPS; i++)
        clips[i] = (vx_clip){.index = i, .start_s = 5 * i, .end_s = 5 * i + 5};
    need(vx_catalog_insert_video(catalog, &v, &failure), &failure);
    int64_t rows[CLIPS];
    for (int i = 0; i < CLIPS; i++)
        rows[i] = clips[i].row;
    need(vx_catalog_insert_vectors(catalog, space, rows, CLIPS, vectors, dim, &failure), &failure);
    if (number % 1000 == 0)
        puts(v.id);
}

int main(int argc, char **argv) {
    if (argc < 6)
        return 2;
    struct stat facts;
    VX_AUTO_FD int fd = open(argv[5], O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &facts)) {
        perror(argv[5]);
        return 1;
    }
    const float *vectors = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    int dim = atoi(argv[4]);
    size_t n = (size_t)facts.st_size / sizeof(float) / (size_t)dim;
    size_t count = argc > 6 ? strtoul(argv[6], NULL, 10) : n;
    n = count < n ? count : n;
    VX_AUTO(vx_catalog) catalog = NULL;
    int64_t space;
    need(vx_catalog_open(argv[1], 1, &catalog, &failure), &failure);
    need(vx_catalog_begin(catalog, &failure), &failure);
    need(vx_catalog_insert_vector_space(catalog, argv[2], argv[3], dim, &space, &failure),
         &failure);
    need(vx_catalog_commit(catalog, &failure), &failure);
    for (size_t video = 0; video < n / CLIPS;) {
        need(vx_catalog_begin(catalog, &failure), &failure);
        for (int i = 0; i < GROUP && video < n / CLIPS; i++, video++)
            add_video(catalog, space, video, vectors + video * CLIPS * (size_t)dim, dim);
        need(vx_catalog_commit(catalog, &failure), &failure);
    }
    return 0;
}
