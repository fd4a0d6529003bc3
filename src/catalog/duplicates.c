/* duplicates.c — the pairs that a scan found, and which videos it has compared. */
#include <errno.h>
#include <string.h>

#include "catalog_internal.h"

static int are_there(vx_catalog *catalog, const vx_duplicate_pair *pair, bool *ret, vx_err *err) {
    VX_SQL(q, &catalog->writer, "SELECT count(*) FROM videos WHERE row IN (?, ?)");
    vx_sql_bind_int(&q, pair->a);
    vx_sql_bind_int(&q, pair->b);
    int rc = vx_sql_next(&q, err);
    *ret = rc > 0 && vx_sql_int(&q) == 2;
    return rc < 0 ? rc : 0;
}

/* (INSERT ... SELECT ... WHERE EXISTS would do in one statement, but keeps a journal for each that SQLite walks through:
 * a sixth of a scan's time.) */
static int insert_pair(vx_catalog *catalog, const vx_duplicate_pair *pair, vx_err *err) {
    bool there;
    int rc = are_there(catalog, pair, &there, err);
    if (rc || !there)
        return rc;
    VX_SQL(
        q, &catalog->writer,
        "INSERT INTO duplicate_pairs (a, b, kind, score, share, share_of_a, share_of_b, offset_s,"
        " mirrored, segments) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (a, b) DO UPDATE SET kind = excluded.kind, score = excluded.score,"
        " share = excluded.share, share_of_a = excluded.share_of_a,"
        " share_of_b = excluded.share_of_b, offset_s = excluded.offset_s,"
        " mirrored = excluded.mirrored, segments = excluded.segments");
    vx_sql_bind_int(&q, pair->a);
    vx_sql_bind_int(&q, pair->b);
    vx_sql_bind_int(&q, pair->kind);
    vx_sql_bind_real(&q, (double)pair->score);
    vx_sql_bind_real(&q, (double)pair->share);
    vx_sql_bind_real(&q, (double)pair->share_of_a);
    vx_sql_bind_real(&q, (double)pair->share_of_b);
    vx_sql_bind_real(&q, (double)pair->offset_s);
    vx_sql_bind_int(&q, pair->mirrored);
    vx_sql_bind_blob(&q, pair->segments, pair->n_segments * 4 * sizeof *pair->segments);
    return vx_sql_run(&q, err);
}

int vx_catalog_insert_pairs(vx_catalog *catalog, const vx_duplicate_pair *pairs, size_t n,
                            vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    for (size_t i = 0; i < n && !rc; i++)
        rc = insert_pair(catalog, &pairs[i], err);
    return rc;
}

int vx_catalog_set_scanned(vx_catalog *catalog, int64_t video, int64_t vectors, bool capped,
                           vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "INSERT OR REPLACE INTO duplicate_scanned (video, vectors, capped) SELECT ?1, ?2, ?3"
           " WHERE EXISTS (SELECT 1 FROM videos WHERE row = ?1)");
    vx_sql_bind_int(&q, video);
    vx_sql_bind_int(&q, vectors);
    vx_sql_bind_int(&q, capped);
    return vx_sql_run(&q, err);
}

int vx_catalog_set_basis(vx_catalog *catalog, const char *basis, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    {
        VX_SQL(q, &catalog->writer, "SELECT 1 FROM duplicate_basis WHERE basis = ?");
        vx_sql_bind_text(&q, basis);
        rc = vx_sql_next(&q, err);
    }
    if (rc)
        return rc < 0 ? rc : 0;
    rc = vx_db_run(&catalog->writer, "DELETE FROM duplicate_scanned", err);
    if (!rc)
        rc = vx_db_run(&catalog->writer, "DELETE FROM duplicate_pairs", err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "INSERT OR REPLACE INTO duplicate_basis (one, basis) VALUES (1, ?)");
    vx_sql_bind_text(&q, basis);
    return vx_sql_run(&q, err);
}

