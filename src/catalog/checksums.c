/* checksums.c — the checksums of vectors and fingerprints, and what a wrong one says of the catalog. */
#include <inttypes.h>

#include "base/crc32c.h"
#include "catalog_internal.h"

uint32_t vx_catalog_checksum(int64_t key, const void *data, size_t bytes) {
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "keys are summed as they lie");
    return vx_crc32c(vx_crc32c(0, &key, sizeof key), data, bytes);
}

bool vx_catalog_is_right(vx_catalog *catalog, vx_sql *q, vx_health_row row, const void *data,
                         size_t bytes) {
    int64_t stored = 0;
    if (!vx_sql_int_or_null(q, &stored)) {
        atomic_fetch_add(&catalog->n_unchecked, 1);
        return true;
    }
    if (stored == (int64_t)vx_catalog_checksum(row.key, data, bytes))
        return true;
    vx_health_note_row(&catalog->health, row);
    return false;
}

/* What cannot be read counts as damaged: its page is noted, or memory was short. */
static bool is_still_damaged(vx_catalog *catalog, vx_health_row row) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT data, checksum FROM vectors WHERE ?1 = 0 AND key = ?2 UNION ALL"
           " SELECT data, checksum FROM fingerprints WHERE ?1 = 1 AND video = ?2 UNION ALL"
           " SELECT data, checksum FROM pictures WHERE ?1 = 2 AND video = ?2 AND data IS NOT NULL");
    _Static_assert(VX_HEALTH_FINGERPRINT == 1 && VX_HEALTH_PICTURES == 2, "as the query has them");
    vx_sql_bind_int(&q, row.table);
    vx_sql_bind_int(&q, row.key);
    int rc = vx_sql_next(&q, NULL);
    if (rc <= 0)
        return rc < 0;
    size_t bytes;
    const void *data = vx_sql_blob(&q, &bytes);
    return !vx_catalog_is_right(catalog, &q, row, data, bytes);
}

bool vx_catalog_health(vx_catalog *catalog, char *ret_reason, size_t capacity) {
    char reason[256];
    vx_health_row row;
    while (vx_health_get_first(&catalog->health, reason, &row)) {
        static const char *const what[] = {
            [VX_HEALTH_VECTOR] = "vector of clip",
            [VX_HEALTH_FINGERPRINT] = "fingerprint of video",
            [VX_HEALTH_PICTURES] = "description of the pictures of video",
        };
        if (reason[0]) {
            snprintf(ret_reason, capacity, "%s", reason);
            return false;
        }
        if (is_still_damaged(catalog, row)) {
            snprintf(ret_reason, capacity, "the %s %" PRId64 " does not match its checksum",
                     what[row.table],
                     row.table == VX_HEALTH_VECTOR ? vx_catalog_clip_of_key(row.key) : row.key);
            return false;
        }
        vx_health_forget_row(&catalog->health, row);
    }
    return true;
}

/* Looks at up to max rows behind *last; adds the checksums that lack. *ret_n: rows looked at. */
static int add_to_vectors(vx_catalog *catalog, int max, int *ret_n, vx_err *err) {
    VX_SQL(find, &catalog->writer,
           "SELECT key, data, checksum IS NULL FROM vectors WHERE key > ? ORDER BY key LIMIT ?");
    vx_sql_bind_int(&find, catalog->checked_vector);
    vx_sql_bind_int(&find, max);
    int rc;
    while ((rc = vx_sql_next(&find, err)) > 0) {
        int64_t key = vx_sql_int(&find);
        size_t bytes;
        const void *data = vx_sql_blob(&find, &bytes);
        catalog->checked_vector = key;
        ++*ret_n;
        if (!vx_sql_int(&find))
            continue;
        VX_SQL(add, &catalog->writer, "UPDATE vectors SET checksum = ? WHERE key = ?");
        vx_sql_bind_int(&add, vx_catalog_checksum(key, data, bytes));
        vx_sql_bind_int(&add, key);
        if ((rc = vx_sql_run(&add, err)))
            return rc;
    }
    return rc;
}

static int add_to_fingerprints(vx_catalog *catalog, int max, int *ret_n, vx_err *err) {
    VX_SQL(find, &catalog->writer,
           "SELECT video, data, checksum IS NULL FROM fingerprints WHERE video > ? ORDER BY video"
           " LIMIT ?");
    vx_sql_bind_int(&find, catalog->checked_fingerprint);
    vx_sql_bind_int(&find, max);
    int rc;
    while ((rc = vx_sql_next(&find, err)) > 0) {
        int64_t video = vx_sql_int(&find);
        size_t bytes;
        const void *data = vx_sql_blob(&find, &bytes);
        catalog->checked_fingerprint = video;
        ++*ret_n;
        if (!vx_sql_int(&find))
            continue;
        VX_SQL(add, &catalog->writer, "UPDATE fingerprints SET checksum = ? WHERE video = ?");
        vx_sql_bind_int(&add, vx_catalog_checksum(video, data, bytes));
        vx_sql_bind_int(&add, video);
        if ((rc = vx_sql_run(&add, err)))
            return rc;
    }
    return rc;
}

int vx_catalog_add_checksums(vx_catalog *catalog, int max, bool *ret_more, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err), n = 0;
    if (rc)
        return rc;
    if (atomic_load(&catalog->n_unchecked) > 0) {
        rc = add_to_vectors(catalog, max, &n, err);
        if (!rc && n < max)
            rc = add_to_fingerprints(catalog, max - n, &n, err);
        if (rc)
            return rc;
        if (n < max)
            atomic_store(&catalog->n_unchecked, 0);
    }
    *ret_more = n == max;
    return 0;
}
