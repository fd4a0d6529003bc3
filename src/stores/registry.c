/* registry.c — the stores of this process: added, removed, listed. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "stores_internal.h"

struct vx_stores {
    vx_stores_params params;
    atomic_bool stopping;
    vx_mutex mu;
    vx_follower *items[2 * VX_STORES_MAX] VX_GUARDED; /* [n]; those removed stay until they ended */
    size_t n VX_GUARDED;
};

/* ---- start and stop ---- */

static void add_locked(vx_stores *stores, vx_follower *f) VX_REQUIRES(&stores->mu) {
    stores->items[stores->n++] = f;
}

/* Frees the removed ones whose thread has ended. */
static void reap_locked(vx_stores *stores) VX_REQUIRES(&stores->mu) {
    size_t n = 0;
    for (size_t i = 0; i < stores->n; i++) {
        vx_follower *f = stores->items[i];
        if (atomic_load(&f->removed) && (!f->started || atomic_load(&f->ended))) {
            if (f->started)
                pthread_join(f->thread, NULL);
            vx_follower_free(f);
        } else {
            stores->items[n++] = f;
        }
    }
    stores->n = n;
}

static int start_row(vx_stores *stores, vx_outside_row *row, vx_err *err) {
    vx_follower *f = NULL;
    int rc = vx_follower_new(&stores->params, &stores->stopping, row, &f, err);
    if (rc == VX_OUTSIDE_BAD_URL) { /* written by a vidx that knew more */
        vx_log_failed(VX_LOG_ERROR, "store", err, "name=%s used=no", row->name);
        return 0;
    }
    if (!rc)
        rc = vx_follower_start(f, err);
    if (rc) {
        vx_follower_free(f);
        return rc;
    }
    vx_mutex_lock(&stores->mu);
    add_locked(stores, f);
    vx_mutex_unlock(&stores->mu);
    return 0;
}

int vx_stores_start(const vx_stores_params *params, vx_stores **ret_stores, vx_err *err) {
    vx_outside_row *rows = NULL;
    size_t n = 0;
    int rc = vx_catalog_list_outside(params->catalog, &rows, &n, err);
    vx_stores *stores = rc ? NULL : vx_new(vx_stores);
    if (!rc && !stores)
        rc = VX_FAIL(err, -ENOMEM, "no memory for the stores");
    if (stores) {
        stores->params = *params;
        vx_mutex_init(&stores->mu);
    }
    for (size_t i = 0; i < n && !rc; i++)
        rc = start_row(stores, &rows[i], err);
    for (size_t i = 0; i < n; i++)
        vx_outside_row_clear(&rows[i]);
    free(rows);
    if (rc)
        vx_stores_free(stores);
    else
        *ret_stores = stores;
    return rc;
}

void vx_stores_begin_stop(vx_stores *stores) {
    atomic_store(&stores->stopping, true);
    vx_mutex_lock(&stores->mu);
    for (size_t i = 0; i < stores->n; i++)
        vx_follower_wake(stores->items[i]);
    vx_mutex_unlock(&stores->mu);
}

void vx_stores_end(vx_stores *stores) {
    if (!stores)
        return;
    vx_stores_begin_stop(stores);
    vx_mutex_lock(&stores->mu);
    size_t n = stores->n;
    vx_mutex_unlock(&stores->mu);
    for (size_t i = 0; i < n; i++) {
        vx_mutex_lock(&stores->mu);
        vx_follower *f = stores->items[i];
        vx_mutex_unlock(&stores->mu);
        if (f->started) /* not under the lock: it may wait for the writer, and the writer for the lock */
            pthread_join(f->thread, NULL);
        f->started = false;
    }
}

vx_stores *vx_stores_free(vx_stores *stores) {
    if (!stores)
        return NULL;
    vx_stores_end(stores);
    vx_mutex_lock(&stores->mu);
    for (size_t i = 0; i < stores->n; i++)
        vx_follower_free(stores->items[i]);
    vx_mutex_unlock(&stores->mu);
    vx_mutex_done(&stores->mu);
    free(stores);
    return NULL;
}

/* ---- looking ---- */

