/* import_internal.h — what the files of src/import share. */
#pragma once

#include "rows.h"

/* ---- facts.c ---- */

/* What a row says of its video and clip. */
typedef struct vx_import_facts {
    uint8_t sha256[32];
    const char *filename;              /* borrowed; NULL: none */
    const json_t *metadata;            /* borrowed; NULL: none */
    vx_clip_frames frames;             /* EXACT where the row does not say */
    double start_s, end_s, duration_s; /* duration NaN: not known */
} vx_import_facts;

/* Of the reader's row. VX_IMPORT_ROW_BAD. What is borrowed is the row's, until the next one. */
int vx_import_read_facts(const vx_import_reader *reader, vx_import_facts *ret, vx_err *err);

/* ---- check.c ---- */

/* Reads all rows and stores nothing. VX_IMPORT_BAD: the report has the rows that were refused. */
int vx_import_check(const vx_import_params *params, vx_import_report *report, vx_err *err);

/* ---- lot.c: the videos of one transaction ---- */

typedef struct vx_import_lot {
    const vx_import_params *params;
    vx_video **videos; /* [n]; owned */
    size_t n, capacity;
    float *vectors; /* float32 [n_clips, dim], of the videos in their order */
    size_t n_clips, vectors_capacity;
    int64_t first_row;        /* of videos that this run has inserted; 0 = none yet */
    vx_import_report applied; /* what the transaction that is open adds to the report */
    int64_t *clips,
        *groups; /* int64 [n_stored]: the rows of clips that got a vector, of their videos */
    size_t n_stored;
} vx_import_lot;

/* All that is in the lot, in one transaction, durable and searchable at the return; then the lot is empty. */
int vx_import_lot_store(vx_import_lot *lot, vx_import_report *report, vx_err *err);
void vx_import_lot_clear(vx_import_lot *lot);
void vx_import_lot_done(vx_import_lot *lot);

/* Whether nobody waits for the import any more; tells whoever watches how far it is. */
static inline bool vx_import_is_over(const vx_import_params *params, vx_import_stage stage,
                                     int64_t done, int64_t total) {
    return params->watch && params->watch(params->ctx, stage, done, total);
}
