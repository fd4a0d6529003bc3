/* verdict.c — see verdict.h. Why the committer may rest on an earlier look:
 *
 * What enters the indexes is noted afterwards, in a list that counts up. A look remembers the count
 * from before it began: whatever is not in the indexes yet when they are read is noted later than
 * that, and so is among the newcomers. One that is met twice does no harm. What left the indexes
 * since is not found in the catalog (rows are never given out twice) and was perhaps in the place of
 * another; then, and where too many came, everything is looked at again.
 */
#include "verdict.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "fingerprint/fingerprint.h"
#include "rule.h"

#define NEIGHBOURS_PER_CLIP 8
#define SIMILAR_MAX 64
/* Scores of pairs of clips, 0.2 us each at 1280 dimensions: beyond, a look is faster. */
#define NEWCOMER_PAIRS_MAX ((size_t)1 << 20)

/* What the verdict is made of. */
typedef struct evidence {
    vx_dedup_similar similar[SIMILAR_MAX];
    size_t n_similar;
    int64_t copies[2 * VX_VERDICT_COPIES + VX_NEWCOMERS];
    size_t n_copies;
    bool outdated; /* it lacks what only another look can find */
} evidence;

void vx_verdict_look_clear(vx_verdict_look *look) {
    free(look->near);
    free(look->n_near);
    *look = (vx_verdict_look){0};
}

/* The stored videos that share frames with the new one as it is, and with its mirror image. */
static int look_for_copies(vx_server *server, const vx_fp_video *fingerprint, vx_verdict_look *look,
                           vx_err *err) {
    const vx_fp_frame *sides[2] = {fingerprint->frames, fingerprint->mirrored};
    int rc = 0;
    for (int side = 0; side < 2 && !rc; side++) {
        size_t n = 0;
        if (!sides[side])
            continue;
        rc = vx_fp_index_candidates(server->fingerprints, sides[side], fingerprint->n_frames,
                                    VX_VERDICT_COPIES, look->copies + look->n_copies, &n, err);
        look->n_copies += n;
        look->more_copies |= n == VX_VERDICT_COPIES;
    }
    return rc;
}

int vx_verdict_look_up(vx_server *server, const vx_extract *extract, vx_verdict_look *ret_look,
                       vx_err *err) {
    const vx_model *model = &server->models[0];
    *ret_look = (vx_verdict_look){
        .n_seen = atomic_load(&server->newcomers.n),
        .near = vx_new_array(extract->n_clips, NEIGHBOURS_PER_CLIP * sizeof *ret_look->near),
        .n_near = vx_new_array(extract->n_clips, sizeof *ret_look->n_near),
    };
    if (!ret_look->near || !ret_look->n_near)
        return VX_FAIL(err, -ENOMEM, "no memory for the verdict");
    int rc = look_for_copies(server, &extract->fingerprint, ret_look, err);
    return rc ? rc
              : vx_index_search(model->index, extract->vectors[0], extract->n_clips,
                                NEIGHBOURS_PER_CLIP, model->info->similar_threshold, NULL, NULL,
                                ret_look->near, ret_look->n_near, err);
}

void vx_verdict_note(vx_server *server, int64_t video_row) {
    vx_newcomers *newcomers = &server->newcomers;
    newcomers->videos[atomic_load(&newcomers->n) % VX_NEWCOMERS] = video_row;
    atomic_fetch_add(&newcomers->n, 1);
}

/* ---- evidence ---- */

/* The best score of each video; of more than fit, the best videos. */
static void add_similar(evidence *e, int64_t video, float score) {
    size_t at = 0, least = 0;
    for (; at < e->n_similar && e->similar[at].video != video; at++)
        if (e->similar[at].score < e->similar[least].score)
            least = at;
    if (at == SIMILAR_MAX)
        at = least;
    else if (at == e->n_similar)
        e->similar[e->n_similar++] = (vx_dedup_similar){video, score};
    if (score > e->similar[at].score)
        e->similar[at] = (vx_dedup_similar){video, score};
}

/* The best cosine between the new clips and those of one stored video; NaN if it has no vectors. */
static float best_score(vx_server *server, const vx_extract *extract, const vx_video *video) {
    float best = NAN;
    for (size_t i = 0; i < video->n_clips; i++) {
        float score;
        if (!vx_index_score(server->models[0].index, video->clips[i].row, extract->vectors[0],
                            extract->n_clips, &score, NULL) &&
            !(best >= score))
            best = score;
    }
    return best;
}

static int weigh_neighbours(vx_server *server, const vx_extract *extract,
                            const vx_verdict_look *look, evidence *e, vx_err *err) {
    for (size_t c = 0; c < extract->n_clips; c++) {
        for (size_t i = 0; i < look->n_near[c]; i++) {
            const vx_neighbour *hit = &look->near[c * NEIGHBOURS_PER_CLIP + i];
            VX_AUTO(vx_video) video = NULL;
            int rc = vx_catalog_get_video_of_clip(server->catalog, hit->id, &video, err);
            if (rc && rc != VX_CATALOG_NOT_FOUND)
                return rc;
            if (rc)
                e->outdated = true;
            else
                add_similar(e, video->row, hit->score);
        }
    }
    return 0;
}

