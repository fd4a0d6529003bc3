/* readers.c — the pool of connections for reading. */
#include "catalog_internal.h"

vx_reader vx_catalog_take_reader(vx_catalog *catalog) {
    if (vx_catalog_is_writing(catalog))
        return (vx_reader){catalog, &catalog->writer};
    vx_mutex_lock(&catalog->pool_lock);
    while (catalog->n_free == 0)
        vx_cond_wait(&catalog->reader_free, &catalog->pool_lock);
    vx_db *db = catalog->free_readers[--catalog->n_free];
    vx_mutex_unlock(&catalog->pool_lock);
    return (vx_reader){catalog, db};
}

void vx_catalog_give_reader(vx_reader *reader) {
    vx_catalog *catalog = reader->catalog;
    if (reader->db == &catalog->writer)
        return;
    vx_mutex_lock(&catalog->pool_lock);
    catalog->free_readers[catalog->n_free++] = reader->db;
    vx_cond_signal(&catalog->reader_free);
    vx_mutex_unlock(&catalog->pool_lock);
}
