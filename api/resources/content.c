/* content.c — GET /v1/videos/{id}/content: the stored file, whole or one range of it (RFC 9110). */
#include "api/resources/content.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "api/http/reply.h"
#include "api/http/text.h"
#include "api/resources/handlers.h"
#include "api/resources/videos.h"
#include "base/hex.h"
#include "server/server.h"

typedef struct span {
    int64_t first, n_bytes;
    bool partial;
} span;

/* ---- Range ---- */

static bool read_digits(const char **p, int64_t *ret_value) {
    const char *text = *p;
    int64_t value = 0;
    for (; **p >= '0' && **p <= '9'; (*p)++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, **p - '0', &value))
            value = INT64_MAX;
    *ret_value = value;
    return *p > text;
}

/* Reads a single range, "bytes=…". Anything else, such as several ranges, is ignored as RFC 9110 14.2
 * allows: the reply is the whole file. False: the range has no byte of the file. */
static bool read_range(const char *text, int64_t size, span *ret_span) {
    int64_t first, last = size - 1;
    *ret_span = (span){.n_bytes = size};
    if (!text || strncasecmp(text, "bytes=", 6) || strchr(text, ','))
        return true;
    const char *p = text + 6;
    if (*p == '-') {
        p++;
        int64_t suffix;
        if (!read_digits(&p, &suffix) || *p)
            return true;
        first = suffix < size ? size - suffix : 0;
        if (!suffix)
            return false;
    } else {
        if (!read_digits(&p, &first) || *p++ != '-')
            return true;
        if (*p && (!read_digits(&p, &last) || *p || last < first))
            return true;
        last = last < size - 1 ? last : size - 1;
    }
    if (first >= size)
        return false;
    *ret_span = (span){first, last - first + 1, true};
    return true;
}

/* ---- Conditions ---- */

/* Whether an If-None-Match list contains the tag (weak comparison). */
static bool tag_in(const char *list, const char *etag) {
    return list && (!strcmp(list, "*") || strstr(list, etag));
}

/* If-Range can only be our strong tag: a date never matches, as no Last-Modified is sent. */
static bool range_applies(const vx_request *request, const char *etag) {
    const char *condition = vx_request_header(request, MHD_HTTP_HEADER_IF_RANGE);
    return !strcmp(request->method, "GET") && (!condition || !strcmp(condition, etag));
}

/* ---- Headers ---- */

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcasecmp(text + n - m, end);
}

static const char *content_type(const vx_video *video) {
    static const struct {
        const char *container, *type;
    } types[] = {
        {"mov", "video/mp4"},     {"mp4", "video/mp4"},      {"avi", "video/x-msvideo"},
        {"mpegts", "video/mp2t"}, {"mpeg", "video/mpeg"},    {"flv", "video/x-flv"},
        {"ogg", "video/ogg"},     {"asf", "video/x-ms-asf"}, {"webm", "video/webm"},
        {"gif", "image/gif"},     {"apng", "image/apng"},
    };
    if (!strcmp(video->container, "matroska")) /* FFmpeg uses one demuxer for both */
        return ends_with(video->filename, ".mkv") ? "video/x-matroska" : "video/webm";
    for (size_t i = 0; i < VX_LEN(types); i++)
        if (!strcmp(video->container, types[i].container))
            return types[i].type;
    return "application/octet-stream";
}

/* RFC 6266: an ASCII name for old clients, and the real one percent-encoded. */
static void add_disposition(vx_request *request, const char *filename) {
    /* A character is one byte of the first form, and at most 12 of the second. */
    char ascii[VX_MAX_FILENAME_CHARS + 32], header[sizeof ascii * 13 + 64];
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)filename; *p && n < sizeof ascii - 1; p++)
        if ((*p & 0xC0) != 0x80) /* the first byte of a character */
            ascii[n++] = *p < 0x80 && !strchr("\"\\%/", *p) ? (char)*p : '_';
    ascii[n] = '\0';
    VX_AUTO_FREE char *encoded = vx_percent_encode(filename);
    snprintf(header, sizeof header, "inline; filename=\"%s\"; filename*=UTF-8''%s", ascii,
             encoded ? encoded : "");
    vx_reply_header(request, MHD_HTTP_HEADER_CONTENT_DISPOSITION, header);
}