int vx_stores_list(vx_stores *stores, vx_store_view **ret_views, size_t *ret_n, vx_err *err) {
    vx_store_view *views = vx_new_array(2 * VX_STORES_MAX, sizeof *views);
    if (!views)
        return VX_FAIL(err, -ENOMEM, "no memory for a list of stores");
    int64_t sent[2 * VX_STORES_MAX];
    size_t n = 0, n_rows = 0;
    vx_mutex_lock(&stores->mu);
    for (size_t i = 0; i < stores->n; i++) {
        vx_follower *f = stores->items[i];
        if (atomic_load(&f->removed))
            continue;
        vx_mutex_lock(&f->mu);
        views[n] = f->view;
        views[n].behind_us = f->behind_since_us ? vx_clock_monotonic_us() - f->behind_since_us : 0;
        vx_mutex_unlock(&f->mu);
        sent[n++] = 0;
    }
    vx_mutex_unlock(&stores->mu);
    vx_outside_row *rows = NULL;
    int rc = vx_catalog_list_outside(stores->params.catalog, &rows, &n_rows, err);
    for (size_t i = 0; i < n_rows; i++) {
        for (size_t k = 0; k < n; k++)
            if (!strcmp(views[k].name, rows[i].name))
                sent[k] = rows[i].sent;
        vx_outside_row_clear(&rows[i]);
    }
    free(rows);
    for (size_t i = 0; i < n && !rc; i++)
        rc = vx_catalog_count_changes(stores->params.catalog, sent[i], &views[i].waiting_videos,
                                      err);
    if (rc) {
        free(views);
        return rc;
    }
    for (size_t i = 0; i < n; i++) /* a change that the thread has yet to see */
        if (views[i].waiting_videos && views[i].state == VX_STORE_EQUAL)
            views[i].state = VX_STORE_SENDING;
    *ret_views = views;
    *ret_n = n;
    return 0;
}

/* ---- adding ---- */

static bool is_name(const char *name) {
    size_t n = name ? strlen(name) : 0;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("_-.", name[i]))
            return false;
    return n && n <= VX_STORE_NAME_CHARS;
}

static int check_spec(const vx_stores_params *params, const vx_store_spec *spec, vx_err *err) {
    vx_outside_url url;
    vx_err why;
    if (!is_name(spec->name))
        return VX_FAIL(err, VX_STORES_INVALID,
                       "name must be 1 to %d letters, digits, dots, _ and -", VX_STORE_NAME_CHARS);
    if (!spec->url || strlen(spec->url) >= sizeof((vx_store_view *)0)->url ||
        vx_outside_parse(spec->url, &url, &why))
        return VX_FAIL(err, VX_STORES_INVALID, "%s",
                       spec->url && strlen(spec->url) < 512 ? why.msg : "url must be a URL");
    if (vx_outside_check_allowed(&params->access, &url, &why))
        return VX_FAIL(err, VX_STORES_INVALID, "%s", why.msg);
    return 0;
}

int vx_stores_check_spec(vx_stores *stores, const vx_store_spec *spec, vx_err *err) {
    int rc = check_spec(&stores->params, spec, err);
    vx_err why;
    if (!rc && !vx_models_find(stores->params.models, spec->model, &why))
        rc = VX_FAIL(err, VX_STORES_INVALID, "%s", why.msg);
    return rc;
}

static int fill_row(const vx_store_spec *spec, const char *model, int64_t space,
                    vx_outside_row *ret_row) {
    vx_outside_row row = {.space = space, .check_due = 1, .created_us = vx_clock_unix_us()};
    snprintf(row.name, sizeof row.name, "%s", spec->name);
    snprintf(row.model, sizeof row.model, "%s", model);
    row.url = strdup(spec->url);
    *ret_row = row;
    return row.url ? 0 : -ENOMEM;
}

typedef struct store_write {
    vx_write write;
    vx_stores *stores;
    vx_follower *added; /* owned until done */
    char name[VX_STORE_NAME_CHARS + 1];
    vx_stores_done done;
    void *ctx;
} store_write;

static store_write *of(vx_write *write) {
    return VX_CONTAINER_OF(write, store_write, write);
}

static vx_outcome submit(store_write *w) {
    vx_outcome refused = vx_writer_submit(w->stores->params.writer, &w->write, VX_WRITER_REFUSE);
    if (refused) {
        vx_follower_free(w->added);
        free(w);
    }
    return refused;
}

