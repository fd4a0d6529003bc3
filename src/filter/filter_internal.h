/* filter_internal.h — cells, fields and conditions; what the files of src/filter share.
 *
 * A cell is the value of one field of one video as bytes: a first byte (vx_cell_shape), then its
 * scalars one behind the other. An array counts as its elements, those of arrays inside it too; an
 * object has no scalar of its own. A scalar is a tag and its bytes, in one form for each value, so that
 * equal scalars are equal bytes:
 *   'n'  null        'f' 't'  false, true
 *   'i'  int64, also for a number such as 5.0
 *   'r'  double, for every other number
 *   's'  uint32 n, n bytes of UTF-8 in NFC
 */
#pragma once

#include "filter.h"

typedef enum vx_cell_shape {
    VX_CELL_MISSING, /* the video has no such field; no scalars */
    VX_CELL_ONE,     /* a scalar, or an object (none) */
    VX_CELL_ARRAY,   /* reached through an array, or one itself */
} vx_cell_shape;

typedef struct vx_cell {
    unsigned char *bytes; /* owned */
    size_t n, capacity;
} vx_cell;
void vx_cell_begin(vx_cell *cell); /* empty again, MISSING; keeps the memory */
void vx_cell_done(vx_cell *cell);
/* Append a scalar; false: no memory. The shape stays. */
bool vx_cell_null(vx_cell *cell);
bool vx_cell_bool(vx_cell *cell, bool value);
bool vx_cell_int(vx_cell *cell, int64_t value);
bool vx_cell_real(vx_cell *cell, double value); /* not finite: null, as the API shows it */
bool vx_cell_text(vx_cell *cell, const char *text, size_t n);

/* The number that a cell is, if it is one and a double has it exactly; else NaN. */
double vx_cell_number(const unsigned char *cell, size_t n);

/* The bytes of the scalar at p. */
size_t vx_scalar_bytes(const unsigned char *p);
/* < 0, 0, > 0; false: of different kinds, so neither is smaller. Kinds with an order are numbers and
 * strings. */
bool vx_scalar_compare(const unsigned char *a, const unsigned char *b, int *ret_order);
/* Some order of all scalars, in which only equal ones are equal: < 0, 0, > 0. */
int vx_scalar_order(const unsigned char *a, const unsigned char *b);

/* ASCII without case, with a 0 behind it (ret: [n + 1]); false: it is not ASCII. */
bool vx_filter_lower_ascii(const char *text, size_t n, char *ret);
/* Without case and in NFC (Unicode default case folding). Gives text (free()); NULL: no memory, or not
 * UTF-8. */
char *vx_filter_fold(const char *text, size_t n);

/* ---- fields ---- */

typedef enum vx_field_type {
    VX_FIELD_NUMBER,
    VX_FIELD_STRING,
    VX_FIELD_BOOL,
    VX_FIELD_DATE
} vx_field_type;
typedef struct vx_field_row {
    const char *name;
    vx_field_type type;
    bool (*append)(const vx_video *video, vx_cell *cell);       /* of a video, or */
    bool is_array;                                              /* append gives several values */
    bool (*append_of_clip)(const vx_clip *clip, vx_cell *cell); /* of each of its clips */
} vx_field_row;
/* Of every video, beside its metadata; the last VX_CLIP_FIELDS are of its clips. */
#define VX_CLIP_FIELDS 2
extern const vx_field_row vx_fields[];
extern const size_t vx_n_fields;
static inline size_t vx_n_video_fields(void) {
    return vx_n_fields - VX_CLIP_FIELDS;
}

typedef struct vx_field {
    int row;      /* in vx_fields; -1 = of the metadata */
    char *name;   /* "metadata.a.b\\.c", in one spelling; owned. NULL for the others */
    char **steps; /* [n_steps] "a", "b.c"; owned, each too */
    size_t n_steps;
} vx_field;
/* Returns 0, VX_FILTER_BAD or -ENOMEM. */
int vx_field_parse(const char *name, vx_field *ret_field, vx_err *err);
void vx_field_done(vx_field *field);
static inline bool vx_field_is_of_clips(const vx_field *field) {
    return field->row >= (int)vx_n_video_fields();
}
/* The cell of a field. False: no memory.
 *   clip      used if it is a field of clips; NULL: none, then it is missing
 *   metadata  the parsed object, used if it is a field of that */
bool vx_field_read(const vx_field *field, const vx_video *video, const vx_clip *clip,
                   const struct json_t *metadata, vx_cell *cell);

/* ---- filters ---- */

typedef enum vx_test {
    VX_TEST_IN, /* one of the operands, or missing where null is one of them */
    VX_TEST_GT,
    VX_TEST_GTE,
    VX_TEST_LT,
    VX_TEST_LTE,
    VX_TEST_WITHIN, /* a date: from an operand at an even place to the next one */
    VX_TEST_EXISTS,
    VX_TEST_PREFIX,
    VX_TEST_CONTAINS,
} vx_test;

/* An order or WITHIN of one number: the cells of one number that pass lie from low to high. */
typedef struct vx_interval {
    bool is_known;
    double low, high;
} vx_interval;

typedef struct vx_condition {
    vx_field field;
    vx_test test;
    vx_cell operands; /* scalars behind each other, as in a cell */
    size_t *at;       /* [n] where each begins; of IN in the order of their bytes; owned */
    size_t n;
    uint64_t marks;  /* of the operands, as elements of a list */
    uint64_t needed; /* CONTAINS: marks that a text must have */
    bool or_missing; /* IN: null is an operand */
    char *folded;    /* CONTAINS: the text, folded; NULL if it is none; owned */
    size_t n_folded; /* bytes of it */
    vx_interval interval;
} vx_condition;
/* Once the operands are there. */
void vx_condition_prepare(vx_condition *condition);
/* A bit for each pair of bytes in a folded text, or for each element of a list (then also VX_MARK_LIST). A text can
 * only contain another one if it has its marks, and a list an element if it has the mark of that: so that most values
 * are told apart without a look at them. Other values have none. */
#define VX_MARK_LIST (UINT64_C(1) << 63)
uint64_t vx_cell_marks(const unsigned char *cell, size_t n);

/* Whether a cell passes. */
bool vx_condition_passes(const vx_condition *condition, const unsigned char *cell, size_t n);

typedef enum vx_node_kind { VX_NODE_AND, VX_NODE_OR, VX_NODE_NOT, VX_NODE_CONDITION } vx_node_kind;
typedef struct vx_node {
    vx_node_kind kind;
    size_t first,
        n; /* children: that many nodes from there in vx_filter.nodes; CONDITION: its number */
} vx_node;
struct vx_filter {
    vx_node root;
    vx_node *nodes; /* owned */
    size_t n_nodes, capacity;
    vx_condition *conditions; /* [n_conditions], owned */
    size_t n_conditions;
    bool of_clips; /* some condition is on a field of clips */
};

/* date.c: the first and last µs of what an RFC 3339 date or time names. */
bool vx_filter_read_date(const char *text, int64_t *ret_first_us, int64_t *ret_last_us);
