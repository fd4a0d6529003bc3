/* indexes.c — declares which fields of the metadata have a column in memory. */
#include <errno.h>
#include <string.h>

#include "library_internal.h"

typedef struct index_write {
    vx_write write;
    vx_library *library;
    char *fields[VX_FILTER_MAX_DECLARED]; /* [n]; owned */
    size_t n;
    vx_library_done done;
    void *ctx;
} index_write;

static void free_write(index_write *w) {
    for (size_t i = 0; i < w->n; i++)
        free(w->fields[i]);
    free(w);
}

static int apply_indexes(vx_write *write, vx_err *err) {
    index_write *w = VX_CONTAINER_OF(write, index_write, write);
    return vx_catalog_set_indexes(w->library->params.collection->catalog,
                                  (const char *const *)w->fields, w->n, err);
}

/* The columns follow once it is durable, and are filled by the upkeep thread. */
static void finish_indexes(vx_write *write, int rc, const vx_err *err) {
    index_write *w = VX_CONTAINER_OF(write, index_write, write);
    vx_err own;
    if (!rc) {
        rc = vx_collection_read_indexes(w->library->params.collection, &own);
        err = rc ? &own : err;
        vx_library_wake_upkeep(w->library);
    }
    w->done(w->ctx, rc, err);
    free_write(w);
}

vx_outcome vx_library_set_indexes(vx_library *library, const char *const *fields, size_t n,
                                  vx_library_done done, void *ctx) {
    index_write *w = vx_new(index_write);
    bool fine = w != NULL;
    for (size_t i = 0; fine && i < n; i++) {
        fine = (w->fields[i] = strdup(fields[i])) != NULL;
        w->n += fine;
    }
    if (!fine) {
        if (w)
            free_write(w);
        return VX_OUTCOME_INTERNAL;
    }
    w->write = (vx_write){.apply = apply_indexes, .done = finish_indexes};
    w->library = library;
    w->done = done;
    w->ctx = ctx;
    vx_outcome refused = vx_writer_submit(library->params.writer, &w->write, VX_WRITER_REFUSE);
    if (refused)
        free_write(w);
    return refused;
}
