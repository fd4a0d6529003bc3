/* groups.c — videos that pairs connect, what may go, and in which order groups are listed.
 *
 * What may go: in the order of the policy, a video goes if a video that is kept before it holds all of it: it is a
 * copy or a part of that one (or, where the query makes groups of similar videos, similar to it). So every
 * video that goes names one that stays and was compared with it; a chain of small steps loses nothing, and of a
 * compilation and the clips in it, no clip goes for the sake of another. A video without a file lets none go.
 *
 * long because how groups come about and what may go of them share the group that is under way.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
#include "duplicates_internal.h"
#include "evidence.h"
#include "keeper.h"
#include "sets.h"
#include "snapshot.h"

vx_group *vx_group_free(vx_group *group) {
    if (!group)
        return NULL;
    for (size_t i = 0; i < group->n_videos; i++)
        free(group->videos[i].filename);
    free(group->videos);
    free(group->pairs);
    free(group);
    return NULL;
}

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
} partition;

typedef struct span { /* of a partition: one group */
    size_t first_member, n_members, first_pair, n_pairs;
} span;

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

/* Moves on to the next group of two and more; false: that was the last. */
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
    } while (g->n_members < 2);
    return true;
}

/* ---- one group ---- */

typedef struct building {
    vx_duplicates *duplicates;
    const vx_group_query *query;
    const vx_scan_snapshot *snapshot;
    vx_group *group;
    vx_keep_facts *facts;     /* [n_videos] in the order of the policy */
    bool compare;             /* what has no pair is judged now */
    vx_duplicate_pair *found; /* [n_found] by that; their segments are owned */
    size_t n_found, found_capacity, n_compared;
} building;

static void building_done(building *b) {
    for (size_t i = 0; i < b->n_found; i++)
        free(b->found[i].segments);
    free(b->found);
    free(b->facts);
}

/* qsort has no context: it is one call of one thread. */
static _Thread_local const vx_keep_policy *sorted_by;

static int by_policy(const void *a, const void *b) {
    return vx_keep_compare(sorted_by, a, b);
}

static int by_first_and_second(const void *a, const void *b) {
    const vx_group_pair *x = a, *y = b;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return (x->second > y->second) - (x->second < y->second);
}

static int read_facts(building *b, const vx_scan_snapshot *s, const uint32_t *members,
                      vx_err *err) {
    const vx_keep_policy *policy = b->query->policy;
    vx_collection *collection = b->duplicates->params.collection;
    for (size_t i = 0; i < b->group->n_videos; i++) {
        VX_AUTO_FREE char *metadata = NULL;
        const vx_group_video *video = &s->videos[members[i]];
        b->facts[i] = (vx_keep_facts){.video = video, .metadata = (double)NAN};
        b->facts[i].no_file = video->no_file || vx_collection_misses_file(collection, video->row);
        int rc = policy->by == VX_KEEP_METADATA
                     ? vx_catalog_get_metadata(collection->catalog, video->row, &metadata, err)
                     : 0;
        if (rc && rc != VX_CATALOG_NOT_FOUND)
            return rc;
        if (metadata)
            b->facts[i].metadata = vx_keep_read_metadata(policy, metadata);
    }
    return 0;
}

/* The place of a video of the snapshot in the group: they are few, or the group is large and sorted once. */
typedef struct place {
    int64_t row;
    size_t at;
} place;

static int by_place(const void *a, const void *b) {
    const place *x = a, *y = b;
    return (x->row > y->row) - (x->row < y->row);
}

static int copy_pairs(building *b, const vx_scan_snapshot *s, const uint32_t *pairs, vx_err *err) {
    vx_group *g = b->group;
    VX_AUTO_FREE place *places = vx_new_array(g->n_videos + 1, sizeof *places);
    if (!places)
        return VX_FAIL(err, -ENOMEM, "no memory for a group of %zu videos", g->n_videos);
    for (size_t i = 0; i < g->n_videos; i++)
        places[i] = (place){g->videos[i].row, i};
    qsort(places, g->n_videos, sizeof *places, by_place);
    for (size_t i = 0; i < g->n_pairs; i++) {
        vx_duplicate_pair pair = s->pairs[pairs[i]].pair;
        const place *a =
            bsearch(&(place){.row = pair.a}, places, g->n_videos, sizeof *places, by_place);
        const place *c =
            bsearch(&(place){.row = pair.b}, places, g->n_videos, sizeof *places, by_place);
        size_t first = a->at, second = c->at;
        if (first > second) {
            vx_pair_turn(&pair);
            first = c->at;
            second = a->at;
        }
        g->pairs[i] = (vx_group_pair){.first = first,
                                      .second = second,
                                      .kind = pair.kind,
                                      .score = pair.score,
                                      .share = pair.share,
                                      .share_of_first = pair.share_of_a,
                                      .share_of_second = pair.share_of_b,
                                      .offset_s = pair.offset_s,
                                      .mirrored = pair.mirrored};
    }
    qsort(g->pairs, g->n_pairs, sizeof *g->pairs, by_first_and_second);
    return 0;
}

