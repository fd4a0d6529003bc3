/* import.h — vectors of a model that were computed elsewhere, into a catalog.
 *
 * In       FAISS (IndexFlatIP, also below IndexIDMap), NumPy (float32 [n, dim]), Parquet (parquet/read.h) or JSON
 *          lines with `embedding`; beside the first two a file of JSON lines that tells what each row is of, one
 *          line a row. The names are those of an export (export/export.h); unknown ones are ignored
 * Rows     vectors of unit length, to 0.001; finite. Rows behind each other with one `video_id` (or `sha256`)
 *          are the clips of one video; others are a video each
 * Ids      a row with `sha256` has the id that an upload of that file has. Else the id is made of the source's
 *          name and `video_id`, `id`, the id of FAISS or the row's number: the same file again is the same
 *          videos. A video that is stored stays as it is; if its clips have no vector of the model, and
 *          begin and end where those of the import do (to 1 ms) and are made of the same frames (`frames`), they
 *          get its vectors
 * Result   a video without a file (vx_video_has_file): it is found by searches, and its verdict is `new`
 * Errs     VX_IMPORT_BAD (> 0): the files; nothing is stored, the report says which rows. VX_IMPORT_STOPPED,
 *          -EIO, -ENOSPC, -ENOMEM: the lots before are stored, and the next import of the same files goes on
 * Threads  one; where there is no server, with the catalog for itself
 * Cost     each file is read twice, first to check it; memory for a lot of 16 MiB, and 16 bytes a video
 */
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "catalog/catalog.h"
#include "collection/collection.h"
#include "writer/writer.h"

#define VX_IMPORT_BAD VX_CODES_IMPORT
#define VX_IMPORT_STOPPED (VX_CODES_IMPORT + 1)
#define VX_IMPORT_MAX_ROWS 50000000

typedef enum vx_import_stage { VX_IMPORT_CHECKING, VX_IMPORT_STORING } vx_import_stage;

typedef struct vx_import_params {
    vx_catalog *catalog; /* borrows */
    vx_collection *
        collection; /* borrows, as writer: of the server that uses the catalog; both NULL: none does */
    vx_writer *writer;
    const char *vectors_path; /* .faiss, .npy or .jsonl, told apart by what is in them */
    const char *rows_path;    /* JSON lines beside .faiss and .npy; NULL = none */
    const char *name;         /* of the vectors in messages; NULL = their path */
    const char *source;       /* part of ids */
    int64_t space;
    int dim;
    bool normalize; /* vectors of any length but 0 are brought to unit length */
    /* UNIX time, or 0: an imported video since then counts as stored by this import, by an earlier try. */
    int64_t since_us;
    /* NULL, or called every few thousand rows; total 0 = not known. True: the import ends. */
    bool (*watch)(void *ctx, vx_import_stage stage, int64_t done, int64_t total);
    void *ctx;
} vx_import_params;

typedef struct vx_import_refusal {
    int64_t row; /* from 1 on */
    char why[200];
} vx_import_refusal;

#define VX_IMPORT_REFUSALS 1000 /* that the report tells; all are counted */
typedef struct vx_import_report {
    int64_t rows;     /* in the files */
    int64_t stored;   /* videos that are new */
    int64_t existing; /* videos that were there */
    int64_t
        unlike; /* of these: without vectors of the model, and got none, as their clips are others */
    int64_t vectors;             /* stored, also for videos that were there */
    int64_t refused;             /* rows */
    vx_import_refusal *refusals; /* [min(refused, VX_IMPORT_REFUSALS)]; owned, NULL = none */
} vx_import_report;
void vx_import_report_done(vx_import_report *report);

/* Reads the headers alone, so that a file that is no such file, or of another dimension, is known at once.
 * VX_IMPORT_BAD; -errno. */
int vx_import_look(const vx_import_params *params, vx_err *err);
/* ret_report: filled in on failure too. */
int vx_import_run(const vx_import_params *params, vx_import_report *ret_report, vx_err *err);
