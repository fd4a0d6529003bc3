#include "api/http/multipart.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/http/header.h"
#include "base/mem.h"

#define MAX_HEADER_BYTES ((size_t)16 * 1024)
#define MAX_TAIL_BYTES 64

typedef enum state {
    PREAMBLE,       /* before the first boundary */
    AFTER_BOUNDARY, /* behind "--boundary": the rest of its line decides what it is */
    HEADERS,
    DATA,
    EPILOGUE, /* after the last boundary */
    STOPPED,  /* a fault, or the handler returned false */
} state;

struct vx_multipart {
    vx_multipart_handler handler;
    state state;
    bool in_part; /* between begin and end */
    /* The delimiter is "\r\n--boundary" from `skip` on: 1 where lines end with "\n" alone. */
    char line[VX_MULTIPART_BOUNDARY_BYTES + 5];
    size_t n_line, skip;
    bool seen_boundary;
    size_t n_matched;          /* bytes of the delimiter that were read last; they are data if the
                                  rest does not follow */
    size_t n_ahead;            /* but not these of them, which ended the headers */
    char tail[MAX_TAIL_BYTES]; /* what followed the delimiter so far */
    size_t n_tail;
    char *headers; /* of the part, each line with its end; owned, [MAX_HEADER_BYTES + 1] */
    size_t n_headers, line_start;
};

const char vx_multipart_no_memory[] = "out of memory";

vx_multipart *vx_multipart_new(const char *boundary, vx_multipart_handler handler) {
    vx_multipart *reader = vx_new(vx_multipart);
    if (!reader || !(reader->headers = malloc(MAX_HEADER_BYTES + 1)))
        return vx_multipart_free(reader);
    reader->handler = handler;
    reader->n_line = (size_t)snprintf(reader->line, sizeof reader->line, "\r\n--%.*s",
                                      VX_MULTIPART_BOUNDARY_BYTES, boundary);
    reader->skip = 1;      /* until the first boundary shows how lines end */
    reader->n_matched = 1; /* no line end is needed before the first line */
    return reader;
}

vx_multipart *vx_multipart_free(vx_multipart *reader) {
    if (reader)
        free(reader->headers);
    free(reader);
    return NULL;
}

/* Passes on bytes of a part. Those of the preamble are ignored. */
static bool emit(vx_multipart *reader, const char *bytes, size_t n) {
    if (n && reader->in_part && !reader->handler.data(reader->handler.ctx, bytes, n))
        reader->state = STOPPED;
    return reader->state != STOPPED;
}

/* What was matched of the delimiter is data after all. */
static bool emit_matched(vx_multipart *reader) {
    size_t n = reader->n_matched, ahead = reader->n_ahead;
    reader->n_matched = reader->n_ahead = 0;
    return emit(reader, reader->line + reader->skip + ahead, n - ahead);
}

/* ---- Data: looking for the delimiter ---- */

/* Reads data up to a delimiter, or to the end. Returns the number of bytes read. */
static size_t read_data(vx_multipart *reader, const char *bytes, size_t n) {
    const char *delimiter = reader->line + reader->skip, *end = bytes + n, *p = bytes;
    size_t length = reader->n_line - reader->skip;
    /* The delimiter's first byte does not occur again in it, so after a mismatch a match can only begin
     * at the byte that did not fit. */
    while (reader->n_matched) {
        if (p == end)
            return n;
        if (*p != delimiter[reader->n_matched]) {
            if (!emit_matched(reader))
                return n;
        } else if (p++, ++reader->n_matched == length) {
            reader->state = AFTER_BOUNDARY;
            return (size_t)(p - bytes);
        }
    }
    const char *start = p;
    for (; (p = memchr(p, *delimiter, (size_t)(end - p))); p++) {
        size_t left = (size_t)(end - p), compared = left < length ? left : length;
        if (memcmp(p, delimiter, compared))
            continue;
        if (!emit(reader, start, (size_t)(p - start)))
            return n;
        reader->n_matched = compared;
        if (compared == length)
            reader->state = AFTER_BOUNDARY;
        return (size_t)(p - bytes) + compared;
    }
    emit(reader, start, (size_t)(end - start));
    return n;
}

/* The delimiter was one: it ends the part before it. */
static void end_part(vx_multipart *reader, state next) {
    bool goes_on = !reader->in_part || reader->handler.end(reader->handler.ctx);
    reader->in_part = false;
    reader->seen_boundary = true;
    reader->n_matched = reader->n_ahead = reader->n_tail = 0;
    reader->n_headers = reader->line_start = 0;
    reader->state = goes_on ? next : STOPPED;
}

/* Reads one byte of the line behind a delimiter: "--" ends the body, blanks and a line end begin a
 * part. Anything else shows that it was data that only looks like a delimiter. False: the byte was
 * not read. */
