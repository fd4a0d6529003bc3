/* check.c — vidx check's part of the catalog: what is wrong in it, and mending what can be derived. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "catalog_internal.h"

typedef struct check {
    vx_catalog *catalog;
    vx_catalog_on_flaw on_flaw;
    void *ctx;
    vx_err *err;
} check;

__attribute__((format(printf, 5, 6))) static int tell(check *c, vx_flaw_kind kind, int64_t row,
                                                      const char *table, const char *fmt, ...) {
    vx_flaw flaw = {.kind = kind, .row = row};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(flaw.text, sizeof flaw.text, fmt, ap);
    va_end(ap);
    snprintf(flaw.table, sizeof flaw.table, "%s", table);
    return c->on_flaw(c->ctx, &flaw, c->err);
}

static int check_structure(check *c, vx_db *db) {
    VX_SQL(q, db, "PRAGMA integrity_check");
    int rc;
    while ((rc = vx_sql_next(&q, c->err)) > 0) {
        char text[200];
        vx_sql_text_into(&q, text, sizeof text);
        if (strcmp(text, "ok") && (rc = tell(c, VX_FLAW_STRUCTURE, 0, "", "%s", text)))
            return rc;
    }
    return rc;
}

static int check_references(check *c, vx_db *db) {
    VX_SQL(q, db, "SELECT \"table\", rowid, parent FROM pragma_foreign_key_check");
    int rc;
    while ((rc = vx_sql_next(&q, c->err)) > 0) {
        char table[32], parent[32];
        vx_sql_text_into(&q, table, sizeof table);
        int64_t row = vx_sql_int(&q);
        vx_sql_text_into(&q, parent, sizeof parent);
        rc = tell(c, VX_FLAW_REFERENCE, row, table,
                  "row %" PRId64 " of %s refers to a row of %s that is gone", row, table, parent);
        if (rc)
            return rc;
    }
    return rc;
}

/* For those of before there were checksums: models give unit vectors. */
static bool is_unit_vector(const void *data, size_t bytes) {
    double sum = 0;
    for (size_t i = 0; i < bytes / sizeof(float); i++) {
        float number;
        memcpy(&number, (const char *)data + i * sizeof number, sizeof number);
        sum += (double)number * (double)number;
    }
    return fabs(sqrt(sum) - 1) < 1e-2; /* false for NaN */
}

static int check_vectors(check *c, vx_db *db) {
    VX_SQL(q, db,
           "SELECT v.key, v.data, v.checksum, v.checksum IS NULL, s.dim, s.model, c.position,"
           " videos.id FROM vectors v LEFT JOIN spaces s ON s.row = v.key >> 40"
           " LEFT JOIN clips c ON c.row = v.key & ((1 << 40) - 1)"
           " LEFT JOIN videos ON videos.row = c.video ORDER BY v.key");
    int rc;
    while ((rc = vx_sql_next(&q, c->err)) > 0) {
        char model[64], video[VX_VIDEO_ID_CHARS + 1];
        size_t bytes;
        int64_t key = vx_sql_int(&q), dim = 0, position = 0;
        const void *data = vx_sql_blob(&q, &bytes);
        bool right = vx_catalog_is_right(c->catalog, &q, (vx_health_row){VX_HEALTH_VECTOR, key},
                                         data, bytes);
        bool unchecked = vx_sql_int(&q) != 0;
        bool has_space = vx_sql_int_or_null(&q, &dim);
        vx_sql_text_into(&q, model, sizeof model);
        bool has_clip = vx_sql_int_or_null(&q, &position);
        vx_sql_text_into(&q, video, sizeof video);
        const char *problem = !has_space || !has_clip ? "belongs to no clip or no model"
                              : !right                ? "does not match its checksum"
                              : bytes != (size_t)dim * sizeof(float) ? "has the wrong size"
                              : unchecked && !is_unit_vector(data, bytes)
                                  ? "is no unit vector (it has no checksum yet)"
                                  : NULL;
        if (!problem)
            continue;
        if (!has_space || !has_clip)
            rc = tell(c, VX_FLAW_VECTOR_ORPHANED, key, "vectors", "vector %" PRId64 " %s", key,
                      problem);
        else
            rc =
                tell(c, VX_FLAW_VECTOR, key, "vectors",
                     "the vector of clip %s.%" PRId64 " of %s %s", video, position, model, problem);
        if (rc)
            return rc;
    }
    return rc;
}

