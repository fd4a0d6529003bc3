/* windows.c — parts of the new and of stored files, decoded and compared. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "verdict_internal.h"

void vx_windows_clear(vx_windows *windows) {
    windows->fresh = vx_evidence_video_free(windows->fresh);
}

void vx_windows_path(const vx_store *store, const vx_video *video, char path[PATH_MAX]) {
    if (video->source_path)
        snprintf(path, PATH_MAX, "%s", video->source_path);
    else
        vx_store_path(store, video->sha256, path, PATH_MAX);
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

/* Sets w->fresh. Of two stored videos one often wants the same part as the other. */
static int open_fresh(vx_windows *w, const vx_evidence_window *window, vx_err *err) {
    if (w->fresh && window->start_s == w->of_fresh.start_s && window->end_s == w->of_fresh.end_s)
        return 0;
    w->fresh = vx_evidence_video_free(w->fresh);
    w->of_fresh = *window;
    return open_window(w, w->files->path, w->files->sha256, window, &w->fresh, err);
}

/* ---- what was decoded last ---- */

enum { KEPT = 8 };

struct vx_verdict_decoded {
    struct kept_part {
        uint8_t sha256[32];
        vx_evidence_window window;
        vx_evidence_video *video; /* owned; NULL: empty */
        uint64_t used;            /* when, of `clock` */
    } items[KEPT];
    uint64_t clock;
};

vx_verdict_decoded *vx_verdict_decoded_new(void) {
    return vx_new(vx_verdict_decoded);
}

vx_verdict_decoded *vx_verdict_decoded_free(vx_verdict_decoded *decoded) {
    for (size_t i = 0; decoded && i < KEPT; i++)
        vx_evidence_video_free(decoded->items[i].video);
    free(decoded);
    return NULL;
}

/* Lends the video; the next but one call may free it. */
static int open_kept(vx_windows *w, const char *path, const uint8_t sha256[32],
                     const vx_evidence_window *window, vx_evidence_video **ret_video, vx_err *err) {
    vx_verdict_decoded *decoded = w->files->decoded;
    struct kept_part *slot = NULL, *oldest = decoded->items;
    for (struct kept_part *k = decoded->items; k < decoded->items + KEPT && !slot; k++) {
        oldest = k->used < oldest->used ? k : oldest;
        if (k->video && !memcmp(k->sha256, sha256, sizeof k->sha256) &&
            k->window.start_s == window->start_s && k->window.end_s == window->end_s)
            slot = k;
    }
    if (!slot) {
        slot = oldest;
        slot->video = vx_evidence_video_free(slot->video);
        int rc = open_window(w, path, sha256, window, &slot->video, err);
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
    VX_AUTO(vx_evidence_video) stored = NULL;
    char path[PATH_MAX];
    *ret_evidence = (vx_evidence){.motion = NAN};
    vx_windows_path(w->files->store, of, path);
    vx_turn_begin(&w->turn);
    int rc;
    if (w->files->decoded) {
        vx_evidence_video *older, *newer;
        rc = open_kept(w, path, of->sha256, of_stored, &older, err);
        if (!rc)
            rc = open_kept(w, w->files->path, w->files->sha256, of_new, &newer, err);
        if (!rc)
            rc = vx_evidence_compare(newer, older, params, ret_evidence, err);
    } else {
        rc = open_fresh(w, of_new, err);
        if (!rc)
            rc = open_window(w, path, of->sha256, of_stored, &stored, err);
        if (!rc)
            rc = vx_evidence_compare(w->fresh, stored, params, ret_evidence, err);
    }
    vx_turn_end(&w->turn);
    return rc;
}
