/* filter.h — the query language of filters, and the columns that answer it.
 *
 * A filter is a JSON object in the style of MongoDB, Pinecone and Chroma, for example
 *   {"metadata.camera": "front", "$or": [{"media.duration_s": {"$gte": 5}}, {"filename": {"$prefix": "a/"}}]}
 * The section Filters of api/openapi.yaml is its contract: fields, operators, types, limits.
 *
 * A field names something of a video as the API shows it. Its value is kept in one form, a cell
 * (filter_internal.h), and parse.c turns each condition into a test of cells. Cells come from two
 * sources, with one meaning: from columns in memory, for the fields of every video and the declared
 * ones of its metadata; and from the metadata in the catalog, read for those videos alone that the
 * columns do not decide.
 *
 * Why not SQL: over 100,000 videos on one core json_extract takes 190 ms, and an index of values,
 * which cannot have bound paths, 12 to 24 ms for 90 % of them; a column takes about one. And one
 * evaluator cannot disagree with another.
 *
 * Columns  a value is stored once a field, with a code; a video has the 4-byte code. A condition is
 *          tested once a value, then looked up for each video, 64 at a time. Numbers also lie side by side, and
 *          of many texts and lists 8 to 18 bytes that mostly decide (evaluate.h). Searches test what they
 *          need of a set (lazy_set.c); where all is needed, several threads do
 * Errs     VX_FILTER_BAD (> 0): the client's; -ENOMEM, and what read_metadata returns
 * Threads  vx_filter: immutable, any. vx_filter_columns: any; changes hold up selections and are held up
 *          by them, for about 1 ms for 100,000 videos and a condition
 * Memory   about 400 bytes a video, and 4 to 70 and the value for each declared field; 20 to 110 a clip
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/idset.h"
#include "base/mem.h"
#include "catalog/catalog.h"

struct json_t;

#define VX_FILTER_BAD VX_CODES_FILTER

/* The limits of one filter. */
#define VX_FILTER_MAX_DEPTH 16       /* of $and, $or and $not inside each other */
#define VX_FILTER_MAX_CONDITIONS 64  /* operators on a field */
#define VX_FILTER_MAX_LIST 1000      /* elements of $in and $nin */
#define VX_FILTER_MAX_STRING 1024    /* bytes of a string to compare with */
#define VX_FILTER_MAX_FIELD 256      /* bytes of a field's name */
#define VX_FILTER_MAX_BYTES 262144   /* of its JSON text, where it comes as one */
#define VX_FILTER_POINTER_BYTES 1024 /* of the JSON Pointer (RFC 6901) to what is wrong */

typedef struct vx_filter vx_filter;

/* Reads a filter.
 *   json         borrows, until return
 *   also         NULL, or a second filter, of the caller itself, which must pass too; borrows likewise
 *   ret_pointer  on VX_FILTER_BAD the place inside json (or also); err says what is wrong there
 * Returns 0, VX_FILTER_BAD or -ENOMEM. */
int vx_filter_parse(const struct json_t *json, const struct json_t *also, vx_filter **ret_filter,
                    char ret_pointer[VX_FILTER_POINTER_BYTES], vx_err *err);
vx_filter *vx_filter_free(vx_filter *filter);
VX_DEFINE_AUTO(vx_filter, vx_filter_free)

/* 0: a field of the metadata ("metadata.a.b"), as an index may be declared for it. VX_FILTER_BAD. */
int vx_filter_check_metadata_field(const char *name, vx_err *err);

/* Whether it has a condition on a field of clips. Then it is tested for each clip, with what its video is: a
 * search has the clips that pass, a list the videos of which some clip does. */
bool vx_filter_is_of_clips(const vx_filter *filter);

/* Whether a video passes. For what has no columns, and for tests. Returns 0 or -ENOMEM.
 *   ret_clips  [video->n_clips], of a filter of clips: which of them pass; else not touched, may be NULL */
int vx_filter_match(const vx_filter *filter, const vx_video *video, bool *ret_passes,
                    bool *ret_clips, vx_err *err);

/* ---- columns ---- */

#define VX_FILTER_MAX_DECLARED 64 /* fields of the metadata that have a column */

