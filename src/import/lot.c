/* lot.c — the videos of one transaction: into the catalog, and where a server uses it, into the index. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "collection/collection.h"
#include "import_internal.h"

#define SAME_TIME_S 1e-3 /* clips that begin and end so near each other are the same */

/* Notes that the clips of a video get the vectors that begin at *vectors, and moves those behind the ones
 * that were noted before: catalog and index take all of them at once. */
static void note_stored(vx_import_lot *lot, const vx_video *video, const float *vectors) {
    size_t dim = (size_t)lot->params->dim;
    memmove(lot->vectors + lot->n_stored * dim, vectors, video->n_clips * dim * sizeof *vectors);
    for (size_t i = 0; i < video->n_clips; i++) {
        lot->clips[lot->n_stored] = video->clips[i].row;
        lot->groups[lot->n_stored++] = video->row;
    }
}

static bool have_same_clips(const vx_video *a, const vx_video *b) {
    for (size_t i = 0; a->n_clips == b->n_clips && i < a->n_clips; i++)
        if (fabs(a->clips[i].start_s - b->clips[i].start_s) > SAME_TIME_S ||
            fabs(a->clips[i].end_s - b->clips[i].end_s) > SAME_TIME_S)
            return false;
    return a->n_clips == b->n_clips && a->frames == b->frames;
}

static int have_vectors(const vx_import_lot *lot, const vx_video *stored, bool *ret_any,
                        vx_err *err) {
    const vx_import_params *p = lot->params;
    VX_AUTO_FREE float *vector = vx_new_array((size_t)p->dim, sizeof *vector);
    if (!vector)
        return VX_FAIL(err, -ENOMEM, "no memory for a vector");
    *ret_any = false;
    for (size_t i = 0; i < stored->n_clips && !*ret_any; i++) {
        int rc =
            vx_catalog_get_vector(p->catalog, p->space, stored->clips[i].row, vector, p->dim, err);
        if (rc && rc != VX_CATALOG_NOT_FOUND)
            return rc;
        *ret_any = !rc;
    }
    return 0;
}

/* A video that is there gets the vectors if it has the same clips and none of the model. */
static int add_to_existing(vx_import_lot *lot, const vx_video *video, const float *vectors,
                           vx_err *err) {
    const vx_import_params *p = lot->params;
    VX_AUTO(vx_video) stored = NULL;
    bool has_vectors = false;
    int rc = vx_catalog_get_video_by_sha256(p->catalog, video->sha256, &stored, err);
    if (!rc)
        rc = have_vectors(lot, stored, &has_vectors, err);
    if (rc)
        return rc;
    bool imported = !vx_video_has_file(stored);
    if (imported && lot->first_row && stored->row >= lot->first_row)
        return VX_FAIL(err, VX_IMPORT_BAD, "the file has changed since it was checked");
    bool by_earlier_try = imported && p->since_us && stored->created_us >= p->since_us;
    lot->applied.stored += by_earlier_try;
    lot->applied.existing += !by_earlier_try;
    lot->applied.vectors += by_earlier_try && has_vectors ? (int64_t)stored->n_clips : 0;
    if (has_vectors)
        return 0;
    if (have_same_clips(stored, video))
        note_stored(lot, stored, vectors);
    else
        lot->applied.unlike++;
    return 0;
}

static int store_video(vx_import_lot *lot, vx_video *video, const float *vectors, vx_err *err) {
    int rc = vx_catalog_insert_video(lot->params->catalog, video, err);
    if (rc == VX_CATALOG_EXISTS)
        return add_to_existing(lot, video, vectors, err);
    if (rc)
        return rc;
    lot->first_row = lot->first_row ? lot->first_row : video->row;
    lot->applied.stored++;
    note_stored(lot, video, vectors);
    return 0;
}

/* Inside a transaction. */
static int apply(void *ctx, vx_err *err) {
    vx_import_lot *lot = ctx;
    const vx_import_params *p = lot->params;
    size_t clip = 0;
    int rc = 0;
    free(lot->clips);
    free(lot->groups);
    lot->clips = vx_new_array(lot->n_clips, sizeof *lot->clips);
    lot->groups = vx_new_array(lot->n_clips, sizeof *lot->groups);
    lot->n_stored = 0;
    lot->applied = (vx_import_report){0};
    if (!lot->clips || !lot->groups)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu clips", lot->n_clips);
    for (size_t i = 0; i < lot->n && !rc; i++) {
        rc = store_video(lot, lot->videos[i], lot->vectors + clip * (size_t)p->dim, err);
        clip += lot->videos[i]->n_clips;
    }
    if (!rc && lot->n_stored)
        rc = vx_catalog_insert_vectors(p->catalog, p->space, lot->clips, lot->n_stored,
                                       lot->vectors, p->dim, err);
    lot->applied.vectors += (int64_t)lot->n_stored;
    if (!rc && p->collection)
        rc = vx_collection_index_vectors(p->collection, p->space, lot->clips, lot->groups,
                                         lot->vectors, lot->n_stored, err);
    return rc;
}

/* The transaction failed. */
static void undo(void *ctx) {
    vx_import_lot *lot = ctx;
    vx_collection_unindex_vectors(lot->params->collection, lot->params->space, lot->clips,
                                  lot->n_stored);
}

static int apply_alone(vx_import_lot *lot, vx_err *err) {
    int rc = vx_catalog_begin(lot->params->catalog, err);
    if (!rc)
        rc = apply(lot, err);
    if (!rc)
        rc = vx_catalog_commit(lot->params->catalog, err);
    vx_catalog_rollback(lot->params->catalog);
    return rc;
}

void vx_import_lot_clear(vx_import_lot *lot) {
    for (size_t i = 0; i < lot->n; i++)
        vx_video_free(lot->videos[i]);
    lot->n = lot->n_clips = lot->n_stored = 0;
}

void vx_import_lot_done(vx_import_lot *lot) {
    vx_import_lot_clear(lot);
    free(lot->videos);
    free(lot->vectors);
    free(lot->clips);
    free(lot->groups);
    *lot = (vx_import_lot){0};
}

int vx_import_lot_store(vx_import_lot *lot, vx_import_report *report, vx_err *err) {
    if (!lot->n)
        return 0;
    int rc = lot->params->writer ? vx_writer_run(lot->params->writer, apply, undo, lot, err)
                                 : apply_alone(lot, err);
    if (!rc) {
        report->stored += lot->applied.stored;
        report->existing += lot->applied.existing;
        report->unlike += lot->applied.unlike;
        report->vectors += lot->applied.vectors;
    }
    vx_import_lot_clear(lot);
    return rc;
}