/* The columns a to mirrored. */
static int give_pairs(vx_sql *q, vx_catalog_on_pair on_pair, void *ctx, vx_err *err) {
    int rc;
    while ((rc = vx_sql_next(q, err)) > 0) {
        vx_duplicate_pair pair = {0};
        pair.a = vx_sql_int(q);
        pair.b = vx_sql_int(q);
        pair.kind = (vx_verdict_kind)vx_sql_int(q);
        pair.score = (float)vx_sql_real(q);
        pair.share = (float)vx_sql_real(q);
        pair.share_of_a = (float)vx_sql_real(q);
        pair.share_of_b = (float)vx_sql_real(q);
        pair.offset_s = (float)vx_sql_real(q);
        pair.mirrored = vx_sql_int(q) != 0;
        if (pair.kind < 0 || pair.kind >= VX_VERDICT_KINDS)
            continue;
        if ((rc = on_pair(ctx, &pair, err)))
            return rc;
    }
    return rc;
}

int vx_catalog_scan_pairs(vx_catalog *catalog, vx_catalog_on_pair on_pair, void *ctx, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT a, b, kind, score, share, share_of_a, share_of_b, offset_s, mirrored"
           " FROM duplicate_pairs ORDER BY a, b");
    return give_pairs(&q, on_pair, ctx, err);
}

int vx_catalog_scan_pairs_of(vx_catalog *catalog, int64_t video, vx_catalog_on_pair on_pair,
                             void *ctx, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT a, b, kind, score, share, share_of_a, share_of_b, offset_s, mirrored"
           " FROM duplicate_pairs WHERE a = ?1 UNION ALL"
           " SELECT a, b, kind, score, share, share_of_a, share_of_b, offset_s, mirrored"
           " FROM duplicate_pairs WHERE b = ?1");
    vx_sql_bind_int(&q, video);
    return give_pairs(&q, on_pair, ctx, err);
}

int vx_catalog_get_segments(vx_catalog *catalog, int64_t a, int64_t b, float **ret_segments,
                            size_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT segments FROM duplicate_pairs WHERE a = ? AND b = ?");
    vx_sql_bind_int(&q, a);
    vx_sql_bind_int(&q, b);
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    size_t bytes = 0;
    const void *blob = rc ? vx_sql_blob(&q, &bytes) : NULL;
    size_t n = bytes / (4 * sizeof(float));
    float *copy = n ? vx_new_array(n, 4 * sizeof *copy) : NULL;
    if (n && !copy)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    if (n)
        memcpy(copy, blob, n * 4 * sizeof *copy);
    *ret_segments = copy;
    *ret_n = n;
    return 0;
}

int vx_catalog_scan_scanned(vx_catalog *catalog, vx_catalog_on_scanned on_scanned, void *ctx,
                            vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT video, vectors FROM duplicate_scanned ORDER BY video");
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0) {
        int64_t video = vx_sql_int(&q), vectors = vx_sql_int(&q);
        if ((rc = on_scanned(ctx, video, vectors, err)))
            return rc;
    }
    return rc;
}

int vx_catalog_set_looked(vx_catalog *catalog, int64_t video, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer, "UPDATE duplicate_scanned SET looked = 1 WHERE video = ?");
    vx_sql_bind_int(&q, video);
    return vx_sql_run(&q, err);
}

/* The kinds: vx_verdict_wants_look is false for them. */
#define UNLOOKED                                                                                   \
    " FROM duplicate_scanned AS s WHERE looked = 0 AND video > ?1 AND NOT EXISTS"                  \
    " (SELECT 1 FROM duplicate_pairs WHERE b = s.video AND kind IN (?2, ?3, ?4))"

static void bind_unlooked(vx_sql *q, int64_t after) {
    vx_sql_bind_int(q, after);
    vx_sql_bind_int(q, VX_VERDICT_EXACT);
    vx_sql_bind_int(q, VX_VERDICT_COPY);
    vx_sql_bind_int(q, VX_VERDICT_PART_OF);
}

int vx_catalog_find_unlooked(vx_catalog *catalog, int64_t after, size_t n, int64_t *ret_rows,
                             size_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT video" UNLOOKED " ORDER BY video LIMIT ?5");
    int rc;
    *ret_n = 0;
    bind_unlooked(&q, after);
    vx_sql_bind_int(&q, (int64_t)n);
    while ((rc = vx_sql_next(&q, err)) > 0 && *ret_n < n)
        ret_rows[(*ret_n)++] = vx_sql_int(&q);
    return rc < 0 ? rc : 0;
}

int vx_catalog_count_unlooked(vx_catalog *catalog, int64_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT count(*)" UNLOOKED);
    bind_unlooked(&q, 0);
    int rc = vx_sql_next(&q, err);
    *ret_n = rc > 0 ? vx_sql_int(&q) : 0;
    return rc < 0 ? rc : 0;
}