/* Rows with a video's row, data, checksum and the video's id. */
static int check_data(check *c, vx_sql *q, vx_health_table kind, vx_flaw_kind flaw,
                      const char *table, const char *what) {
    int rc;
    while ((rc = vx_sql_next(q, c->err)) > 0) {
        char video[VX_VIDEO_ID_CHARS + 1];
        size_t bytes;
        int64_t row = vx_sql_int(q);
        const void *data = vx_sql_blob(q, &bytes);
        bool right = vx_catalog_is_right(c->catalog, q, (vx_health_row){kind, row}, data, bytes);
        vx_sql_text_into(q, video, sizeof video);
        if (!right && (rc = tell(c, flaw, row, table, "%s of video %s does not match its checksum",
                                 what, video)))
            return rc;
    }
    return rc;
}

static int check_fingerprints(check *c, vx_db *db) {
    VX_SQL(q, db,
           "SELECT f.video, f.data, f.checksum, videos.id FROM fingerprints f"
           " LEFT JOIN videos ON videos.row = f.video ORDER BY f.video");
    return check_data(c, &q, VX_HEALTH_FINGERPRINT, VX_FLAW_FINGERPRINT, "fingerprints",
                      "the fingerprint");
}

static int check_pictures(check *c, vx_db *db) {
    VX_SQL(q, db,
           "SELECT p.video, p.data, p.checksum, videos.id FROM pictures p"
           " JOIN videos ON videos.row = p.video WHERE p.data IS NOT NULL ORDER BY p.video");
    return check_data(c, &q, VX_HEALTH_PICTURES, VX_FLAW_PICTURES, "pictures",
                      "what the copy model says of the pictures");
}

static int check_counts(check *c, vx_db *db) {
    VX_SQL(q, db,
           "SELECT row, model, vectors, (SELECT count(*) FROM vectors WHERE key >= spaces.row << 40"
           " AND key < (spaces.row + 1) << 40) AS counted FROM spaces WHERE vectors <> counted");
    int rc;
    while ((rc = vx_sql_next(&q, c->err)) > 0) {
        char model[64];
        int64_t row = vx_sql_int(&q);
        vx_sql_text_into(&q, model, sizeof model);
        int64_t said = vx_sql_int(&q), counted = vx_sql_int(&q);
        rc = tell(c, VX_FLAW_COUNT, row, "spaces",
                  "%s is said to have %" PRId64 " vectors and has %" PRId64, model, said, counted);
        if (rc)
            return rc;
    }
    return rc;
}