static int weigh_copies(vx_server *server, const vx_verdict_look *look, evidence *e, vx_err *err) {
    memcpy(e->copies, look->copies, look->n_copies * sizeof *look->copies);
    e->n_copies = look->n_copies;
    for (size_t i = 0; i < look->n_copies && look->more_copies; i++) {
        VX_AUTO(vx_video) video = NULL;
        int rc = vx_catalog_get_video_by_row(server->catalog, look->copies[i], &video, err);
        if (rc && rc != VX_CATALOG_NOT_FOUND)
            return rc;
        e->outdated |= rc == VX_CATALOG_NOT_FOUND;
    }
    return 0;
}

static int weigh_newcomers(vx_server *server, const vx_extract *extract,
                           const vx_verdict_look *look, evidence *e, vx_err *err) {
    const vx_newcomers *newcomers = &server->newcomers;
    unsigned long long n = atomic_load(&newcomers->n);
    e->outdated |= n - look->n_seen > VX_NEWCOMERS;
    size_t n_pairs = 0;
    for (unsigned long long i = look->n_seen; i < n && !e->outdated; i++) {
        VX_AUTO(vx_video) video = NULL;
        int rc = vx_catalog_get_video_by_row(server->catalog, newcomers->videos[i % VX_NEWCOMERS],
                                             &video, err);
        if (rc == VX_CATALOG_NOT_FOUND) /* deleted again, or its group failed */
            continue;
        if (rc)
            return rc;
        n_pairs += extract->n_clips * video->n_clips;
        e->outdated = n_pairs > NEWCOMER_PAIRS_MAX;
        float score = e->outdated ? NAN : best_score(server, extract, video);
        if (score >= server->models[0].info->similar_threshold)
            add_similar(e, video->row, score);
        e->copies[e->n_copies++] = video->row;
    }
    return 0;
}

static int weigh(vx_server *server, const vx_extract *extract, const vx_verdict_look *look,
                 evidence *ret_evidence, vx_err *err) {
    *ret_evidence = (evidence){0};
    int rc = weigh_neighbours(server, extract, look, ret_evidence, err);
    if (!rc)
        rc = weigh_copies(server, look, ret_evidence, err);
    return rc ? rc : weigh_newcomers(server, extract, look, ret_evidence, err);
}

/* As of now, on the thread that alone changes the indexes. What is still outdated then was deleted
 * earlier in this group. */
static int look_again(vx_server *server, const vx_extract *extract, evidence *ret_evidence,
                      vx_err *err) {
    vx_verdict_look look = {0};
    int rc = vx_verdict_look_up(server, extract, &look, err);
    if (!rc)
        rc = weigh(server, extract, &look, ret_evidence, err);
    vx_verdict_look_clear(&look);
    return rc;
}

/* ---- the verdict ---- */

static int load_fingerprint(void *ctx, int64_t video, vx_fp_frame **ret_frames, size_t *ret_n,
                            vx_err *err) {
    vx_server *server = ctx;
    VX_AUTO_FREE void *blob = NULL;
    size_t bytes = 0;
    int rc = vx_catalog_get_fingerprint(server->catalog, video, &blob, &bytes, err);
    if (rc == VX_CATALOG_NOT_FOUND) {
        *ret_frames = NULL;
        *ret_n = 0;
        return 0;
    }
    return rc ? rc : vx_fp_unpack(blob, bytes, ret_frames, ret_n, err);
}

static int judge(vx_server *server, const vx_extract *extract, const evidence *e,
                 vx_verdict *ret_verdict, vx_err *err) {
    vx_dedup_input input = {
        .frames = extract->fingerprint.frames,
        .mirrored = extract->fingerprint.mirrored,
        .n_frames = extract->fingerprint.n_frames,
        .candidates = e->copies,
        .n_candidates = e->n_copies,
        .similar = e->similar,
        .n_similar = e->n_similar,
        .similar_threshold = server->models[0].info->similar_threshold,
        .load = load_fingerprint,
        .load_ctx = server,
    };
    return vx_dedup_decide(&input, ret_verdict, err);
}

int vx_verdict_decide(vx_server *server, const vx_extract *extract, const vx_verdict_look *look,
                      vx_verdict_row *ret_verdict, vx_video **ret_of, vx_err *err) {
    evidence e;
    vx_verdict found;
    int rc = weigh(server, extract, look, &e, err);
    if (!rc && e.outdated)
        rc = look_again(server, extract, &e, err);
    if (!rc)
        rc = judge(server, extract, &e, &found, err);
    if (rc)
        return rc;
    *ret_verdict =
        (vx_verdict_row){.kind = VX_VERDICT_NEW, .score = NAN, .share = NAN, .offset_s = NAN};
    if (found.kind == VX_VERDICT_NEW)
        return 0;
    rc = vx_catalog_get_video_by_row(server->catalog, found.of, ret_of, err);
    if (rc)
        return rc == VX_CATALOG_NOT_FOUND ? 0 : rc; /* deleted earlier in this group: new */
    *ret_verdict = (vx_verdict_row){
        .kind = found.kind,
        .score = isnan(found.score) ? best_score(server, extract, *ret_of) : found.score,
        .share = found.share,
        .offset_s = found.offset_s,
        .mirrored = found.mirrored,
    };
    strcpy(ret_verdict->of, (*ret_of)->id);
    return 0;
}