const vx_group_pair *vx_group_find_pair(const vx_group *g, size_t first, size_t second) {
    const vx_group_pair key = {.first = first, .second = second};
    return g->n_pairs ? bsearch(&key, g->pairs, g->n_pairs, sizeof *g->pairs, by_first_and_second)
                      : NULL;
}

static bool is_stopping(void *ctx) {
    vx_duplicates *duplicates = ctx;
    return atomic_load(&duplicates->stopping);
}

static int compare_now(building *b, size_t first, size_t second, vx_verdict_kind *ret_kind,
                       vx_err *err) {
    vx_collection *collection = b->duplicates->params.collection;
    if (atomic_load(&b->duplicates->stopping))
        return VX_FAIL(err, -ESHUTDOWN, "the server is shutting down");
    b->n_compared++;
    int64_t x = b->group->videos[first].row, y = b->group->videos[second].row;
    vx_duplicate_pair pair = {.a = x < y ? x : y,
                              .b = x < y ? y : x,
                              .kind = VX_VERDICT_NEW,
                              .score = NAN,
                              .share = NAN,
                              .share_of_a = NAN,
                              .share_of_b = NAN,
                              .offset_s = NAN};
    const vx_verdict_files files = {.store = b->duplicates->params.store,
                                    .extractor = b->duplicates->params.extractor,
                                    .decode_threads = 1,
                                    .cancelled = is_stopping,
                                    .ctx = b->duplicates};
    vx_pair_evidence_video older = {0}, newer = {0};
    int rc = vx_pair_evidence_load(collection, pair.a, &older, err);
    if (!rc)
        rc = vx_pair_evidence_load(collection, pair.b, &newer, err);
    for (int i = 0; vx_pair_evidence_sources[i] && pair.kind == VX_VERDICT_NEW && !rc; i++)
        rc = vx_pair_evidence_sources[i]->judge(&older, &newer, &pair, err);
    if (!rc)
        rc = vx_pair_evidence_check(&older, &newer, &files, &pair, err);
    if (rc == -ECANCELED)
        rc = VX_FAIL(err, -ESHUTDOWN, "the server is shutting down");
    vx_pair_evidence_done(&older);
    vx_pair_evidence_done(&newer);
    if (rc == VX_CATALOG_NOT_FOUND)
        return 0;
    if (!rc && pair.kind != VX_VERDICT_NEW) {
        if (!vx_make_room(b->found, b->n_found, b->found_capacity))
            rc = VX_FAIL(err, -ENOMEM, "no memory for %zu pairs", b->n_found + 1);
        else
            b->found[b->n_found++] = pair;
    }
    if (rc) {
        free(pair.segments);
        return rc;
    }
    if (pair.a != x)
        vx_pair_turn(&pair);
    *ret_kind = pair.kind;
    return 0;
}

/* Whether a video of which this is so may go for the sake of the first. */
static bool is_held(const building *b, vx_verdict_kind kind) {
    return kind == VX_VERDICT_EXACT || kind == VX_VERDICT_COPY || kind == VX_VERDICT_PART_OF ||
           (kind == VX_VERDICT_SIMILAR && b->query->kinds >> VX_VERDICT_SIMILAR & 1);
}

/* Whether any of the pairs that are asked for lets a video go. */
static bool lets_go(const vx_group_query *query) {
    return !query->kinds || query->kinds & (VX_GROUP_KINDS | 1U << VX_VERDICT_SIMILAR);
}

/* Numbers of pairs by their second video: those of video i begin at ret_first[i], a counting sort. */
static uint32_t *pairs_by_second(const vx_group *g, size_t **ret_first, vx_err *err) {
    size_t *at = vx_new_array(g->n_videos + 2, sizeof *at);
    uint32_t *sorted = vx_new_array(g->n_pairs + 1, sizeof *sorted);
    *ret_first = at;
    if (!at || !sorted) {
        free(sorted);
        VX_FAIL(err, -ENOMEM, "no memory for a group of %zu videos", g->n_videos);
        return NULL;
    }
    for (size_t i = 0; i < g->n_pairs; i++)
        at[g->pairs[i].second + 2]++;
    for (size_t i = 0; i < g->n_videos; i++)
        at[i + 2] += at[i + 1];
    for (size_t i = 0; i < g->n_pairs; i++)
        sorted[at[g->pairs[i].second + 1]++] = (uint32_t)i;
    return sorted;
}

