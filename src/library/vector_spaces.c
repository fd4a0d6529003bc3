/* vector_spaces.c — retires stored vectors that no loaded model can use, and deletes them. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "library_internal.h"

#define DELETE_AT_ONCE 2000 /* vectors in one transaction */

/* Inside a transaction. Gives the spaces that were retired.
 *   digest  "": any */
static int retire(const vx_collection *collection, const char *model, const char *digest,
                  vx_vector_space **ret_spaces, size_t *ret_n, vx_err *err) {
    VX_AUTO_FREE vx_vector_space *spaces = NULL;
    size_t n = 0, n_retired = 0;
    int rc = vx_catalog_list_vector_spaces(collection->catalog, &spaces, &n, err);
    for (size_t i = 0; i < n && !rc; i++) {
        const vx_vector_space *space = &spaces[i];
        if (space->retired || strcmp(space->model, model) ||
            (digest[0] && strcmp(space->digest, digest)) ||
            vx_models_have_space(collection->models, space->row))
            continue;
        rc = vx_catalog_retire_vector_space(collection->catalog, space->row, err);
        spaces[n_retired++] = *space;
    }
    if (rc)
        return rc;
    *ret_spaces = vx_take(spaces);
    *ret_n = n_retired;
    return 0;
}

typedef struct retire_write {
    vx_write write;
    vx_library *library;
    char model[64], digest[65]; /* digest "": all */
    vx_vector_space *spaces;    /* [n] that were retired; owned */
    size_t n;
    vx_library_retired done;
    void *ctx;
} retire_write;

static int apply_retire(vx_write *write, vx_err *err) {
    retire_write *r = VX_CONTAINER_OF(write, retire_write, write);
    free(vx_take(r->spaces)); /* of an attempt before, see vx_write.makes_room */
    return retire(r->library->params.collection, r->model, r->digest, &r->spaces, &r->n, err);
}

static void finish_retire(vx_write *write, int rc, const vx_err *err) {
    retire_write *r = VX_CONTAINER_OF(write, retire_write, write);
    for (size_t i = 0; i < r->n && !rc; i++)
        vx_log(VX_LOG_INFO, "spaces", "model=%s digest=%.12s vectors=%lld deleting=yes",
               r->spaces[i].model, r->spaces[i].digest, (long long)r->spaces[i].vectors);
    if (!rc && r->n)
        vx_library_wake_upkeep(r->library);
    r->done(r->ctx, rc, r->spaces, r->n, err);
    free(r->spaces);
    free(r);
}

vx_outcome vx_library_retire_spaces(vx_library *library, const char *model, const char *digest,
                                    vx_library_retired done, void *ctx) {
    retire_write *r = vx_new(retire_write);
    if (!r)
        return VX_OUTCOME_INTERNAL;
    *r = (retire_write){.write = {.apply = apply_retire, .done = finish_retire, .makes_room = true},
                        .library = library,
                        .done = done,
                        .ctx = ctx};
    if (strlen(model) < sizeof r->model) /* else there is no model of that name */
        strcpy(r->model, model);
    snprintf(r->digest, sizeof r->digest, "%s", digest ? digest : "");
    vx_outcome refused = vx_writer_submit(library->params.writer, &r->write, VX_WRITER_REFUSE);
    if (refused)
        free(r);
    return refused;
}

typedef struct old_digests {
    const vx_collection *collection;
    const vx_model *model;
} old_digests;

static int apply_retire_old(void *ctx, vx_err *err) {
    const old_digests *old = ctx;
    VX_AUTO_FREE vx_vector_space *spaces = NULL;
    size_t n;
    return retire(old->collection, old->model->info->name, "", &spaces, &n, err);
}

int vx_library_retire_old_digests(vx_library *library, const vx_model *model, vx_err *err) {
    old_digests old = {library->params.collection, model};
    int rc = vx_writer_run(library->params.writer, apply_retire_old, NULL, &old, err);
    if (!rc)
        vx_library_wake_upkeep(library);
    return rc;
}

typedef struct deletion {
    vx_catalog *catalog;
    bool more;
} deletion;

static int apply_delete(void *ctx, vx_err *err) {
    deletion *d = ctx;
    return vx_catalog_delete_retired_vectors(d->catalog, DELETE_AT_ONCE, &d->more, err);
}

int vx_library_delete_retired(vx_library *library, vx_err *err) {
    deletion d = {library->params.collection->catalog, true};
    int rc = 0;
    while (!rc && d.more && !atomic_load(&library->stopping))
        rc = vx_writer_run(library->params.writer, apply_delete, NULL, &d, err);
    return rc;
}
