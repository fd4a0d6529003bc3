/* groups.c — which videos pairs connect, and in which order groups are listed; group.c makes one. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "duplicates_internal.h"
#include "group.h"
#include "sets.h"
#include "snapshot.h"

void vx_group_page_clear(vx_group_page *page) {
    for (size_t i = 0; i < page->n; i++)
        vx_group_free(page->groups[i]);
    free(page->groups);
    *page = (vx_group_page){0};
}

/* ---- all groups of a query ---- */

/* Who is with whom: videos and pairs of a group lie side by side. */
typedef struct partition {
    const vx_scan_snapshot *snapshot;
    uint32_t *parent;  /* [n_videos] */
    uint32_t *members; /* [n_members] videos by group */
    uint32_t *pairs;   /* [n_pairs] numbers of pairs by group */
    size_t n_members, n_pairs;
    bool exact; /* one video of which several files are listed is a group, too */
} partition;

typedef struct span { /* of a partition: one group */
    size_t first_member, n_members, first_pair, n_pairs;
} span;

static vx_group_members members_of(const partition *p, const span *at) {
    return (vx_group_members){.videos = p->members + at->first_member,
                              .pairs = p->pairs + at->first_pair,
                              .n_videos = at->n_members,
                              .n_pairs = at->n_pairs};
}

static void partition_done(partition *p) {
    free(p->parent);
    free(p->members);
    free(p->pairs);
}

static bool passes(const vx_group_query *query, const vx_idset *selected,
                   const vx_duplicate_pair *pair) {
    unsigned kinds = query->kinds ? query->kinds : VX_GROUP_KINDS;
    if (!(kinds >> pair->kind & 1))
        return false;
    if (pair->kind == VX_VERDICT_SIMILAR && pair->score < query->min_score)
        return false;
    return !selected ||
           (vx_idset_contains(selected, pair->a) && vx_idset_contains(selected, pair->b));
}

