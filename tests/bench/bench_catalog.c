/* Speed of the catalog alone: durable commits, the load of all vectors at start, single reads.
 *
 *   bench_catalog DIR N DIM [THREADS]
 *
 * Makes DIR/bench.db with N vectors of DIM float32, measures, and removes it; DIR must be on the
 * disk that is meant. Prints one "name value" per line; the ratio beside a rate is against a plain
 * loop that appends and syncs the same number of bytes in the same run.
 */
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "bench.h"
#include "catalog/catalog.h"

#define CLIPS_PER_VIDEO 10
#define GROUP 16
#define N_COMMITS 300

typedef struct bench {
    char path[256];
    vx_catalog *catalog;
    int64_t space;
    int dim, threads;
    size_t n;
    int next_seed;
    float *vectors; /* [CLIPS_PER_VIDEO, dim] */
} bench;

static vx_err failure;

static void add_video(bench *b, int n_clips) {
    vx_clip clips[CLIPS_PER_VIDEO];
    vx_video v = {.filename = (char *)"camera 7/2026-01-02 03:04:05.mp4",
                  .metadata = (char *)"{\"camera\":7,\"place\":\"gate\"}",
                  .fps = 30,
                  .clips = clips,
                  .n_clips = (size_t)n_clips};
    int seed = b->next_seed++;
    for (int i = 0; i < 32; i++) /* spread over the id index, as real hashes are */
        v.sha256[i] = (uint8_t)((uint64_t)(seed + 1) * 0x9E3779B97F4A7C15u >> (i % 8 * 8));
    for (int i = 0; i < n_clips; i++)
        clips[i] = (vx_clip){.index = i, .start_s = i, .end_s = i + 1};
    need(vx_catalog_insert_video(b->catalog, &v, &failure), &failure);
    int64_t rows[CLIPS_PER_VIDEO];
    for (int i = 0; i < n_clips; i++)
        rows[i] = clips[i].row;
    need(vx_catalog_insert_vectors(b->catalog, b->space, rows, (size_t)n_clips, b->vectors, b->dim,
                                   &failure),
         &failure);
    uint8_t fingerprint[30 * 36] = {0}; /* fifteen seconds at two frames a second */
    need(
        vx_catalog_insert_fingerprint(b->catalog, v.row, fingerprint, sizeof fingerprint, &failure),
        &failure);
}

/* Seconds for n_commits of `group` videos with one clip each. */
static double time_commits(bench *b, int n_commits, int group) {
    double start = now_s();
    for (int i = 0; i < n_commits; i++) {
        need(vx_catalog_begin(b->catalog, &failure), &failure);
        for (int j = 0; j < group; j++)
            add_video(b, 1);
        need(vx_catalog_commit(b->catalog, &failure), &failure);
    }
    return now_s() - start;
}

/* Seconds for as many appends of 128 KiB (what one commit logs), each synced. */
static double time_plain_syncs(const bench *b, int n) {
    static uint8_t data[128 << 10];
    char path[300];
    snprintf(path, sizeof path, "%s.plain", b->path);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    double start = now_s();
    for (int i = 0; i < n; i++) {
        if (write(fd, data, sizeof data) != (ssize_t)sizeof data || fdatasync(fd)) {
            perror(path);
            exit(1);
        }
    }
    double spent = now_s() - start;
    close(fd);
    unlink(path);
    return spent;
}

static void bench_commits(bench *b) {
    time_commits(b, N_COMMITS / 10, 1); /* the log and its first pages */
    double plain = time_plain_syncs(b, N_COMMITS);
    double single = time_commits(b, N_COMMITS, 1);
    double grouped = time_commits(b, N_COMMITS / GROUP, GROUP);
    printf("plain_syncs_per_s %.0f\n", N_COMMITS / plain);
    printf("commits_per_s %.0f\n", N_COMMITS / single);
    printf("commits_to_plain_syncs %.2f\n", plain / single);
    printf("videos_per_s_in_groups_of_%d %.0f\n", GROUP, N_COMMITS / GROUP * GROUP / grouped);
}

static void fill(bench *b) {
    double start = now_s();
    for (size_t done = 0; done < b->n;) {
        need(vx_catalog_begin(b->catalog, &failure), &failure);
        for (int i = 0; i < 100 && done < b->n; i++, done += CLIPS_PER_VIDEO)
            add_video(b, CLIPS_PER_VIDEO);
        need(vx_catalog_commit(b->catalog, &failure), &failure);
    }
    printf("fill_vectors_per_s %.0f\n", (double)b->n / (now_s() - start));
}

static int count_vectors(void *ctx, const int64_t *clip_rows, const float *vectors, size_t n,
                         vx_err *err) {
    (void)clip_rows, (void)vectors, (void)err;
    atomic_fetch_add((atomic_size_t *)ctx, n);
    return 0;
}

static void bench_load(bench *b, const char *name, int threads) {
    atomic_size_t seen = 0;
    double start = now_s();
    need(vx_catalog_scan_vectors(b->catalog, b->space, b->dim, 4096, threads, count_vectors, &seen,
                                 &failure),
         &failure);
    double bytes = (double)seen * (double)b->dim * sizeof(float);
    printf("load_%s_%d_threads_gb_per_s %.2f\n", name, threads, bytes / (now_s() - start) / 1e9);
}

