/* unrelated.c — see the header. */
#include "unrelated.h"

#include <errno.h>

typedef struct loading {
    vx_unrelated *unrelated;
    size_t capacity;
} loading;

static int note(void *ctx, int64_t decision, vx_decision_kind kind, vx_decision_role role,
                int64_t video, vx_err *err) {
    loading *l = ctx;
    if (kind != VX_DECISION_UNRELATED || !video)
        return 0;
    if (!vx_make_room(l->unrelated->entries, l->unrelated->n, l->capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for the decisions about duplicates");
    l->unrelated->entries[l->unrelated->n++] =
        (vx_unrelated_entry){video, decision, role == VX_ROLE_UNRELATED};
    return 0;
}

static int by_video(const void *a, const void *b) {
    const vx_unrelated_entry *x = a, *y = b;
    if (x->video != y->video)
        return x->video < y->video ? -1 : 1;
    return (x->decision > y->decision) - (x->decision < y->decision);
}

int vx_unrelated_load(vx_catalog *catalog, vx_unrelated *ret_unrelated, vx_err *err) {
    *ret_unrelated = (vx_unrelated){0};
    loading l = {.unrelated = ret_unrelated};
    int rc = vx_catalog_scan_decided(catalog, note, &l, err);
    if (rc)
        vx_unrelated_done(ret_unrelated);
    else if (ret_unrelated->n)
        qsort(ret_unrelated->entries, ret_unrelated->n, sizeof *ret_unrelated->entries, by_video);
    return rc;
}

void vx_unrelated_done(vx_unrelated *unrelated) {
    free(unrelated->entries);
    *unrelated = (vx_unrelated){0};
}

/* The first entry of a video or of a greater one. */
static size_t find(const vx_unrelated *u, int64_t video) {
    size_t low = 0, high = u->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (u->entries[middle].video < video)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool vx_unrelated_has(const vx_unrelated *u, int64_t a, int64_t b) {
    size_t i = find(u, a), k = find(u, b);
    while (i < u->n && k < u->n && u->entries[i].video == a && u->entries[k].video == b) {
        const vx_unrelated_entry *x = &u->entries[i], *y = &u->entries[k];
        if (x->decision == y->decision && (x->to_all || y->to_all))
            return true;
        if (x->decision <= y->decision)
            i++;
        else
            k++;
    }
    return false;
}
