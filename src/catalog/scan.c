/* Streaming whole tables at disk speed, on connections of their own so that a scan of minutes does
 * not starve the pool. The scan alone, 200,000 x 1280 on two cores: 3 to 5 GB/s from the page cache.
 *
 * A whole start reads slower, as the index must also copy what it gets into fresh memory, whose page
 * faults cost more than the reading: 1.2 to 1.5 GB/s from the page cache, 0.5 to 1.1 from the disk,
 * where `cat` of the file made 0.5 to 1.9. Four ranges at once were no faster than two (0.94 to 0.91),
 * eight slower (0.74); so were reading ahead by hand (WILLNEED, readahead) and two-megabyte pages for
 * malloc (0.6 to 0.2). tests/bench/README.md has the runs.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include "catalog/catalog_internal.h"

typedef struct scan {
    const char *path;
    int64_t space;
    int dim;
    size_t chunk_rows;
    vx_catalog_on_vectors on_vectors;
    void *ctx;
    atomic_bool stop; /* one part failed or was told to stop */
} scan;

typedef struct scan_part {
    scan *scan;
    int64_t first_key, end_key; /* end excluded */
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
        c->rows[c->n] = clip;
        memcpy(c->vectors + c->n * (size_t)s->dim, data, bytes);
        if (++c->n < s->chunk_rows)
            continue;
        if (atomic_load(&s->stop))
            return 0;
        if ((rc = deliver(s, c, err)))
            return rc;
    }
    return rc ? rc : deliver(s, c, err);
}

static int scan_range(scan_part *part, vx_db *db) {
    scan *s = part->scan;
    vx_err *err = &part->err;
    int rc = vx_db_open(db, s->path, VX_DB_SCANNER, err);
    if (rc)
        return rc;
    __attribute__((cleanup(chunk_done))) chunk c = {
        .rows = vx_new_array(s->chunk_rows, sizeof *c.rows),
        .vectors = vx_new_array(s->chunk_rows, (size_t)s->dim * sizeof *c.vectors),
    };
    if (!c.rows || !c.vectors)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    VX_SQL(q, db, "SELECT key, data FROM vectors WHERE key >= ? AND key < ?");
    vx_sql_bind_int(&q, part->first_key);
    vx_sql_bind_int(&q, part->end_key);
    return read_range(s, &q, &c, err);
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

int vx_catalog_scan_vectors(vx_catalog *catalog, int64_t space, int dim, size_t chunk_rows,
                            int threads, vx_catalog_on_vectors on_vectors, void *ctx, vx_err *err) {
    if (dim < 1 || chunk_rows < 1)
        return VX_FAIL(err, -EINVAL, "catalog: a scan of %d dimensions by %zu", dim, chunk_rows);
    scan s = {.path = catalog->path,
              .space = space,
              .dim = dim,
              .chunk_rows = chunk_rows,
              .on_vectors = on_vectors,
              .ctx = ctx};
    int64_t first, end;
    int rc = key_range(catalog, space, &first, &end, err);
    if (rc || first == end)
        return rc;
    int n = threads < 1 ? 1 : threads > 64 ? 64 : threads;
    VX_AUTO_FREE scan_part *parts = vx_new_array((size_t)n, sizeof *parts);
    if (!parts)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    for (int i = 0; i < n; i++) /* clip rows stay below 2^40, so the products fit */
        parts[i] = (scan_part){.scan = &s,
                               .first_key = first + (end - first) * i / n,
                               .end_key = first + (end - first) * (i + 1) / n};
    return run_parts(parts, n, err);
}

static int stream_fingerprints(vx_db *db, vx_catalog_on_fingerprint on_fingerprint, void *ctx,
                               vx_err *err) {
    VX_SQL(q, db, "SELECT video, data FROM fingerprints ORDER BY video");
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0) {
        int64_t video = vx_sql_int(&q);
        size_t bytes;
        const void *blob = vx_sql_blob(&q, &bytes);
        if ((rc = on_fingerprint(ctx, video, blob, bytes, err)))
            return rc;
    }
    return rc;
}

int vx_catalog_scan_fingerprints(vx_catalog *catalog, vx_catalog_on_fingerprint on_fingerprint,
                                 void *ctx, vx_err *err) {
    vx_db db;
    int rc = vx_db_open(&db, catalog->path, VX_DB_SCANNER, err);
    if (!rc)
        rc = stream_fingerprints(&db, on_fingerprint, ctx, err);
    vx_db_close(&db);
    return rc;
}