int vx_catalog_check(vx_catalog *catalog, vx_catalog_on_flaw on_flaw, void *ctx, vx_err *err) {
    static int (*const parts[])(check * c, vx_db * db) = {
        check_structure,    check_references, check_vectors,
        check_fingerprints, check_pictures,   check_counts,
    };
    vx_err unread;
    check c = {catalog, on_flaw, ctx, err ? err : &unread};
    for (size_t i = 0; i < VX_LEN(parts); i++) {
        vx_db db; /* a connection each: after damage nothing of it is trusted */
        int rc = vx_db_open(&db, catalog->path, VX_DB_SCANNER, c.err);
        db.health = &catalog->health;
        if (!rc)
            rc = parts[i](&c, &db);
        vx_db_close(&db);
        char text[200];
        snprintf(text, sizeof text, "%.199s", c.err->msg);
        if (rc == -EIO) /* it cannot be read any further */
            rc = tell(&c, VX_FLAW_STRUCTURE, 0, "", "%s", text);
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- repair ---- */

static int delete_row(vx_catalog *catalog, const vx_flaw *flaw, vx_err *err) {
    vx_db *db = &catalog->writer;
    if (!strcmp(flaw->table, "vectors")) {
        VX_SQL(q, db, "DELETE FROM vectors WHERE key = ?");
        vx_sql_bind_int(&q, flaw->row);
        return vx_sql_run(&q, err);
    }
    if (!strcmp(flaw->table, "fingerprints")) {
        VX_SQL(q, db, "DELETE FROM fingerprints WHERE video = ?");
        VX_SQL(mark, db, "UPDATE videos SET fingerprints = 0 WHERE row = ?"); /* to be read again */
        vx_sql_bind_int(&q, flaw->row);
        vx_sql_bind_int(&mark, flaw->row);
        int rc = vx_sql_run(&q, err);
        return rc ? rc : vx_sql_run(&mark, err);
    }
    if (!strcmp(flaw->table, "pictures")) {
        VX_SQL(q, db, "DELETE FROM pictures WHERE video = ?");
        vx_sql_bind_int(&q, flaw->row);
        return vx_sql_run(&q, err);
    }
    if (!strcmp(flaw->table, "clips")) {
        VX_SQL(q, db, "DELETE FROM clips WHERE row = ?");
        vx_sql_bind_int(&q, flaw->row);
        return vx_sql_run(&q, err);
    }
    return VX_FAIL(err, -EINVAL, "catalog: no repair of a row of %s", flaw->table);
}

static int repair_rows(vx_catalog *catalog, const vx_flaw *flaws, size_t n, vx_err *err) {
    int rc = vx_catalog_begin(catalog, err);
    for (size_t i = 0; i < n && !rc; i++)
        if (flaws[i].kind != VX_FLAW_STRUCTURE && flaws[i].kind != VX_FLAW_COUNT)
            rc = delete_row(catalog, &flaws[i], err);
    if (!rc)
        rc = vx_db_run(&catalog->writer,
                       "UPDATE spaces SET vectors = (SELECT count(*) FROM vectors WHERE key >="
                       " spaces.row << 40 AND key < (spaces.row + 1) << 40)",
                       err);
    if (!rc)
        return vx_catalog_commit(catalog, err);
    vx_catalog_rollback(catalog);
    return rc;
}

static int count_flaw(void *ctx, const vx_flaw *flaw, vx_err *err) {
    (void)flaw, (void)err;
    ++*(int *)ctx;
    return 0;
}

int vx_catalog_repair(vx_catalog *catalog, vx_flaw *flaws, size_t n, vx_err *err) {
    size_t n_structure = 0;
    for (size_t i = 0; i < n; i++)
        n_structure += flaws[i].kind == VX_FLAW_STRUCTURE;
    int rc = n_structure < n ? repair_rows(catalog, flaws, n, err) : 0;
    for (size_t i = 0; i < n && !rc; i++)
        flaws[i].repaired = flaws[i].kind != VX_FLAW_STRUCTURE;
    if (!n_structure)
        return rc;
    /* Of the structure, indexes are derived. Whether that was all, only a second look says. */
    int left = 0;
    check c = {catalog, count_flaw, &left, err};
    vx_err unread;
    if (vx_catalog_begin(catalog, &unread))
        return rc;
    if (vx_db_run(&catalog->writer, "REINDEX", &unread) || vx_catalog_commit(catalog, &unread)) {
        vx_catalog_rollback(catalog);
        return rc;
    }
    c.err = &unread;
    if (!check_structure(&c, &catalog->writer) && !left)
        for (size_t i = 0; i < n; i++)
            flaws[i].repaired |= flaws[i].kind == VX_FLAW_STRUCTURE;
    return rc;
}