/* The kept videos that have a file, best first, and pairs by their second video. */
typedef struct staying {
    size_t *kept; /* [n_kept] */
    size_t n_kept;
    uint32_t *pairs;
    size_t *first;
} staying;

static void staying_done(staying *s) {
    free(s->kept);
    free(s->pairs);
    free(s->first);
}

/* By the pairs that are known: the best kept video that holds it. ret_known: of how many kept ones there is a
 * pair. */
static void find_holder(const building *b, const staying *s, size_t i, size_t *ret_known) {
    vx_group *g = b->group;
    *ret_known = 0;
    for (size_t k = s->first[i]; k < s->first[i + 1]; k++) {
        const vx_group_pair *pair = &g->pairs[s->pairs[k]]; /* by first, rising */
        bool kept = g->videos[pair->first].keep && !g->videos[pair->first].no_file;
        *ret_known += kept;
        if (kept && is_held(b, pair->kind)) {
            g->videos[i].keep = false;
            g->videos[i].of = pair->first;
            return;
        }
    }
}

/* By comparing it with the kept ones that it has no pair with and that nobody said are unrelated. */
static int compare_with_kept(building *b, const staying *s, size_t i, vx_err *err) {
    enum { KEPT_MAX = 256, COMPARED_MAX = 20000 };
    vx_group_video *v = &b->group->videos[i];
    int rc = 0;
    for (size_t k = 0; k < s->n_kept && v->keep && !rc; k++) {
        vx_verdict_kind kind = VX_VERDICT_NEW;
        if (vx_group_find_pair(b->group, s->kept[k], i) ||
            vx_unrelated_has(&b->snapshot->unrelated, b->group->videos[s->kept[k]].row, v->row))
            continue;
        v->unchecked = k >= KEPT_MAX || b->n_compared >= COMPARED_MAX;
        if (v->unchecked)
            return 0;
        rc = compare_now(b, s->kept[k], i, &kind, err);
        v->keep = !is_held(b, kind);
        v->of = v->keep ? i : s->kept[k];
    }
    return rc;
}

/* A group is closed if comparing gives nothing: no pair that is asked for lets a video go, or every pair is known,
 * for no video has more than are kept for each. */
static int choose_what_stays(building *b, vx_err *err) {
    vx_group *g = b->group;
    bool closed = g->n_videos <= VX_DUPLICATES_PAIRS + 1 || !lets_go(b->query);
    __attribute__((cleanup(staying_done)))
    staying s = {.kept = vx_new_array(g->n_videos, sizeof *s.kept)};
    s.pairs = pairs_by_second(g, &s.first, err);
    if (!s.kept || !s.pairs)
        return VX_FAIL(err, -ENOMEM, "no memory for a group of %zu videos", g->n_videos);
    for (size_t i = 0; i < g->n_videos; i++) {
        vx_group_video *v = &g->videos[i];
        size_t n_known;
        v->keep = true;
        v->of = i;
        find_holder(b, &s, i, &n_known);
        v->unchecked = v->keep && !closed && n_known < s.n_kept && !b->compare;
        int rc = v->keep && !closed && b->compare ? compare_with_kept(b, &s, i, err) : 0;
        if (rc)
            return rc;
        g->bytes += v->bytes;
        g->removable_bytes += v->keep ? 0 : v->bytes;
        if (v->keep && !v->no_file)
            s.kept[s.n_kept++] = i;
    }
    return 0;
}

/* The newest decision to keep or delete that has all of a group's videos; 0: there is none. */
static int64_t find_decision(const vx_scan_snapshot *s, const uint32_t *members, size_t n) {
    size_t at = 0, high = s->n_settled;
    int64_t found = 0;
    while (at < high) { /* the first of members[0] */
        size_t middle = at + (high - at) / 2;
        if (s->settled[middle].video < members[0])
            at = middle + 1;
        else
            high = middle;
    }
    for (; at < s->n_settled && s->settled[at].video == members[0]; at++) {
        bool all = true;
        for (size_t k = 1; k < n && all; k++)
            all =
                bsearch(&(vx_settled){members[k], s->settled[at].decision}, s->settled,
                        s->n_settled, sizeof *s->settled, vx_scan_snapshot_compare_settled) != NULL;
        if (all)
            found = s->settled[at].decision;
    }
    return found;
}

