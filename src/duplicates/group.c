/* group.c — one group: in which order its videos stand, and what may go.
 *
 * What may go: in the order of the policy, a video goes if a video that is kept before it holds all of it: it is a
 * copy or a part of that one (or, where the query makes groups of similar videos, similar to it). So every
 * video that goes names one that stays and was compared with it; a chain of small steps loses nothing, and of a
 * compilation and the clips in it, no clip goes for the sake of another. A video without a file lets none go. Of
 * several listed files with the same bytes one stays at most.
 */
#include "group.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
#include "evidence.h"
#include "keeper.h"

vx_group *vx_group_free(vx_group *group) {
    if (!group)
        return NULL;
    for (size_t i = 0; i < group->n_videos; i++)
        vx_group_video_clear(&group->videos[i]);
    free(group->videos);
    free(group->pairs);
    free(group);
    return NULL;
}

void vx_group_build_done(vx_group_build *b) {
    for (size_t i = 0; i < b->n_found; i++)
        free(b->found[i].segments);
    free(b->found);
    free(b->facts);
    vx_verdict_decoded_free(b->decoded);
}

/* ---- videos and pairs ---- */

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

static int read_facts(vx_group_build *b, const vx_scan_snapshot *s, const uint32_t *members,
                      vx_err *err) {
    const vx_keep_policy *policy = b->query->policy;
    vx_collection *collection = b->duplicates->params.collection;
    for (size_t i = 0; i < b->group->n_videos; i++) {
        VX_AUTO_FREE char *metadata = NULL;
        const vx_group_video *video = &s->videos[members[i]];
        b->facts[i] = (vx_keep_facts){.video = video,
                                      .filename = vx_keep_choose_file(policy, video),
                                      .metadata = (double)NAN};
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

static int copy_pairs(vx_group_build *b, const vx_scan_snapshot *s, const uint32_t *pairs,
                      vx_err *err) {
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

/* ---- comparing what has no pair ---- */

static bool is_over(void *ctx) {
    const vx_group_build *b = ctx;
    const vx_scan_watch *watch = b->query->watch;
    return atomic_load(&b->duplicates->stopping) || (watch && watch->is_over(watch->ctx));
}

static int check_over(vx_group_build *b, vx_err *err) {
    if (atomic_load(&b->duplicates->stopping))
        return VX_FAIL(err, -ESHUTDOWN, "the server is shutting down");
    return is_over(b) ? VX_FAIL(err, -ECANCELED, "the comparison was stopped") : 0;
}

/* By hashes, and where these call one a copy, by what the files show. */
static int judge(vx_group_build *b, vx_duplicate_pair *pair, vx_pair_evidence_video *older,
                 vx_pair_evidence_video *newer, bool *ret_unchecked, vx_err *err) {
    const vx_duplicates_params *p = &b->duplicates->params;
    const vx_verdict_files files = {.store = p->store,
                                    .extractor = p->extractor,
                                    .decode_threads = 1,
                                    .decoded = b->decoded,
                                    .cancelled = is_over,
                                    .ctx = b};
    int rc = vx_pair_evidence_load(p->collection, pair->a, older, err);
    if (!rc)
        rc = vx_pair_evidence_load(p->collection, pair->b, newer, err);
    for (int i = 0; vx_pair_evidence_sources[i] && pair->kind == VX_VERDICT_NEW && !rc; i++)
        rc = vx_pair_evidence_sources[i]->judge(older, newer, pair, err);
    if (rc)
        return rc;
    bool look = p->extractor->evidence && vx_pair_evidence_is_strong(pair->kind) &&
                vx_video_has_file(older->video) && vx_video_has_file(newer->video);
    *ret_unchecked = look && b->n_looks >= b->query->max_looks;
    if (*ret_unchecked)
        vx_pair_evidence_drop(pair);
    b->n_looks += look && !*ret_unchecked;
    return vx_pair_evidence_check(older, newer, &files, pair, err);
}

typedef struct compared {
    vx_verdict_kind kind; /* what the second is to the first */
    bool unchecked;       /* not known: pictures were to be looked at, and no more may be */
    bool other_take;      /* hashes took it for a copy, and pictures did not */
} compared;

static int compare_now(vx_group_build *b, size_t first, size_t second, compared *ret, vx_err *err) {
    int rc = check_over(b, err);
    if (rc)
        return rc;
    b->n_compared++;
    *ret = (compared){.kind = VX_VERDICT_NEW};
    int64_t x = b->group->videos[first].row, y = b->group->videos[second].row;
    vx_duplicate_pair pair = {.a = x < y ? x : y,
                              .b = x < y ? y : x,
                              .kind = VX_VERDICT_NEW,
                              .score = NAN,
                              .share = NAN,
                              .share_of_a = NAN,
                              .share_of_b = NAN,
                              .offset_s = NAN};
    size_t looks_before = b->n_looks;
    vx_pair_evidence_video older = {0}, newer = {0};
    rc = judge(b, &pair, &older, &newer, &ret->unchecked, err);
    if (rc == -ECANCELED)
        rc = check_over(b, err);
    ret->other_take = b->n_looks > looks_before && pair.kind == VX_VERDICT_NEW;
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
    ret->kind = pair.kind;
    return 0;
}

/* ---- what stays ---- */

/* Whether a video of which this is so may go for the sake of the first. */
static bool is_held(const vx_group_build *b, vx_verdict_kind kind) {
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
static void find_holder(const vx_group_build *b, const staying *s, size_t i, size_t *ret_known) {
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

/* By comparing it with the kept ones that it has no pair with and that nobody said are unrelated. As in a scan, after
 * VX_VERDICT_CHECKS other takes it is a copy of none. */
static int compare_with_kept(vx_group_build *b, const staying *s, size_t i, vx_err *err) {
    enum { KEPT_MAX = 256 };
    vx_group_video *v = &b->group->videos[i];
    size_t other_takes = 0;
    int rc = 0;
    for (size_t k = 0; k < s->n_kept && v->keep && other_takes < VX_VERDICT_CHECKS && !rc; k++) {
        compared now;
        if (vx_group_find_pair(b->group, s->kept[k], i) ||
            vx_unrelated_has(&b->snapshot->unrelated, b->group->videos[s->kept[k]].row, v->row))
            continue;
        v->unchecked =
            k >= KEPT_MAX || b->n_compared >= VX_GROUP_COMPARED_MAX ||
            (b->duplicates->params.extractor->evidence && b->n_looks >= b->query->max_looks);
        if (v->unchecked)
            return 0;
        rc = compare_now(b, s->kept[k], i, &now, err);
        if (rc)
            return rc;
        v->unchecked = now.unchecked;
        if (now.unchecked)
            return 0;
        other_takes += now.other_take;
        v->keep = !is_held(b, now.kind);
        v->of = v->keep ? i : s->kept[k];
    }
    return rc;
}

/* A group is closed if comparing gives nothing: no pair that is asked for lets a video go, or every pair is known,
 * for no video has more than are kept for each. */
static int choose_what_stays(vx_group_build *b, vx_err *err) {
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
        g->bytes += v->bytes * (int64_t)v->n_files;
        g->removable_bytes += v->bytes * (int64_t)(v->n_files - v->keep);
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

void vx_group_name(const vx_scan_snapshot *s, const vx_group_members *members, vx_group *g) {
    uint32_t sum = 0; /* does not depend on their order */
    const char *least = s->videos[members->videos[0]].id;
    for (size_t i = 0; i < members->n_videos; i++) {
        const char *id = s->videos[members->videos[i]].id;
        sum += vx_crc32c(0, id, strlen(id));
        least = strcmp(id, least) < 0 ? id : least;
    }
    snprintf(g->id, sizeof g->id, "g%s", least + 1);
    snprintf(g->revision, sizeof g->revision, "%08x", sum);
}

typedef struct names { /* of a video, filename first */
    const vx_group_video *video;
    size_t n;
} names;

static const char *name_at(const names *all, size_t i) {
    return i ? all->video->same[i - 1].path : all->video->filename;
}

static bool starts_file(const names *all, size_t i) {
    return i == 0 || i == all->n || !all->video->same[i - 1].is_link;
}

static int add_name(vx_group_video *to, const char *path, bool is_link, vx_err *err) {
    char *copy = strdup(path);
    if (!copy)
        return VX_FAIL(err, -ENOMEM, "no memory for a group");
    to->same[to->n_same++] = (vx_group_file){.path = copy, .is_link = is_link};
    return 0;
}

/* The chosen name first, then the other names of its file, then the other files. */
static int copy_files(const vx_keep_facts *facts, vx_group_video *to, vx_err *err) {
    const names all = {facts->video, facts->video->n_same + 1};
    size_t chosen = 0, first, end;
    while (name_at(&all, chosen) != facts->filename)
        chosen++;
    for (first = chosen; !starts_file(&all, first);)
        first--;
    for (end = chosen + 1; !starts_file(&all, end);)
        end++;
    to->filename = strdup(facts->filename);
    to->same = all.n > 1 ? vx_new_array(all.n - 1, sizeof *to->same) : NULL;
    if (!to->filename || (all.n > 1 && !to->same))
        return VX_FAIL(err, -ENOMEM, "no memory for a group");
    int rc = 0;
    for (size_t i = first; i < end && !rc; i++)
        rc = i == chosen ? 0 : add_name(to, name_at(&all, i), true, err);
    for (size_t i = 0; i < all.n && !rc; i++)
        if (i < first || i >= end)
            rc = add_name(to, name_at(&all, i), !starts_file(&all, i), err);
    return rc;
}

static int order_videos(vx_group_build *b, vx_err *err) {
    vx_group *g = b->group;
    const vx_keep_policy *policy = b->query->policy;
    int rc = 0;
    sorted_by = policy;
    qsort(b->facts, g->n_videos, sizeof *b->facts, by_policy);
    vx_keep_explain(policy, &b->facts[0], g->n_videos > 1 ? &b->facts[1] : NULL, g->why,
                    sizeof g->why);
    for (size_t i = 0; i < g->n_videos && !rc; i++) {
        g->videos[i] = *b->facts[i].video;
        g->videos[i].no_file = b->facts[i].no_file;
        g->videos[i].filename = NULL;
        g->videos[i].same = NULL;
        g->videos[i].n_same = 0;
        rc = copy_files(&b->facts[i], &g->videos[i], err);
    }
    return rc;
}

int vx_group_build_run(vx_group_build *b, const vx_group_members *members, vx_err *err) {
    const vx_scan_snapshot *s = b->snapshot;
    size_t n = members->n_videos;
    vx_group *g = b->group = vx_new(vx_group);
    b->decoded = b->compare ? vx_verdict_decoded_new(VX_VERDICT_DECODED_MAX) : NULL;
    if (!g || (b->compare && !b->decoded))
        return VX_FAIL(err, -ENOMEM, "no memory for a group");
    b->facts = vx_new_array(n, sizeof *b->facts);
    g->videos = vx_new_array(n, sizeof *g->videos);
    g->pairs = vx_new_array(members->n_pairs + 1, sizeof *g->pairs);
    if (!b->facts || !g->videos || !g->pairs)
        return VX_FAIL(err, -ENOMEM, "no memory for a group of %zu videos", n);
    g->n_videos = n;
    g->n_pairs = members->n_pairs;
    vx_group_name(s, members, g);
    g->decision = find_decision(s, members->videos, n);
    g->state = g->decision ? VX_GROUP_DECIDED : VX_GROUP_OPEN;
    int rc = read_facts(b, s, members->videos, err);
    if (!rc)
        rc = order_videos(b, err);
    if (!rc)
        rc = copy_pairs(b, s, members->pairs, err);
    return rc ? rc : choose_what_stays(b, err);
}
