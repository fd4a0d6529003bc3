/* mp4_check.c — refuses an MP4 whose sample tables list more than the file can hold.
 *
 * A table of a few bytes can declare any number of samples ("each has one byte"), and FFmpeg allocates
 * at least 24 bytes for each, once for every edit that shows it: 1.6 KB of file took 1.8 GB of memory.
 * Every sample takes bytes of the file, so a table with many more samples than bytes is false. The
 * same holds for the tables of times (stts, ctts), which count the samples once more. FFmpeg
 * finds a table wherever it is, so tables are searched by name everywhere but in the media data and
 * the cover picture, where a name may occur by chance (estimate: one cover of 300 KB in 3000).
 */
#include "mp4_check.h"

#include <errno.h>
#include <fcntl.h>
#include <libavutil/common.h>
#include <libavutil/intreadwrite.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "media.h"

/* The index of a day of video and sound takes a third of this. */
#define MAX_BOX_BYTES ((int64_t)256 << 20)
/* QuickTime counts sound samples before compression: some five a byte, in files that hold more than
 * sound. */
#define MAX_SAMPLES_PER_BYTE 4.0
/* Entries that a table lists beyond what its box holds: FFmpeg makes room for them before it reads
 * on. A few are an honest mistake of a muxer. */
enum { MAX_MISSING = 1 << 24 };
/* The most that count_box() reads of a box: size, name, 64-bit size and three fields. */
enum { MAX_HEAD_BYTES = 4 + 4 + 8 + 3 * 4 };

typedef struct table_counts {
    uint64_t n_samples;  /* of all tables of sizes */
    uint64_t n_times[2]; /* of all tables of decode times, and of composition times */
    uint64_t n_missing;  /* entries that tables list and do not hold */
    uint32_t n_edits;    /* the most of one track */
    bool compressed;     /* the index is compressed, so its tables cannot be counted */
} table_counts;

/* box: its size, then its name. */
/* How many entries of so many bytes a table lists beyond those that its box holds. */
static void count_missing(table_counts *c, const uint8_t *box, const uint8_t *fields,
                          uint32_t entry_bytes) {
    uint64_t n = AV_RB32(fields), size = AV_RB32(box);
    c->n_missing += n > size / entry_bytes ? n - size / entry_bytes : 0;
}

/* The sum of the sample counts of a table of times: entries of two numbers, as many as the box holds
 * of those that it lists. */
static uint64_t count_times(const uint8_t *box, const uint8_t *fields, const uint8_t *end) {
    uint64_t n = 0;
    uint32_t size = AV_RB32(box), n_entries = AV_RB32(fields);
    if (size >= 8 && size < (uint64_t)(end - box))
        end = box + size;
    for (const uint8_t *entry = fields + 4; n_entries > 0 && end - entry >= 8; entry += 8) {
        n += AV_RB32(entry);
        n_entries--;
    }
    return n;
}

static void count_box(table_counts *c, const uint8_t *box, const uint8_t *end) {
    const uint8_t *fields = box + (AV_RB32(box) == 1 ? 16 : 8) + 4; /* behind version and flags */
    switch (AV_RB32(box + 4)) {
    case MKBETAG('s', 't', 's', 'z'):
    case MKBETAG('s', 't', 'z', '2'):
        c->n_samples += AV_RB32(fields + 4);
        break;
    case MKBETAG('t', 'r', 'u', 'n'):
        c->n_samples += AV_RB32(fields);
        break;
    case MKBETAG('s', 't', 't', 's'):
        c->n_times[0] += count_times(box, fields, end);
        count_missing(c, box, fields, 8);
        break;
    case MKBETAG('c', 't', 't', 's'):
        c->n_times[1] += count_times(box, fields, end);
        count_missing(c, box, fields, 8);
        break;
    case MKBETAG('s', 't', 'c', 'o'):
    case MKBETAG('s', 't', 's', 's'):
    case MKBETAG('s', 't', 'p', 's'):
        count_missing(c, box, fields, 4);
        break;
    case MKBETAG('c', 'o', '6', '4'):
        count_missing(c, box, fields, 8);
        break;
    case MKBETAG('s', 't', 's', 'c'):
        count_missing(c, box, fields, 12);
        break;
    case MKBETAG('e', 'l', 's', 't'):
        c->n_edits = AV_RB32(fields) > c->n_edits ? AV_RB32(fields) : c->n_edits;
        break;
    case MKBETAG('c', 'm', 'o', 'v'):
        c->compressed = true;
        break;
    }
}

static bool is_media(const uint8_t *name) {
    return memcmp(name, "mdat", 4) == 0 || memcmp(name, "uuid", 4) == 0;
}

static void count_boxes(table_counts *c, const uint8_t *at, const uint8_t *end) {
    for (; end - at >= 8; at++)
        count_box(c, at, end);
}

typedef struct part {
    const uint8_t *at, *end; /* NULL: none */
} part;