/* The numbers 0 .. n - 1 by the group of each, a stable counting sort; NULL: no memory. */
static uint32_t *sort_by_group(const uint32_t *group_of, size_t n, size_t n_groups, vx_err *err) {
    VX_AUTO_FREE size_t *at = vx_new_array(n_groups + 1, sizeof *at);
    VX_AUTO_FREE uint32_t *sorted = vx_new_array(n + 1, sizeof *sorted);
    if (!at || !sorted) {
        VX_FAIL(err, -ENOMEM, "no memory for groups of %zu videos", n);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        at[group_of[i] + 1]++;
    for (size_t i = 0; i < n_groups; i++)
        at[i + 1] += at[i];
    for (size_t i = 0; i < n; i++)
        sorted[at[group_of[i]]++] = (uint32_t)i;
    return vx_take(sorted);
}

/* Groups are sorted by their least video number, videos that pass in no pair being groups of one. */
static int partition_init(partition *p, const vx_scan_snapshot *s, const vx_group_query *query,
                          const vx_idset *selected, vx_err *err) {
    VX_AUTO_FREE uint32_t *group_of = vx_new_array(s->n_pairs + s->n_videos + 1, sizeof *group_of);
    VX_AUTO_FREE uint32_t *passing = vx_new_array(s->n_pairs + 1, sizeof *passing);
    p->snapshot = s;
    p->exact = !query->kinds || query->kinds & 1U << VX_VERDICT_EXACT;
    p->parent = vx_sets_new(s->n_videos);
    if (!group_of || !passing || !p->parent)
        return VX_FAIL(err, -ENOMEM, "no memory for groups of %zu videos", s->n_videos);
    for (size_t i = 0; i < s->n_pairs; i++) {
        if (!passes(query, selected, &s->pairs[i].pair))
            continue;
        passing[p->n_pairs++] = (uint32_t)i;
        vx_sets_join(p->parent, s->pairs[i].a, s->pairs[i].b);
    }
    p->n_members = s->n_videos;
    for (size_t i = 0; i < s->n_videos; i++)
        group_of[i] = vx_sets_find(p->parent, (uint32_t)i);
    p->members = sort_by_group(group_of, s->n_videos, s->n_videos, err);
    for (size_t i = 0; i < p->n_pairs; i++)
        group_of[i] = vx_sets_find(p->parent, s->pairs[passing[i]].a);
    p->pairs = p->members ? sort_by_group(group_of, p->n_pairs, s->n_videos, err) : NULL;
    if (!p->pairs)
        return -ENOMEM;
    for (size_t i = 0; i < p->n_pairs; i++)
        p->pairs[i] = passing[p->pairs[i]];
    return 0;
}

static bool is_group(const partition *p, const span *g) {
    const vx_group_video *first = &p->snapshot->videos[p->members[g->first_member]];
    return g->n_members > 1 || (p->exact && first->n_files > 1);
}

/* Moves on to the next group of two videos, or files, and more; false: that was the last. */
static bool next_group(const partition *p, span *g) {
    const vx_scan_snapshot *s = p->snapshot;
    do {
        g->first_member += g->n_members;
        g->first_pair += g->n_pairs;
        g->n_members = g->n_pairs = 0;
        if (g->first_member == p->n_members)
            return false;
        uint32_t group = p->parent[p->members[g->first_member]];
        group = vx_sets_find(p->parent, group);
        while (g->first_member + g->n_members < p->n_members &&
               vx_sets_find(p->parent, p->members[g->first_member + g->n_members]) == group)
            g->n_members++;
        while (g->first_pair + g->n_pairs < p->n_pairs &&
               vx_sets_find(p->parent, s->pairs[p->pairs[g->first_pair + g->n_pairs]].a) == group)
            g->n_pairs++;
    } while (!is_group(p, g));
    return true;
}

/* ---- for callers ---- */

/* Of the moment of the call, or a little later. Gives a reference. */
static int take_snapshot(vx_duplicates *d, vx_scan_snapshot **ret_snapshot, vx_err *err) {
    int rc = 0;
    vx_mutex_lock(&d->groups_mu);
    unsigned long long videos = atomic_load(&d->params.collection->changes);
    unsigned long long pairs = atomic_load(&d->changes);
    if (!d->snapshot || d->snapshot->video_changes != videos ||
        d->snapshot->pair_changes != pairs) {
        vx_scan_snapshot *fresh = NULL;
        rc = vx_scan_snapshot_load(&d->params, &fresh, err);
        if (!rc) {
            fresh->video_changes = videos;
            fresh->pair_changes = pairs;
            vx_scan_snapshot_free(d->snapshot);
            d->snapshot = fresh;
        }
    }
    if (!rc)
        *ret_snapshot = vx_scan_snapshot_ref(d->snapshot);
    vx_mutex_unlock(&d->groups_mu);
    return rc;
}

static int by_size(const void *a, const void *b) {
    const vx_group *x = *(vx_group *const *)a, *y = *(vx_group *const *)b;
    if (x->removable_bytes != y->removable_bytes)
        return x->removable_bytes > y->removable_bytes ? -1 : 1;
    return strcmp(x->id, y->id);
}

static int list_all(vx_duplicates *d, const vx_group_query *query, const partition *p,
                    vx_group_page *page, vx_err *err) {
    size_t capacity = 0;
    int rc = 0;
    for (span at = {0}; !rc && next_group(p, &at);) {
        const vx_group_members members = members_of(p, &at);
        __attribute__((cleanup(vx_group_build_done)))
        vx_group_build b = {.duplicates = d, .query = query, .snapshot = p->snapshot};
        rc = vx_group_build_run(&b, &members, err);
        if (!rc && (query->state < 0 || (int)b.group->state == query->state)) {
            if (vx_make_room(page->groups, page->n, capacity))
                page->groups[page->n++] = vx_take(b.group);
            else
                rc = VX_FAIL(err, -ENOMEM, "no memory for %zu groups", page->n);
        }
        vx_group_free(b.group);
    }
    return rc;
}

static void cut_page(const vx_group_query *query, vx_group_page *page) {
    size_t first = 0, n;
    if (page->n)
        qsort(page->groups, page->n, sizeof(*page->groups), by_size);
    page->total = (int64_t)page->n;
    for (size_t i = 0; i < page->n; i++)
        page->total_removable_bytes += page->groups[i]->removable_bytes;
    for (; query->after_id[0] && first < page->n; first++) {
        const vx_group *g = page->groups[first];
        if (g->removable_bytes < query->after_bytes ||
            (g->removable_bytes == query->after_bytes && strcmp(g->id, query->after_id) > 0))
            break;
    }
    n = page->n - first;
    page->more = query->limit && n > query->limit;
    n = page->more ? query->limit : n;
    for (size_t i = 0; i < page->n; i++)
        if (i < first || i >= first + n)
            vx_group_free(page->groups[i]);
    if (n)
        memmove(page->groups, page->groups + first, n * sizeof(*page->groups));
    page->n = n;
}

int vx_duplicates_list(vx_duplicates *d, const vx_group_query *query, vx_group_page *ret_page,
                       vx_err *err) {
    __attribute__((cleanup(partition_done))) partition p = {0};
    VX_AUTO(vx_idset) selected = NULL;
    VX_AUTO(vx_scan_snapshot) snapshot = NULL;
    *ret_page = (vx_group_page){0};
    int rc = query->filter
                 ? vx_collection_select_videos(d->params.collection, query->filter, &selected, err)
                 : 0;
    if (rc)
        return rc;
    rc = take_snapshot(d, &snapshot, err);
    if (!rc)
        rc = partition_init(&p, snapshot, query, selected, err);
    if (!rc)
        rc = list_all(d, query, &p, ret_page, err);
    if (rc)
        vx_group_page_clear(ret_page);
    else
        cut_page(query, ret_page);
    return rc;
}

typedef struct storing {
    vx_catalog *catalog;
    const vx_group_build *build;
} storing;

static int apply_found(void *ctx, vx_err *err) {
    const storing *s = ctx;
    return vx_catalog_insert_pairs(s->catalog, s->build->found, s->build->n_found, err);
}

/* The group whose least id this is; with what is missing compared. */
static int build_named(vx_duplicates *d, const vx_group_query *query, const vx_idset *selected,
                       const char *group_id, vx_group_build *b, vx_err *err) {
    __attribute__((cleanup(partition_done))) partition p = {0};
    VX_AUTO(vx_scan_snapshot) snapshot = NULL;
    int rc = take_snapshot(d, &snapshot, err);
    if (!rc)
        rc = partition_init(&p, snapshot, query, selected, err);
    for (span at = {0}; !rc && next_group(&p, &at);) {
        const vx_group_members members = members_of(&p, &at);
        vx_group name;
        vx_group_name(snapshot, &members, &name);
        if (strcmp(name.id, group_id))
            continue;
        b->snapshot = snapshot;
        rc = vx_group_build_run(b, &members, err);
        b->snapshot = NULL;
        return rc;
    }
    return rc ? rc
              : VX_FAIL(err, VX_CATALOG_NOT_FOUND, "there is no group %.30s: it may have changed",
                        group_id);
}

int vx_duplicates_plan(vx_duplicates *d, const vx_group_query *query, const char *group_id,
                       vx_group **ret_group, vx_err *err) {
    VX_AUTO(vx_idset) selected = NULL;
    __attribute__((cleanup(vx_group_build_done)))
    vx_group_build b = {.duplicates = d, .query = query, .compare = true};
    int rc = query->filter
                 ? vx_collection_select_videos(d->params.collection, query->filter, &selected, err)
                 : 0;
    if (rc)
        return rc;
    rc = build_named(d, query, selected, group_id, &b, err);
    storing s = {d->params.collection->catalog, &b};
    vx_err store_err;
    int stored = b.n_found ? vx_writer_run(d->params.writer, apply_found, NULL, &s, &store_err) : 0;
    if (b.n_found)
        vx_duplicates_note_change(d);
    if (stored && !rc) {
        rc = stored;
        *err = store_err;
    }
    if (rc)
        vx_group_free(b.group);
    else
        *ret_group = vx_take(b.group);
    return rc;
}

static size_t count_unchecked(const vx_group *group) {
    size_t n = 0;
    for (size_t i = 0; i < group->n_videos; i++)
        n += group->videos[i].unchecked;
    return n;
}

/* Until nothing is unchecked, or another turn changes nothing. */
static int complete_group(vx_duplicates *d, const vx_group_query *query, const vx_group *listed,
                          vx_err *err) {
    size_t left = count_unchecked(listed);
    for (bool better = left > 0; better;) {
        VX_AUTO(vx_group) group = NULL;
        int rc = vx_duplicates_plan(d, query, listed->id, &group, err);
        if (rc)
            return rc == VX_CATALOG_NOT_FOUND ? 0 : rc;
        size_t now = count_unchecked(group);
        better = now && now < left;
        left = now;
    }
    return 0;
}

int vx_duplicates_complete(vx_duplicates *d, const vx_group_query *query, vx_err *err) {
    vx_group_page page;
    vx_group_query all = *query;
    all.limit = 0;
    all.after_id[0] = '\0';
    all.max_looks = SIZE_MAX;
    int rc = vx_duplicates_list(d, &all, &page, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < page.n && !rc; i++)
        rc = complete_group(d, &all, page.groups[i], err);
    vx_group_page_clear(&page);
    return rc;
}
