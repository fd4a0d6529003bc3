/* windows.c — parts of the new and of stored files, decoded and compared. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "verdict_internal.h"

void vx_windows_clear(vx_windows *windows) {
    windows->own = vx_verdict_decoded_free(windows->own);
}

static bool keeps_going(void *ctx) {
    vx_windows *w = ctx;
    vx_turn_offer(&w->turn);
    return !w->files->cancelled || !w->files->cancelled(w->files->ctx);
}

static int open_window(vx_windows *w, const char *path, const uint8_t sha256[32],
                       const vx_evidence_window *window, vx_evidence_video **ret_video,
                       vx_err *err) {
    char table_path[PATH_MAX];
    vx_store_table_path(w->files->store, sha256, table_path, sizeof table_path);
    const vx_decoders *decoders = w->files->extractor->decoders;
    const vx_evidence_source source = {.path = path,
                                       .table_path = table_path,
                                       .limits = &w->files->extractor->limits,
                                       .decoder = decoders ? vx_decoders_pick(decoders) : NULL,
                                       .decode_threads = w->files->decode_threads,
                                       .keep_going = keeps_going,
                                       .ctx = w};
    return vx_evidence_open(&source, window, ret_video, err);
}

/* ---- what was decoded last ---- */

struct vx_verdict_decoded {
    struct kept_part {
        uint8_t sha256[32];
        vx_evidence_window window;
        vx_evidence_video *video; /* owned; NULL: empty */
        uint64_t used;            /* when, of `clock` */
    } items[VX_VERDICT_DECODED_MAX];
    size_t n; /* items in use */
    uint64_t clock;
};

vx_verdict_decoded *vx_verdict_decoded_new(size_t n) {
    vx_verdict_decoded *decoded = vx_new(vx_verdict_decoded);
    if (decoded)
        decoded->n = n;
    return decoded;
}

vx_verdict_decoded *vx_verdict_decoded_free(vx_verdict_decoded *decoded) {
    for (size_t i = 0; decoded && i < decoded->n; i++)
        vx_evidence_video_free(decoded->items[i].video);
    free(decoded);
    return NULL;
}

/* Decodes a part of a stored video; of NULL: of the new one. */
static int open_either(vx_windows *w, const vx_video *of, const vx_evidence_window *window,
                       vx_evidence_video **ret_video, vx_err *err) {
    VX_AUTO_STORED_FILE file = VX_NO_STORED_FILE;
    if (!of)
        return open_window(w, w->files->path, w->files->sha256, window, ret_video, err);
    int rc = vx_store_find_file(w->files->store, of->sha256, of->source_path, &file, err);
    return rc ? rc : open_window(w, file.path, of->sha256, window, ret_video, err);
}

/* Lends the video; the next but one call may free it. */
static int open_kept(vx_windows *w, vx_verdict_decoded *decoded, const vx_video *of,
                     const vx_evidence_window *window, vx_evidence_video **ret_video, vx_err *err) {
    const uint8_t *sha256 = of ? of->sha256 : w->files->sha256;
    struct kept_part *slot = NULL, *oldest = decoded->items;
    for (struct kept_part *k = decoded->items; k < decoded->items + decoded->n && !slot; k++) {
        oldest = k->used < oldest->used ? k : oldest;
        if (k->video && !memcmp(k->sha256, sha256, sizeof k->sha256) &&
            k->window.start_s == window->start_s && k->window.end_s == window->end_s &&
            k->window.fps == window->fps)
            slot = k;
    }
    if (!slot) {
        slot = oldest;
        slot->video = vx_evidence_video_free(slot->video);
        int rc = open_either(w, of, window, &slot->video, err);
        if (rc)
            return rc;
        memcpy(slot->sha256, sha256, sizeof slot->sha256);
        slot->window = *window;
    }
    slot->used = ++decoded->clock;
    *ret_video = slot->video;
    return 0;
}

/* ---- comparing ---- */

int vx_windows_compare(vx_windows *w, const vx_evidence_window *of_new, const vx_video *of,
                       const vx_evidence_window *of_stored, const vx_evidence_params *params,
                       vx_evidence *ret_evidence, vx_err *err) {
    enum { OWN = 3 }; /* the new one's part, and two of stored ones */
    vx_evidence_video *older = NULL, *newer = NULL;
    *ret_evidence = (vx_evidence){.motion = NAN};
    if (!w->files->decoded && !w->own && !(w->own = vx_verdict_decoded_new(OWN)))
        return VX_FAIL(err, -ENOMEM, "no memory to look at videos again");
    vx_verdict_decoded *decoded = w->files->decoded ? w->files->decoded : w->own;
    vx_turn_begin(&w->turn);
    int rc = open_kept(w, decoded, of, of_stored, &older, err);
    if (!rc)
        rc = open_kept(w, decoded, NULL, of_new, &newer, err);
    if (!rc)
        rc = vx_evidence_compare(newer, older, params, ret_evidence, err);
    vx_turn_end(&w->turn);
    return rc;
}

/* ---- what it means ---- */

/* But for half a second at either end, as hashes allow, and half of a step between two lines; of two seconds the half is
 * no whole. */
static bool is_all(const vx_span *shared, double length_s) {
    double slack_s = fmin(0.75, length_s / 5);
    return shared->start_s <= slack_s && shared->end_s >= length_s - slack_s;
}

vx_span vx_windows_relate(const vx_evidence *e, const vx_span *in_new, double new_s,
                          double stored_s, vx_verdict_found *ret_found) {
    double a = e->speed * in_new->start_s + e->offset_s, b = e->speed * in_new->end_s + e->offset_s;
    const vx_span in_stored = {fmax(0, fmin(a, b)), fmin(stored_s, fmax(a, b))};
    bool all_of_new = is_all(in_new, new_s), all_of_stored = is_all(&in_stored, stored_s);
    *ret_found = (vx_verdict_found){
        .kind = all_of_new && all_of_stored ? VX_VERDICT_COPY
                : all_of_new                ? VX_VERDICT_PART_OF
                : all_of_stored             ? VX_VERDICT_CONTAINS
                                            : VX_VERDICT_SHARED_SEGMENT,
        .share_of_new = all_of_new ? 1 : (float)fmin(1, (in_new->end_s - in_new->start_s) / new_s),
        .share_of_stored =
            all_of_stored ? 1 : (float)fmin(1, (in_stored.end_s - in_stored.start_s) / stored_s),
        .offset_s = roundf((float)e->offset_s * 1e3f) / 1e3f + 0.0f,
        .motion = e->motion,
        .mirrored = e->mirrored,
    };
    return in_stored;
}