/* The content of the first box of that name in `in`. Sizes are read as FFmpeg reads them, except for
 * notations that no tagger uses. */
static part find_box(part in, const char *name) {
    for (const uint8_t *box = in.at; in.end - box >= 8;) {
        size_t size = AV_RB32(box), left = (size_t)(in.end - box);
        if (size < 8)
            break;
        const uint8_t *end = box + (size < left ? size : left);
        if (!memcmp(box + 4, name, 4))
            return (part){box + 8, end};
        box = end;
    }
    return (part){0};
}

/* The list of tags. FFmpeg starts at the first hdlr and searches for it in steps of four bytes. */
static part find_tags(part moov) {
    part meta = find_box(find_box(moov, "udta"), "meta");
    for (const uint8_t *name = meta.at; meta.end - name >= 8; name += 4)
        if (!memcmp(name, "hdlr", 4))
            return name == meta.at ? (part){0} : find_box((part){name - 4, meta.end}, "ilst");
    return (part){0};
}

/* bytes: a box of the top level. */
static void count_outside_cover(table_counts *c, const uint8_t *bytes, const uint8_t *end) {
    part cover = find_box(find_tags(find_box((part){bytes, end}, "moov")), "covr");
    count_boxes(c, bytes, cover.at ? cover.at : end);
    if (cover.at)
        count_boxes(c, cover.end, end);
}

/* Counts in one top-level box: n_bytes at offset `at` of the file, header included. */
static int scan_box(int fd, int64_t at, int64_t n_bytes, table_counts *c, vx_err *err) {
    if (n_bytes > MAX_BOX_BYTES)
        return VX_FAIL(err, VX_MEDIA_TOO_LARGE,
                       "the MP4 file has an index of %lld bytes, %lld are allowed",
                       (long long)n_bytes, (long long)MAX_BOX_BYTES);
    VX_AUTO_FREE uint8_t *bytes = vx_new_array((size_t)n_bytes + MAX_HEAD_BYTES, 1);
    if (!bytes)
        return VX_FAIL(err, -ENOMEM, "no memory for an index of %lld bytes", (long long)n_bytes);
    ssize_t n = pread(fd, bytes, (size_t)n_bytes, at);
    if (n < 0)
        return VX_FAIL_ERRNO(err, "reading the index of an MP4 file");
    count_outside_cover(c, bytes, bytes + n);
    return 0;
}

static int scan_boxes(int fd, int64_t file_bytes, table_counts *c, vx_err *err) {
    int rc = 0;
    for (int64_t at = 0; !rc && at < file_bytes;) {
        uint8_t head[16] = {0};
        ssize_t n = pread(fd, head, sizeof head, at);
        if (n < 0)
            return VX_FAIL_ERRNO(err, "reading the index of an MP4 file");
        if (n < 8)
            return 0;
        uint64_t size = AV_RB32(head) == 1 ? AV_RB64(head + 8) : AV_RB32(head);
        int64_t left = file_bytes - at, n_bytes = left;
        if (size && size < (uint64_t)left)
            n_bytes = (int64_t)size;
        if (n_bytes < 8)
            return 0; /* FFmpeg stops here too */
        if (!is_media(head + 4))
            rc = scan_box(fd, at, n_bytes, c, err);
        at += n_bytes;
    }
    return rc;
}

static int check_counts(const table_counts *c, int64_t file_bytes, vx_err *err) {
    double limit = MAX_SAMPLES_PER_BYTE * (double)file_bytes;
    uint64_t n_most = c->n_samples;
    for (size_t i = 0; i < VX_LEN(c->n_times); i++)
        n_most = c->n_times[i] > n_most ? c->n_times[i] : n_most;
    double n_samples = (double)n_most * (double)(c->n_edits > 1 ? c->n_edits : 1);
    if (c->compressed)
        return VX_FAIL(err, VX_MEDIA_UNSUPPORTED,
                       "the index of this QuickTime file is compressed; remux it, with ffmpeg "
                       "-c copy for example");
    if (n_samples > limit || c->n_missing > MAX_MISSING)
        return VX_FAIL(err, VX_MEDIA_DAMAGED,
                       "the MP4 file's index lists more pictures and sounds than %lld bytes hold",
                       (long long)file_bytes);
    return 0;
}

int vx_mp4_check_tables(const char *path, vx_err *err) {
    table_counts c = {0};
    struct stat st;
    uint8_t head[3] = {0};
    VX_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return VX_FAIL_ERRNO(err, "cannot open %s", path);
    /* FFmpeg skips an ID3 tag in front of any format; the boxes would then not start at 0. */
    if (pread(fd, head, sizeof head, 0) == sizeof head && memcmp(head, "ID3", 3) == 0)
        return VX_FAIL(err, VX_MEDIA_UNSUPPORTED, "the MP4 file starts with an ID3 tag");
    int rc = scan_boxes(fd, st.st_size, &c, err);
    return rc == 0 ? check_counts(&c, st.st_size, err) : rc;
}