static void add_headers(vx_request *request, const char *type, const char *filename,
                        const char *etag) {
    vx_reply_header(request, MHD_HTTP_HEADER_ETAG, etag);
    vx_reply_header(request, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
    vx_reply_header(request, MHD_HTTP_HEADER_CACHE_CONTROL, "private, no-cache");
    vx_reply_header(request, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    vx_reply_header(request, "Content-Security-Policy", "sandbox");
    add_disposition(request, filename);
}

/* ---- Reply ---- */

static void refuse_range(vx_request *request, int64_t size) {
    char range[48];
    snprintf(range, sizeof range, "bytes */%lld", (long long)size);
    vx_reply_problem(request, VX_PROBLEM_RANGE_NOT_SATISFIABLE, "The file has %lld bytes.",
                     (long long)size);
    vx_reply_header(request, MHD_HTTP_HEADER_CONTENT_RANGE, range);
}

static void send_span(vx_request *request, int fd, const span *part, int64_t size) {
    struct MHD_Response *response =
        MHD_create_response_from_fd_at_offset64((uint64_t)part->n_bytes, fd, (uint64_t)part->first);
    if (!response)
        close(fd);
    vx_reply_response(request, part->partial ? VX_SUCCESS_PARTIAL : VX_SUCCESS_OK, response,
                      part->n_bytes);
    if (!part->partial)
        return;
    char range[96];
    snprintf(range, sizeof range, "bytes %lld-%lld/%lld", (long long)part->first,
             (long long)(part->first + part->n_bytes - 1), (long long)size);
    vx_reply_header(request, MHD_HTTP_HEADER_CONTENT_RANGE, range);
}

static int open_content(vx_request *request, const vx_video *video, int64_t *ret_size) {
    VX_AUTO_STORED_FILE file = VX_NO_STORED_FILE;
    vx_err err;
    struct stat info;
    if (!vx_videos_find_file(request, video, &file))
        return -1;
    int fd = open(file.path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && !fstat(fd, &info)) {
        *ret_size = info.st_size;
        return fd;
    }
    VX_FAIL_ERRNO(&err, "opening the file of video %s", video->id);
    if (fd >= 0)
        close(fd);
    vx_videos_reply_lost(request, &err);
    return -1;
}

/* Replies 304 if the client has this version already; false if it has not. */
static bool reply_if_cached(vx_request *request, const char *type, const char *filename,
                            const char *etag) {
    if (!tag_in(vx_request_header(request, MHD_HTTP_HEADER_IF_NONE_MATCH), etag))
        return false;
    vx_reply_empty(request, VX_SUCCESS_NOT_MODIFIED);
    add_headers(request, type, filename, etag);
    return true;
}

void vx_content_send(vx_request *request, int fd, int64_t size, const char *etag, const char *type,
                     const char *filename) {
    if (reply_if_cached(request, type, filename, etag)) {
        close(fd);
        return;
    }
    const char *range =
        range_applies(request, etag) ? vx_request_header(request, MHD_HTTP_HEADER_RANGE) : NULL;
    span part;
    if (!read_range(range, size, &part)) {
        close(fd);
        refuse_range(request, size);
        return;
    }
    send_span(request, fd, &part, size);
    add_headers(request, type, filename, etag);
}

void vx_content_get(vx_request *request) {
    VX_AUTO(vx_video) video = vx_videos_find_with_file(request);
    if (!video)
        return;
    char etag[67] = "\"";
    vx_hex_encode(video->sha256, 32, etag + 1);
    strcat(etag, "\"");
    if (reply_if_cached(request, content_type(video), video->filename, etag))
        return;
    int64_t size;
    int fd = open_content(request, video, &size);
    if (fd >= 0)
        vx_content_send(request, fd, size, etag, content_type(video), video->filename);
}