static void name_group(vx_group *g, const vx_scan_snapshot *s, const uint32_t *members) {
    uint32_t sum = 0; /* does not depend on their order */
    const char *least = s->videos[members[0]].id;
    for (size_t i = 0; i < g->n_videos; i++) {
        const char *id = s->videos[members[i]].id;
        sum += vx_crc32c(0, id, strlen(id));
        least = strcmp(id, least) < 0 ? id : least;
    }
    snprintf(g->id, sizeof g->id, "g%s", least + 1);
    snprintf(g->revision, sizeof g->revision, "%08x", sum);
}

static int build_group(building *b, const partition *p, const span *at, vx_err *err) {
    const vx_scan_snapshot *s = p->snapshot;
    const uint32_t *members = p->members + at->first_member;
    vx_group *g = b->group = vx_new(vx_group);
    b->snapshot = s;
    if (!g)
        return VX_FAIL(err, -ENOMEM, "no memory for a group");
    b->facts = vx_new_array(at->n_members, sizeof *b->facts);
    g->videos = vx_new_array(at->n_members, sizeof *g->videos);
    g->pairs = vx_new_array(at->n_pairs + 1, sizeof *g->pairs);
    if (!b->facts || !g->videos || !g->pairs)
        return VX_FAIL(err, -ENOMEM, "no memory for a group of %zu videos", at->n_members);
    g->n_videos = at->n_members;
    g->n_pairs = at->n_pairs;
    name_group(g, s, members);
    g->decision = find_decision(s, members, g->n_videos);
    g->state = g->decision ? VX_GROUP_DECIDED : VX_GROUP_OPEN;
    int rc = read_facts(b, s, members, err);
    if (rc)
        return rc;
    sorted_by = b->query->policy;
    qsort(b->facts, g->n_videos, sizeof *b->facts, by_policy);
    vx_keep_explain(b->query->policy, &b->facts[0], &b->facts[1], g->why, sizeof g->why);
    for (size_t i = 0; i < g->n_videos; i++) {
        g->videos[i] = *b->facts[i].video;
        g->videos[i].no_file = b->facts[i].no_file;
        g->videos[i].filename = strdup(g->videos[i].filename);
        if (!g->videos[i].filename)
            rc = VX_FAIL(err, -ENOMEM, "no memory for a group");
    }
    if (!rc)
        rc = copy_pairs(b, s, p->pairs + at->first_pair, err);
    return rc ? rc : choose_what_stays(b, err);
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
        rc = vx_scan_snapshot_load(d->params.collection, &fresh, err);
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
        __attribute__((cleanup(building_done))) building b = {.duplicates = d, .query = query};
        rc = build_group(&b, p, &at, err);
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
    const building *building;
} storing;

static int apply_found(void *ctx, vx_err *err) {
    const storing *s = ctx;
    return vx_catalog_insert_pairs(s->catalog, s->building->found, s->building->n_found, err);
}

/* The group whose least id this is; with what is missing compared. */
static int build_named(vx_duplicates *d, const vx_group_query *query, const vx_idset *selected,
                       const char *group_id, building *b, vx_err *err) {
    __attribute__((cleanup(partition_done))) partition p = {0};
    VX_AUTO(vx_scan_snapshot) snapshot = NULL;
    int rc = take_snapshot(d, &snapshot, err);
    if (!rc)
        rc = partition_init(&p, snapshot, query, selected, err);
    for (span at = {0}; !rc && next_group(&p, &at);) {
        vx_group name = {.n_videos = at.n_members};
        name_group(&name, snapshot, p.members + at.first_member);
        if (!strcmp(name.id, group_id))
            return build_group(b, &p, &at, err);
    }
    return rc ? rc
              : VX_FAIL(err, VX_CATALOG_NOT_FOUND, "there is no group %.30s: it may have changed",
                        group_id);
}

int vx_duplicates_plan(vx_duplicates *d, const vx_group_query *query, const char *group_id,
                       vx_group **ret_group, vx_err *err) {
    VX_AUTO(vx_idset) selected = NULL;
    __attribute__((cleanup(building_done)))
    building b = {.duplicates = d, .query = query, .compare = true};
    int rc = query->filter
                 ? vx_collection_select_videos(d->params.collection, query->filter, &selected, err)
                 : 0;
    if (rc)
        return rc;
    rc = build_named(d, query, selected, group_id, &b, err);
    storing s = {d->params.collection->catalog, &b};
    if (!rc && b.n_found) {
        rc = vx_writer_run(d->params.writer, apply_found, NULL, &s, err);
        vx_duplicates_note_change(d);
    }
    if (rc)
        vx_group_free(b.group);
    else
        *ret_group = vx_take(b.group);
    return rc;
}