/* Out of the page cache; the catalog is closed, since closing a second descriptor of an open
 * SQLite file would drop its locks. */
static void evict(const char *path) {
    int fd = open(path, O_RDONLY);
    if (fsync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
        perror(path);
    close(fd);
}

static void bench_reads(bench *b) {
    const int n = 2000;
    double start = now_s();
    for (int i = 0; i < n; i++) {
        vx_video *video;
        int64_t row = 1 + (int64_t)((double)i / n * (double)b->n);
        need(vx_catalog_get_video_of_clip(b->catalog, row, &video, &failure), &failure);
        vx_video_free(video);
    }
    printf("get_video_of_clip_us %.1f\n", (now_s() - start) / n * 1e6);
    start = now_s();
    vx_video **videos;
    size_t n_videos;
    need(vx_catalog_list_videos(b->catalog, &(vx_video_query){.limit = 100}, &videos, &n_videos,
                                &failure),
         &failure);
    printf("list_100_videos_us %.0f\n", (now_s() - start) * 1e6);
    for (size_t i = 0; i < n_videos; i++)
        vx_video_free(videos[i]);
    free(videos);
}

/* What a film of n clips costs the one committer: its rows, and the videos of eight neighbours a clip. */
static void bench_film(bench *b, int n) {
    vx_clip *clips = vx_new_array((size_t)n, sizeof *clips);
    int64_t *rows = vx_new_array((size_t)n, sizeof *rows);
    float *vectors = vx_new_array((size_t)n * (size_t)b->dim, sizeof *vectors);
    vx_video v = {.filename = (char *)"film.mkv",
                  .metadata = (char *)"{}",
                  .sha256 = {1, 2, 3},
                  .clips = clips,
                  .n_clips = (size_t)n};
    for (int i = 0; i < n; i++)
        clips[i] = (vx_clip){.index = i, .start_s = i, .end_s = i + 1};
    for (size_t i = 0; i < (size_t)n * (size_t)b->dim; i++)
        vectors[i] = (float)(i % 251);
    need(vx_catalog_begin(b->catalog, &failure), &failure);
    double start = now_s();
    need(vx_catalog_insert_video(b->catalog, &v, &failure), &failure);
    double clips_done = now_s();
    for (int i = 0; i < n; i++)
        rows[i] = clips[i].row;
    need(
        vx_catalog_insert_vectors(b->catalog, b->space, rows, (size_t)n, vectors, b->dim, &failure),
        &failure);
    double vectors_done = now_s();
    need(vx_catalog_commit(b->catalog, &failure), &failure);
    double committed = now_s();
    need(vx_catalog_begin(b->catalog, &failure),
         &failure); /* as the verdict of the committer looks them up */
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < 8; j++) {
            int64_t video = 1 + (8LL * i + j) * 7919 % (int64_t)b->n / CLIPS_PER_VIDEO;
            bool has;
            need(vx_catalog_has_video(b->catalog, video, &has, &failure), &failure);
        }
    }
    double looked_up = now_s();
    vx_catalog_rollback(b->catalog);
    printf("film_of_%d_insert_clips_ms %.0f\n", n, (clips_done - start) * 1e3);
    printf("film_of_%d_insert_vectors_ms %.0f\n", n, (vectors_done - clips_done) * 1e3);
    printf("film_of_%d_commit_ms %.0f\n", n, (committed - vectors_done) * 1e3);
    printf("film_of_%d_has_%d_videos_ms %.0f\n", n, 8 * n, (looked_up - committed) * 1e3);
    free(clips);
    free(rows);
    free(vectors);
}

static void open_bench(bench *b) {
    need(vx_catalog_open(b->path, 0, &b->catalog, &failure), &failure);
    need(vx_catalog_begin(b->catalog, &failure), &failure);
    need(vx_catalog_insert_vector_space(b->catalog, "bench", "0", b->dim, &b->space, &failure),
         &failure);
    need(vx_catalog_commit(b->catalog, &failure), &failure);
}

int main(int argc, char **argv) {
    if (argc < 4 || argc > 5) {
        fprintf(stderr, "usage: bench_catalog DIR N DIM [THREADS]\n");
        return 2;
    }
    bench b = {.n = (size_t)atol(argv[2]), .dim = atoi(argv[3])};
    b.threads = argc == 5 ? atoi(argv[4]) : 2;
    snprintf(b.path, sizeof b.path, "%s/bench.db", argv[1]);
    b.vectors = vx_new_array(CLIPS_PER_VIDEO * (size_t)b.dim, sizeof *b.vectors);
    open_bench(&b);
    fill(&b);
    bench_commits(&b);
    bench_reads(&b);
    bench_film(&b, 10000);
    vx_catalog_close(b.catalog); /* folds the log into the file, as a stopped server does */
    open_bench(&b);
    bench_load(&b, "warm", 1);
    bench_load(&b, "warm", b.threads);
    vx_catalog_close(b.catalog);
    evict(b.path);
    open_bench(&b);
    bench_load(&b, "cold", b.threads);
    vx_catalog_close(b.catalog);
    free(b.vectors);
    unlink(b.path);
    strcat(b.path, ".lock");
    unlink(b.path);
    return 0;
}
