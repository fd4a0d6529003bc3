/* vector_scan.c — streams the vectors of a space at disk speed, on connections of its own so that a
 * scan of minutes does not starve the pool. 200,000 x 1280 on two cores: 4.3 GB/s from the page cache.
 *
 * A server start is slower, because the index also copies the vectors into fresh memory. On a virtual
 * machine whose host must first find that memory, this costs more than the disk: 2 s a GB for one
 * thread. Hence two things. The threads take stretches of the table in turn and fill segments of the
 * index in parallel (index/segmented_index.c): they share no lock, and the file is read in order, so
 * that the kernel reads ahead. And pages that came from the disk leave the page cache once delivered:
 * the vectors are in the index by then, and a second copy would take memory that a large index needs.
 * Pages that were cached before the start stay.
 *
 * tests/bench/README.md has the runs, also of reading ahead by hand (slower: the kernel then fills its
 * cache in 4-KiB pages), of more threads and of two-megabyte pages.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "catalog_internal.h"

typedef struct scan {
    vx_catalog *catalog;
    int64_t space;
    int64_t first_key, end_key; /* end excluded */
    _Atomic int64_t next_key;   /* of the next stretch of chunk_rows keys */
    off_t file_bytes;
    bool was_cached; /* most of the file, before the scan */
    int dim;
    size_t chunk_rows;
    vx_catalog_on_vectors on_vectors;
    void *ctx;
    atomic_bool stop; /* one part failed or was told to stop */
} scan;

typedef struct scan_part {
    scan *scan;
    pthread_t thread;
    int rc;
    vx_err err;
} scan_part;

typedef struct chunk {
    int64_t *rows;
    float *vectors;
    size_t n;
} chunk;

static void chunk_done(chunk *c) {
    free(c->rows);
    free(c->vectors);
}

static int deliver(scan *s, chunk *c, vx_err *err) {
    if (c->n == 0)
        return 0;
    size_t n = c->n;
    c->n = 0;
    return s->on_vectors(s->ctx, c->rows, c->vectors, n, err);
}

static int read_range(scan *s, vx_sql *q, chunk *c, vx_err *err) {
    const size_t vector_bytes = (size_t)s->dim * sizeof(float);
    int rc;
    while ((rc = vx_sql_next(q, err)) > 0) {
        int64_t clip = vx_sql_int(q) - vx_catalog_vector_key(s->space, 0);
        size_t bytes;
        const void *data = vx_sql_blob(q, &bytes);
        if (bytes != vector_bytes)
            return VX_FAIL(err, -EIO,
                           "catalog: the vector of clip %" PRId64 " has %zu bytes, not %zu", clip,
                           bytes, vector_bytes);
        if (!vx_catalog_is_right(
                s->catalog, q,
                (vx_health_row){VX_HEALTH_VECTOR, vx_catalog_vector_key(s->space, clip)}, data,
                bytes))
            continue;
        c->rows[c->n] = clip;
        memcpy(c->vectors + c->n * (size_t)s->dim, data, bytes);
        if (++c->n < s->chunk_rows)
            continue;
        if (atomic_load(&s->stop))
            return 0;
        if ((rc = deliver(s, c, err)))
            return rc;
    }
    return rc;
}

/* About where in the file a key's vector lies: rows are appended in the order of their keys, with much
 * the same between them. A hint; where it is wrong, pages stay cached or are read once more. */
static off_t position(const scan *s, int64_t key) {
    double share = (double)(key - s->first_key) / (double)(s->end_key - s->first_key);
    return share < 1 ? (off_t)(share * (double)s->file_bytes) : s->file_bytes;
}

static int read_stretch(scan *s, vx_db *db, int64_t first, chunk *c, vx_err *err) {
    int64_t end = first + (int64_t)s->chunk_rows;
    int fd = s->catalog->file_fd;
    off_t from = position(s, first), to = position(s, end);
    VX_SQL(q, db, "SELECT key, data, checksum FROM vectors WHERE key >= ? AND key < ?");
    vx_sql_bind_int(&q, first);
    vx_sql_bind_int(&q, end < s->end_key ? end : s->end_key);
    int rc = read_range(s, &q, c, err);
    if (!s->was_cached)
        posix_fadvise(fd, from, to - from, POSIX_FADV_DONTNEED);
    return rc;
}

