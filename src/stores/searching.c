/* searching.c — searches that an outside store answers. A connection serves one search at a time; there are
 * as many as searches have run at once. */
#include <errno.h>
#include <string.h>

#include "base/thread.h"
#include "outside.h"
#include "remote.h"

struct vx_remote {
    vx_outside_url url;
    vx_store_access access; /* borrows its texts */
    int dim;
    vx_mutex mu;
    vx_outside *idle[VX_REMOTE_CONNECTIONS] VX_GUARDED; /* [n_idle] */
    size_t n_idle VX_GUARDED;
};

int vx_remote_open(const vx_remote_params *params, vx_remote **ret_remote, vx_err *err) {
    vx_outside_url url;
    int rc = vx_outside_parse(params->url, &url, err);
    if (!rc && !url.kind->search)
        rc = VX_FAIL(err, VX_OUTSIDE_BAD_URL, "searches can be answered by Milvus alone");
    if (rc)
        return rc;
    vx_remote *remote = vx_new(vx_remote);
    if (!remote)
        return VX_FAIL(err, -ENOMEM, "no memory for a store");
    remote->access = params->access;
    remote->url = url;
    remote->dim = params->dim;
    vx_mutex_init(&remote->mu);
    *ret_remote = remote;
    return 0;
}

vx_remote *vx_remote_close(vx_remote *remote) {
    if (!remote)
        return NULL;
    vx_mutex_lock(&remote->mu);
    for (size_t i = 0; i < remote->n_idle; i++)
        vx_outside_close(remote->idle[i]);
    vx_mutex_unlock(&remote->mu);
    vx_mutex_done(&remote->mu);
    free(remote);
    return NULL;
}

const char *vx_remote_kind(const vx_remote *remote) {
    return remote->url.kind->name;
}

const char *vx_remote_consistency(const vx_remote *remote) {
    return remote->url.kind->consistency;
}

static void set_watch(vx_outside *outside, const vx_remote_watch *watch) {
    outside->cancelled = watch->cancelled;
    outside->ctx = watch->ctx;
}

static int take_connection(vx_remote *remote, const vx_remote_watch *watch,
                           vx_outside **ret_outside, vx_err *err) {
    vx_mutex_lock(&remote->mu);
    *ret_outside = remote->n_idle ? remote->idle[--remote->n_idle] : NULL;
    vx_mutex_unlock(&remote->mu);
    if (*ret_outside) {
        set_watch(*ret_outside, watch);
        return 0;
    }
    VX_AUTO(vx_outside) outside = NULL;
    int rc = vx_outside_open(&remote->access, &remote->url, remote->dim, &outside, err);
    if (!rc) {
        set_watch(outside, watch);
        rc = outside->kind->attach(outside, err);
    }
    if (!rc)
        *ret_outside = vx_take(outside);
    return rc;
}

static void give_connection(vx_remote *remote, vx_outside *outside) {
    set_watch(outside, &(vx_remote_watch){0});
    vx_mutex_lock(&remote->mu);
    if (remote->n_idle < VX_LEN(remote->idle))
        remote->idle[remote->n_idle++] = vx_take(outside);
    vx_mutex_unlock(&remote->mu);
    vx_outside_close(outside);
}

int vx_remote_search(vx_remote *remote, const float *vector, size_t k, const vx_remote_watch *watch,
                     vx_remote_on_hit on_hit, void *ctx, vx_err *err) {
    vx_outside *outside;
    if (watch->cancelled(watch->ctx))
        return VX_FAIL(err, VX_OUTSIDE_AWAY, "cancelled");
    int rc = take_connection(remote, watch, &outside, err);
    if (rc)
        return rc;
    rc = outside->kind->search(outside, vector, k, on_hit, ctx, err);
    if (rc) /* one that failed is not used again */
        vx_outside_close(outside);
    else
        give_connection(remote, outside);
    return rc;
}