static int apply_add(vx_write *write, vx_err *err) {
    store_write *w = of(write);
    vx_outside_row *rows = NULL;
    size_t n = 0;
    int rc = vx_catalog_list_outside(w->stores->params.catalog, &rows, &n, err);
    for (size_t i = 0; i < n; i++)
        vx_outside_row_clear(&rows[i]);
    free(rows);
    if (!rc && n >= VX_STORES_MAX)
        rc = VX_FAIL(err, VX_STORES_FULL, "there are %d stores already", VX_STORES_MAX);
    return rc ? rc : vx_catalog_insert_outside(w->stores->params.catalog, &w->added->row, err);
}

static void finish_add(vx_write *write, int rc, const vx_err *err) {
    store_write *w = of(write);
    vx_err own;
    vx_mutex_lock(&w->stores->mu);
    bool ending = atomic_load(&w->stores->stopping); /* the row is there: the next start begins */
    if (!ending)
        reap_locked(w->stores);
    bool room = w->stores->n < VX_LEN(w->stores->items);
    if (!rc && ending)
        rc = VX_FAIL(&own, -ESHUTDOWN, "the server is shutting down");
    else if (!rc && room && !(rc = vx_follower_start(w->added, &own)))
        add_locked(w->stores, vx_take(w->added));
    else if (!rc && !room)
        rc = VX_FAIL(&own, -EAGAIN, "too many stores are being removed");
    vx_mutex_unlock(&w->stores->mu);
    w->done(w->ctx, rc, err && err->code ? err : &own);
    vx_follower_free(w->added);
    free(w);
}

vx_outcome vx_stores_add(vx_stores *stores, const vx_store_spec *spec, vx_stores_done done,
                         void *ctx) {
    const vx_model *model = vx_models_find(stores->params.models, spec->model, NULL);
    store_write *w = vx_new(store_write);
    vx_outside_row row = {0};
    vx_err err;
    if (!w || !model || fill_row(spec, model->info->name, model->space, &row) ||
        vx_follower_new(&stores->params, &stores->stopping, &row, &w->added, &err)) {
        vx_outside_row_clear(&row);
        free(w);
        return VX_OUTCOME_INTERNAL;
    }
    w->write = (vx_write){.apply = apply_add, .done = finish_add};
    w->stores = stores;
    w->done = done;
    w->ctx = ctx;
    return submit(w);
}

/* ---- removing, and asking for a comparison ---- */

static vx_follower *find_locked(vx_stores *stores, const char *name) VX_REQUIRES(&stores->mu) {
    for (size_t i = 0; i < stores->n; i++)
        if (!strcmp(stores->items[i]->row.name, name) && !atomic_load(&stores->items[i]->removed))
            return stores->items[i];
    return NULL;
}

static vx_outcome change(vx_stores *stores, const char *name,
                         int (*apply)(vx_write *write, vx_err *err),
                         void (*finish)(vx_write *write, int rc, const vx_err *err),
                         vx_stores_done done, void *ctx) {
    store_write *w = vx_new(store_write);
    if (!w)
        return VX_OUTCOME_INTERNAL;
    w->write = (vx_write){.apply = apply, .done = finish};
    w->stores = stores;
    snprintf(w->name, sizeof w->name, "%s", name);
    w->done = done;
    w->ctx = ctx;
    return submit(w);
}

static int apply_remove(vx_write *write, vx_err *err) {
    return vx_catalog_delete_outside(of(write)->stores->params.catalog, of(write)->name, err);
}

static void finish_remove(vx_write *write, int rc, const vx_err *err) {
    store_write *w = of(write);
    vx_mutex_lock(&w->stores->mu);
    vx_follower *f = find_locked(w->stores, w->name);
    if (f && !rc) {
        atomic_store(&f->removed, true);
        vx_follower_wake(f);
    }
    vx_mutex_unlock(&w->stores->mu);
    w->done(w->ctx, rc, err);
    free(w);
}

vx_outcome vx_stores_remove(vx_stores *stores, const char *name, vx_stores_done done, void *ctx) {
    return change(stores, name, apply_remove, finish_remove, done, ctx);
}

