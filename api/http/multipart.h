/* multipart.h — splits a multipart/form-data body (RFC 7578) into its parts while it arrives.
 *
 * Why not a library: libmicrohttpd's reader wants name="…" in quotes, ignores filename*= and escapes,
 * and cannot be extended; MIME libraries want the whole message in memory or in a file. The format is
 * small: lines that are the boundary, a few header lines, bytes.
 *
 * Lines may end with CRLF or, if the first boundary line does, with LF. Bytes of a part are passed on
 * as they come; what is held back is a possible boundary at the end of a piece, and the headers of one
 * part (16 KiB at most).
 *
 * Threads: external lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define VX_MULTIPART_BOUNDARY_BYTES 200

typedef struct vx_multipart vx_multipart;

extern const char vx_multipart_no_memory[]; /* the fault that is not the body's */

/* Each returns false to stop the reading. */
typedef struct vx_multipart_handler {
    /* A part begins; borrows both until return. filename NULL: it has none. */
    bool (*begin)(void *ctx, const char *name, const char *filename);
    bool (*data)(void *ctx, const char *bytes, size_t n);
    bool (*end)(void *ctx);
    void *ctx;
} vx_multipart_handler;

/* boundary: borrows, until return; 1..VX_MULTIPART_BOUNDARY_BYTES, without line ends. NULL: out of memory. */
vx_multipart *vx_multipart_new(const char *boundary, vx_multipart_handler handler);
vx_multipart *vx_multipart_free(vx_multipart *reader); /* NULL-safe; returns NULL */

/* Reads the next piece. Returns NULL, or a sentence (static) that says what is wrong with the body.
 * After a fault, and after a handler returned false, nothing more is read. */
const char *vx_multipart_feed(vx_multipart *reader, const char *bytes, size_t n);
/* The body is complete: NULL, or what is missing. */
const char *vx_multipart_end(vx_multipart *reader);