static bool read_after_boundary(vx_multipart *reader, char byte) {
    char *tail = reader->tail;
    tail[reader->n_tail++] = byte;
    size_t n = reader->n_tail;
    if (n <= 2 && !memcmp(tail, "--", n)) {
        if (n == 2)
            end_part(reader, EPILOGUE);
        return true;
    }
    size_t blanks = 0;
    while (blanks < n && (tail[blanks] == ' ' || tail[blanks] == '\t'))
        blanks++;
    size_t cr = blanks < n && tail[blanks] == '\r';
    if (blanks + cr + 1 == n && byte == '\n') {
        if (!reader->seen_boundary)
            reader->skip = 1 - cr;
        end_part(reader, HEADERS);
        return true;
    }
    if (blanks + cr == n && n < sizeof reader->tail)
        return true;
    reader->n_tail = 0;
    reader->state = reader->in_part ? DATA : PREAMBLE;
    if (emit_matched(reader))
        emit(reader, tail, n - 1);
    return false;
}

/* ---- Headers ---- */

/* The value of the header in a block of lines, each ended with NUL; NULL if it is absent. */
static const char *find_header(const char *block, const char *end, const char *name) {
    size_t n = strlen(name);
    for (const char *line = block; line < end; line += strlen(line) + 1)
        if (!strncasecmp(line, name, n) && line[n + strspn(line + n, " \t")] == ':')
            return strchr(line, ':') + 1;
    return NULL;
}

/* Turns the line ends into NUL, but those before a folded line into blanks. */
static void split_lines(char *block, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (block[i] != '\n')
            continue;
        bool folded = i + 1 < n && (block[i + 1] == ' ' || block[i + 1] == '\t');
        block[i] = folded ? ' ' : '\0';
        if (i && block[i - 1] == '\r')
            block[i - 1] = folded ? ' ' : '\0';
    }
}

static const char *begin_part(vx_multipart *reader) {
    char *block = reader->headers, *end = block + reader->n_headers;
    if (memchr(block, '\0', reader->n_headers))
        return "The headers of a part contain a NUL byte.";
    *end = '\0';
    split_lines(block, reader->n_headers);
    const char *disposition = find_header(block, end, "Content-Disposition");
    const char *encoding = find_header(block, end, "Content-Transfer-Encoding");
    if (!disposition)
        return "A part has no Content-Disposition header.";
    if (encoding) {
        encoding += strspn(encoding, " \t");
        if (strncasecmp(encoding, "binary", 6) && strncasecmp(encoding, "8bit", 4) &&
            strncasecmp(encoding, "7bit", 4))
            return "A part has a Content-Transfer-Encoding, which forms must not use (RFC 7578).";
    }
    VX_AUTO_FREE char *name = NULL;
    VX_AUTO_FREE char *filename = NULL;
    if (!vx_header_param(disposition, "name", &name) ||
        !vx_header_param(disposition, "filename", &filename))
        return errno == ENOMEM
                   ? vx_multipart_no_memory
                   : "The Content-Disposition of a part has a quote that is not closed.";
    if (!name)
        return "A part has no name in its Content-Disposition.";
    reader->in_part = true;
    reader->state = reader->handler.begin(reader->handler.ctx, name, filename) ? DATA : STOPPED;
    /* In a part without data the line end of the headers may be that of the delimiter. */
    reader->n_matched = reader->n_ahead = 2 - reader->skip;
    return NULL;
}

/* Reads headers up to the end of their block, or to the end. Returns the number of bytes read. */
static size_t read_headers(vx_multipart *reader, const char *bytes, size_t n,
                           const char **ret_fault) {
    const char *newline = memchr(bytes, '\n', n);
    size_t taken = newline ? (size_t)(newline - bytes) + 1 : n;
    if (taken > MAX_HEADER_BYTES - reader->n_headers) {
        *ret_fault = "The headers of a part are too long.";
        return n;
    }
    memcpy(reader->headers + reader->n_headers, bytes, taken);
    reader->n_headers += taken;
    if (!newline)
        return n;
    size_t n_last = reader->n_headers - reader->line_start;
    bool blank = n_last == 1 || (n_last == 2 && reader->headers[reader->line_start] == '\r');
    reader->line_start = reader->n_headers;
    if (blank)
        *ret_fault = begin_part(reader);
    return taken;
}

/* ---- Reading ---- */

const char *vx_multipart_feed(vx_multipart *reader, const char *bytes, size_t n) {
    const char *fault = NULL;
    while (n && !fault) {
        size_t taken = n;
        switch (reader->state) {
        case PREAMBLE:
        case DATA:
            taken = read_data(reader, bytes, n);
            break;
        case AFTER_BOUNDARY:
            taken = read_after_boundary(reader, *bytes);
            break;
        case HEADERS:
            taken = read_headers(reader, bytes, n, &fault);
            break;
        case EPILOGUE:
        case STOPPED:
            break;
        }
        bytes += taken;
        n -= taken;
    }
    if (fault)
        reader->state = STOPPED;
    return fault;
}

const char *vx_multipart_end(vx_multipart *reader) {
    if (reader->state == EPILOGUE || reader->state == STOPPED)
        return NULL;
    return reader->seen_boundary
               ? "The last boundary is missing."
               : "The body does not contain the boundary that Content-Type names.";
}
