/* thrift_read.h — reads Thrift's compact protocol out of memory (private to src/parquet).
 *
 * A cursor that fails stays at its end, and everything read from it is 0: callers look at `failed` once, at the
 * end. Nothing is allocated; nesting is limited to 16.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct vx_thrift_in {
    const uint8_t *at, *end;
    bool failed;
    int depth;
} vx_thrift_in;

#define VX_THRIFT_UNION 12 /* the type of a field that is a struct */

/* A struct that is being read: for (vx_thrift_struct s = vx_thrift_begin(in); vx_thrift_field(in, &s);) …; a field
 * that is not read must be skipped with vx_thrift_skip(in, s.type). */
typedef struct vx_thrift_struct {
    int id, type;
} vx_thrift_struct;
vx_thrift_struct vx_thrift_begin(vx_thrift_in *in);
bool vx_thrift_field(vx_thrift_in *in, vx_thrift_struct *s);

void vx_thrift_skip(vx_thrift_in *in, int type);
/* Of a field of this type; any other fails. */
int64_t vx_thrift_read_int(vx_thrift_in *in, int type);
/* Reads field i as an integer to *into[i], where that is not NULL, and skips any other field. */
#define VX_THRIFT_FIELDS 12
typedef int64_t *const vx_thrift_ints[VX_THRIFT_FIELDS];
void vx_thrift_take(vx_thrift_in *in, const vx_thrift_struct *s, vx_thrift_ints into);
/* The same for all fields of a struct. */
void vx_thrift_take_all(vx_thrift_in *in, vx_thrift_ints into);
/* Borrowed from the input, without NUL. */
const char *vx_thrift_read_text(vx_thrift_in *in, int type, size_t *ret_n);
/* How many elements follow, all of *ret_type (or NULL); each takes at least a byte. */
size_t vx_thrift_read_list(vx_thrift_in *in, int type, int *ret_type);
