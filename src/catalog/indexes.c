/* indexes.c — which fields of the metadata have a column in memory. */
#include <errno.h>

#include "catalog_internal.h"

int vx_catalog_set_indexes(vx_catalog *catalog, const char *const *fields, size_t n, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (!rc)
        rc = vx_db_run(&catalog->writer, "DELETE FROM metadata_indexes", err);
    for (size_t i = 0; i < n && !rc; i++) {
        VX_SQL(q, &catalog->writer, "INSERT OR IGNORE INTO metadata_indexes (field) VALUES (?)");
        vx_sql_bind_text(&q, fields[i]);
        rc = vx_sql_run(&q, err);
    }
    return rc;
}

int vx_catalog_list_indexes(vx_catalog *catalog, vx_catalog_on_index on_index, void *ctx,
                            vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT field FROM metadata_indexes ORDER BY field");
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0) {
        bool oom = false;
        VX_AUTO_FREE char *field = vx_sql_text(&q, &oom);
        if (!field)
            return VX_FAIL(err, -ENOMEM, "out of memory");
        if ((rc = on_index(ctx, field, err)))
            return rc;
    }
    return rc;
}