/* Durable, so that a restart does not forget it. */
static int apply_check(vx_write *write, vx_err *err) {
    store_write *w = of(write);
    vx_mutex_lock(&w->stores->mu);
    vx_follower *f = find_locked(w->stores, w->name);
    if (f) /* before its thread writes its row again */
        atomic_store(&f->check_asked, true);
    vx_mutex_unlock(&w->stores->mu);
    return vx_catalog_ask_check(w->stores->params.catalog, w->name, err);
}

static void finish_check(vx_write *write, int rc, const vx_err *err) {
    store_write *w = of(write);
    vx_mutex_lock(&w->stores->mu);
    vx_follower *f = find_locked(w->stores, w->name);
    if (f && !rc) {
        vx_mutex_lock(&f->mu);
        f->view.check_due = true;
        vx_mutex_unlock(&f->mu);
        vx_follower_wake(f);
    }
    vx_mutex_unlock(&w->stores->mu);
    w->done(w->ctx, rc, err);
    free(w);
}

vx_outcome vx_stores_check(vx_stores *stores, const char *name, vx_stores_done done, void *ctx) {
    return change(stores, name, apply_check, finish_check, done, ctx);
}

/* ---- vidx sync ---- */

static int apply_insert(void *ctx, vx_err *err) {
    vx_follower *f = ctx;
    return vx_catalog_insert_outside(f->params.catalog, &f->row, err);
}

/* The newest vectors of that model; of NULL the newest of all. */
static int choose_space(vx_catalog *catalog, const char *model, vx_vector_space *ret_space,
                        vx_err *err) {
    VX_AUTO_FREE vx_vector_space *spaces = NULL;
    size_t n = 0;
    bool found = false;
    int rc = vx_catalog_list_vector_spaces(catalog, &spaces, &n, err);
    for (size_t i = 0; i < n && !rc; i++)
        if (!spaces[i].retired && (!model || !strcmp(spaces[i].model, model))) {
            *ret_space = spaces[i];
            found = true;
        }
    return rc || found ? rc
                       : VX_FAIL(err, VX_STORES_INVALID, "no vectors of %s are stored",
                                 model ? model : "any model");
}

/* The row of that name, or a new one. */
static int find_row(const vx_stores_params *params, const vx_store_spec *spec, bool *ret_new,
                    vx_outside_row *ret_row, vx_err *err) {
    vx_outside_row *rows = NULL;
    size_t n = 0;
    vx_vector_space space;
    int rc = vx_catalog_list_outside(params->catalog, &rows, &n, err);
    *ret_new = true;
    for (size_t i = 0; i < n; i++) {
        if (!rc && !strcmp(rows[i].name, spec->name)) {
            *ret_row = rows[i];
            *ret_new = false;
        } else {
            vx_outside_row_clear(&rows[i]);
        }
    }
    free(rows);
    if (!rc && !*ret_new &&
        (strcmp(ret_row->url, spec->url) != 0 ||
         (spec->model && strcmp(ret_row->model, spec->model) != 0)))
        rc = VX_FAIL(err, VX_STORES_INVALID, "the store %s has another address or model: %s, %s",
                     spec->name, ret_row->url, ret_row->model);
    if (rc || !*ret_new)
        return rc;
    rc = choose_space(params->catalog, spec->model, &space, err);
    if (!rc && fill_row(spec, space.model, space.row, ret_row))
        rc = VX_FAIL(err, -ENOMEM, "no memory for a store");
    return rc;
}

int vx_stores_sync_once(const vx_stores_params *params, const vx_store_spec *spec, bool check,
                        vx_store_view *ret_view, vx_err *err) {
    atomic_bool stopping = false;
    vx_outside_row row = {0};
    vx_follower *f = NULL;
    bool is_new = false;
    *ret_view = (vx_store_view){0};
    int rc = check_spec(params, spec, err);
    if (!rc)
        rc = find_row(params, spec, &is_new, &row, err);
    if (!rc)
        rc = vx_follower_new(params, &stopping, &row, &f, err);
    vx_outside_row_clear(&row);
    if (!rc && is_new)
        rc = vx_writer_run(params->writer, apply_insert, NULL, f, err);
    if (!rc) {
        atomic_store(&f->check_asked, check);
        rc = vx_follower_round(f, err);
    }
    if (f) {
        vx_mutex_lock(&f->mu);
        *ret_view = f->view;
        vx_mutex_unlock(&f->mu);
    }
    vx_follower_free(f);
    return rc;
}