static int read_stretches(scan *s, vx_db *db, chunk *c, vx_err *err) {
    while (!atomic_load(&s->stop)) {
        int64_t first = atomic_fetch_add(&s->next_key, (int64_t)s->chunk_rows);
        if (first >= s->end_key)
            return deliver(s, c, err);
        int rc = read_stretch(s, db, first, c, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int scan_range(scan_part *part, vx_db *db) {
    scan *s = part->scan;
    vx_err *err = &part->err;
    int rc = vx_db_open(db, s->catalog->path, VX_DB_SCANNER, err);
    db->health = &s->catalog->health;
    if (rc)
        return rc;
    __attribute__((cleanup(chunk_done))) chunk c = {
        .rows = vx_new_array(s->chunk_rows, sizeof *c.rows),
        .vectors = vx_new_array(s->chunk_rows, (size_t)s->dim * sizeof *c.vectors),
    };
    if (!c.rows || !c.vectors)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    return read_stretches(s, db, &c, err);
}

static void *run_part(void *ctx) {
    scan_part *part = ctx;
    vx_db db;
    part->rc = scan_range(part, &db);
    if (part->rc)
        atomic_store(&part->scan->stop, true);
    vx_db_close(&db);
    return NULL;
}

/* The keys of the space, end excluded; equal when it is empty. */
static int key_range(vx_catalog *catalog, int64_t space, int64_t *ret_first, int64_t *ret_end,
                     vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT coalesce((SELECT min(key) FROM vectors WHERE key >= ?1 AND key < ?2), ?1),"
           " coalesce((SELECT max(key) + 1 FROM vectors WHERE key >= ?1 AND key < ?2), ?1)");
    vx_sql_bind_int(&q, vx_catalog_vector_key(space, 0));
    vx_sql_bind_int(&q, vx_catalog_vector_key(space + 1, 0));
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    *ret_first = vx_sql_int(&q);
    *ret_end = vx_sql_int(&q);
    return 0;
}

/* Part 0 runs on the calling thread. */
static int run_parts(scan_part *parts, int n, vx_err *err) {
    int started = 1, rc = 0;
    for (; started < n && !rc; started++)
        rc =
            vx_thread_start(&parts[started].thread, "catalog-scan", run_part, &parts[started], err);
    if (rc) {
        started--;
        atomic_store(&parts[0].scan->stop, true);
    } else {
        run_part(&parts[0]);
    }
    for (int i = 1; i < started; i++)
        pthread_join(parts[i].thread, NULL);
    for (int i = 0; i < n && !rc; i++) {
        rc = parts[i].rc;
        if (rc && err)
            *err = parts[i].err;
    }
    return rc;
}

/* By samples, which do not wait for the disk. */
static bool is_mostly_cached(int fd, off_t bytes) {
    enum { SAMPLES = 64 };
    int cached = 0;
    for (int i = 0; i < SAMPLES; i++) {
        char byte;
        struct iovec one = {.iov_base = &byte, .iov_len = 1};
        cached += preadv2(fd, &one, 1, bytes / SAMPLES * i, RWF_NOWAIT) == 1;
    }
    return cached > SAMPLES / 2;
}

int vx_catalog_scan_vectors(vx_catalog *catalog, int64_t space, int dim, size_t chunk_rows,
                            int threads, vx_catalog_on_vectors on_vectors, void *ctx, vx_err *err) {
    if (dim < 1 || chunk_rows < 1)
        return VX_FAIL(err, -EINVAL, "catalog: a scan of %d dimensions by %zu", dim, chunk_rows);
    scan s = {.catalog = catalog,
              .space = space,
              .dim = dim,
              .chunk_rows = chunk_rows,
              .on_vectors = on_vectors,
              .ctx = ctx};
    int rc = key_range(catalog, space, &s.first_key, &s.end_key, err);
    if (rc || s.first_key == s.end_key)
        return rc;
    atomic_init(&s.next_key, s.first_key);
    struct stat facts;
    if (fstat(catalog->file_fd, &facts))
        return VX_FAIL_ERRNO(err, "%s", catalog->path);
    s.file_bytes = facts.st_size;
    s.was_cached = is_mostly_cached(catalog->file_fd, facts.st_size);
    int n = threads < 1 ? 1 : threads > 64 ? 64 : threads;
    VX_AUTO_FREE scan_part *parts = vx_new_array((size_t)n, sizeof *parts);
    if (!parts)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    for (int i = 0; i < n; i++)
        parts[i].scan = &s;
    return run_parts(parts, n, err);
}