typedef struct vx_filter_columns vx_filter_columns;
int vx_filter_columns_new(vx_filter_columns **ret_columns, vx_err *err);
vx_filter_columns *vx_filter_columns_free(vx_filter_columns *columns);
VX_DEFINE_AUTO(vx_filter_columns, vx_filter_columns_free)

/* From here on exactly these fields of the metadata have columns: the names of n fields, borrowed until
 * return. A column that is new knows nothing of the videos that are there; vx_filter_columns_fill tells
 * it, and until then it is read from the metadata. On failure nothing has changed. */
int vx_filter_columns_declare(vx_filter_columns *columns, const char *const *fields, size_t n,
                              vx_err *err);
typedef struct vx_filter_column_state {
    char field[VX_FILTER_MAX_FIELD + 1];
    int64_t videos; /* that it knows */
    int64_t
        long_values; /* of these, videos whose value is too long to be kept and is read each time */
    int64_t missing; /* that it does not know yet */
    size_t bytes;    /* of memory */
} vx_filter_column_state;
/* The declared columns in the order of their names; gives the array (free()). */
int vx_filter_columns_list(vx_filter_columns *columns, vx_filter_column_state **ret_states,
                           size_t *ret_n, vx_err *err);
size_t vx_filter_columns_memory_bytes(vx_filter_columns *columns);

/* Enters a video, or what it is now. On failure it is not in the columns. Its clips are those that it had: of
 * a new one none. */
int vx_filter_columns_put(vx_filter_columns *columns, const vx_video *video, vx_err *err);
/* The clips of a video that is in the columns (n in any order, each of them once), in place of those before.
 * On failure it has none. */
int vx_filter_columns_put_clips(vx_filter_columns *columns, int64_t video_row, const vx_clip *clips,
                                size_t n, vx_err *err);
void vx_filter_columns_remove(vx_filter_columns *columns, int64_t video_row);

/* No video is in them any more; what is declared stays. */
void vx_filter_columns_clear(vx_filter_columns *columns);

/* Rows above a row, rising, of videos that some declared column does not know: up to max into ret_rows.
 * Returns how many. */
size_t vx_filter_columns_find_unfilled(vx_filter_columns *columns, int64_t above_row, size_t max,
                                       int64_t *ret_rows);
/* Tells the declared columns what they do not know of a video; what a put has told them since stays. */
int vx_filter_columns_fill(vx_filter_columns *columns, int64_t video_row, const char *metadata,
                           vx_err *err);

/* Reads the metadata of a video: gives JSON text (free()), NULL if the video is gone. */
typedef int (*vx_filter_read_metadata)(void *ctx, int64_t video_row, char **ret_metadata,
                                       vx_err *err);
typedef struct vx_filter_selection {
    const vx_filter *filter;
    int64_t below_row; /* only videos below this row; 0 = all */
    size_t max;        /* of a list: the newest so many videos; 0 = all */
    vx_filter_read_metadata read_metadata;
    void *ctx;
} vx_filter_selection;
/* The rows of the videos that pass, newest first; gives the array (free()). *ret_read: how often metadata had
 * to be read. Every put and remove that has returned before counts. */
int vx_filter_columns_select(vx_filter_columns *columns, const vx_filter_selection *selection,
                             int64_t **ret_rows, size_t *ret_n, size_t *ret_read, vx_err *err);
/* The same as a set; gives it.
 *   clips  of a filter of clips: the rows of clips, not those of their videos */
int vx_filter_columns_select_set(vx_filter_columns *columns, const vx_filter_selection *selection,
                                 bool clips, vx_idset **ret_set, size_t *ret_read, vx_err *err);
/* The same, but a lazy set (base/idset.h), which tests videos when somebody asks for them. A change of the columns
 * can make it unsound: then the other function has to be asked.
 *   ret_set  NULL: it cannot be lazy, as metadata must be read or rows lie too far apart
 * Borrows columns and filter until the set is freed; look-ups in it hold up changes of the columns. */
int vx_filter_columns_select_lazily(vx_filter_columns *columns, const vx_filter *filter, bool clips,
                                    vx_idset **ret_set, vx_err *err);
