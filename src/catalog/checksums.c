/* checksums.c — the checksums of vectors and fingerprints, and what a wrong one says of the catalog. */
#include <inttypes.h>

#include "base/crc32c.h"
#include "catalog_internal.h"

uint32_t vx_catalog_checksum(int64_t key, const void *data, size_t bytes) {
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "keys are summed as they lie");
    return vx_crc32c(vx_crc32c(0, &key, sizeof key), data, bytes);
}

bool vx_catalog_is_right(vx_catalog *catalog, vx_sql *q, int64_t key, const void *data,
                         size_t bytes, const char *what, int64_t number) {
    int64_t stored = 0;
    if (!vx_sql_int_or_null(q, &stored)) {
        atomic_fetch_add(&catalog->n_unchecked, 1);
        return true;
    }
    if (stored == (int64_t)vx_catalog_checksum(key, data, bytes))
        return true;
    char reason[128];
    snprintf(reason, sizeof reason, "%s %" PRId64 " does not match its checksum", what, number);
    vx_health_note(&catalog->health, reason);
    return false;
}

bool vx_catalog_health(vx_catalog *catalog, char *ret_reason, size_t capacity) {
    vx_health *health = &catalog->health;
    if (!atomic_load(&health->damaged))
        return true;
    vx_mutex_lock(&health->lock);
    snprintf(ret_reason, capacity, "%s", health->reason);
    vx_mutex_unlock(&health->lock);
    return false;
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
