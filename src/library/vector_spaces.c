/* spaces.c — see the header. */
#include "vector_spaces.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "upkeep.h"
#include "writer/writer.h"

#define DROP_AT_ONCE 2000 /* vectors in one transaction */

bool vx_spaces_is_loaded(const vx_server *server, const vx_vector_space *space) {
    for (int i = 0; i < server->n_models; i++)
        if (server->models[i].space == space->row)
            return true;
    return false;
}

/* ---- giving up ---- */

typedef struct give_up_op {
    vx_commit_op op;
    char model[64], digest[65]; /* digest "": all */
    vx_vector_space *spaces;    /* [n] that were given up; owned */
    size_t n;
    vx_spaces_given_up done;
    void *ctx;
} give_up_op;

static bool is_meant(const vx_server *server, const vx_vector_space *space, const char *model,
                     const char *digest) {
    return !space->retired && !strcmp(space->model, model) &&
           (!digest[0] || !strcmp(space->digest, digest)) && !vx_spaces_is_loaded(server, space);
}

/* Inside a transaction. Gives the spaces that were meant. */
static int give_up(vx_server *server, const char *model, const char *digest,
                   vx_vector_space **ret_spaces, size_t *ret_n, vx_err *err) {
    VX_AUTO_FREE vx_vector_space *spaces = NULL;
    size_t n = 0, n_meant = 0;
    int rc = vx_catalog_list_vector_spaces(server->catalog, &spaces, &n, err);
    for (size_t i = 0; i < n && !rc; i++) {
        if (!is_meant(server, &spaces[i], model, digest))
            continue;
        rc = vx_catalog_retire_vector_space(server->catalog, spaces[i].row, err);
        spaces[n_meant++] = spaces[i];
    }
    if (rc)
        return rc;
    *ret_spaces = vx_take(spaces);
    *ret_n = n_meant;
    return 0;
}

static int give_up_apply(vx_commit_op *op, vx_server *server, vx_err *err) {
    give_up_op *g = (give_up_op *)op;
    return give_up(server, g->model, g->digest, &g->spaces, &g->n, err);
}

static void give_up_done(vx_commit_op *op, vx_server *server, int rc, const vx_err *err) {
    give_up_op *g = (give_up_op *)op;
    for (size_t i = 0; i < g->n && !rc; i++)
        vx_log(VX_LOG_INFO, "spaces", "model=%s digest=%.12s vectors=%lld deleting=yes",
               g->spaces[i].model, g->spaces[i].digest, (long long)g->spaces[i].vectors);
    if (!rc && g->n)
        vx_housekeeper_wake(server);
    g->done(g->ctx, rc, g->spaces, g->n, err);
    free(g->spaces);
    free(g);
}

vx_outcome vx_spaces_give_up(vx_server *server, const char *model, const char *digest,
                             vx_spaces_given_up done, void *ctx) {
    give_up_op *g = vx_new(give_up_op);
    if (!g)
        return VX_OUTCOME_INTERNAL;
    *g = (give_up_op){
        .op = {.apply = give_up_apply, .done = give_up_done}, .done = done, .ctx = ctx};
    if (strlen(model) < sizeof g->model) /* else there is no model of that name */
        strcpy(g->model, model);
    snprintf(g->digest, sizeof g->digest, "%s", digest ? digest : "");
    vx_outcome refused = vx_commit_submit(server, &g->op, VX_COMMIT_REFUSE);
    if (refused)
        free(g);
    return refused;
}

static int apply_give_up_old(void *ctx, vx_server *server, vx_err *err) {
    VX_AUTO_FREE vx_vector_space *spaces = NULL;
    size_t n;
    return give_up(server, ctx, "", &spaces, &n, err);
}

int vx_spaces_give_up_old(vx_server *server, const vx_model *model, vx_err *err) {
    int rc = vx_commit_run(server, apply_give_up_old, (void *)model->info->name, err);
    if (!rc)
        vx_housekeeper_wake(server);
    return rc;
}

/* ---- deleting ---- */

static int apply_drop(void *ctx, vx_server *server, vx_err *err) {
    return vx_catalog_delete_retired_vectors(server->catalog, DROP_AT_ONCE, ctx, err);
}

int vx_spaces_drop(vx_server *server, vx_err *err) {
    bool more = true;
    int rc = 0;
    while (!rc && more && !atomic_load(&server->stopping))
        rc = vx_commit_run(server, apply_drop, &more, err);
    return rc;
}
