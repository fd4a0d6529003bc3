/* table_file.c — reads and writes packet tables.
 *
 * A fixed head, then one record of variable length per packet: differences of successive values are
 * small, so most numbers take a byte or two. FNV-1a over all of it stands at the end.
 */
#include "table_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "bitstream.h"

/* Counts up whenever tables would come out differently for the same file. */
enum { VERSION = 2 };
#define NO_PTS (1u << 30)
#define NO_DTS (1u << 31)

typedef struct head {
    char magic[8];
    uint32_t version, head_bytes;
    int64_t file_bytes, file_mtime_ns; /* of the video */
    int64_t n_packets, changed_px;
    uint64_t n_segments;
    int32_t stream, reorder, tick_num, tick_den;
    uint8_t by_order, may_skip, transpose, flip_x, flip_y, unused[3];
    vx_media_info info;
} head;

typedef struct writer {
    uint8_t *bytes;
    size_t n, capacity;
    bool failed;
} writer;

static void put(writer *w, const void *bytes, size_t n) {
    if (w->n + n > w->capacity) {
        size_t capacity = 2 * w->capacity + n + 4096;
        uint8_t *grown = w->failed ? NULL : vx_regrow(w->bytes, capacity, 1);
        w->failed |= !grown;
        if (!grown)
            return;
        w->bytes = grown;
        w->capacity = capacity;
    }
    memcpy(w->bytes + w->n, bytes, n);
    w->n += n;
}

/* Base 128, least significant group first. */
static void put_number(writer *w, uint64_t value) {
    uint8_t bytes[10];
    size_t n = 0;
    do {
        bytes[n++] = (uint8_t)((value & 127) | (value > 127 ? 128 : 0));
        value >>= 7;
    } while (value);
    put(w, bytes, n);
}

static void put_signed(writer *w, int64_t value) {
    put_number(w, (uint64_t)value << 1 ^ (uint64_t)(value >> 63));
}

typedef struct reader {
    const uint8_t *at, *end;
    bool failed;
} reader;

static uint64_t take_number(reader *r) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (r->at >= r->end)
            break;
        uint8_t byte = *r->at++;
        value |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128))
            return value;
    }
    r->failed = true;
    return 0;
}

static int64_t take_signed(reader *r) {
    uint64_t value = take_number(r);
    return (int64_t)(value >> 1 ^ -(value & 1));
}

static bool describe_file(const char *path, head *h) {
    struct stat st;
    if (stat(path, &st) != 0)
        return false;
    memcpy(h->magic, "vxtable", 8);
    h->version = VERSION;
    h->head_bytes = sizeof *h;
    h->file_bytes = st.st_size;
    h->file_mtime_ns = st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec;
    return true;
}

static void put_packets(writer *w, const vx_media *media) {
    vx_packet before = {0};
    for (int64_t i = 0; i < media->n_packets; i++) {
        vx_packet p = media->packets[i];
        bool no_pts = p.pts == AV_NOPTS_VALUE, no_dts = p.dts == AV_NOPTS_VALUE;
        p.pts = no_pts ? before.pts : p.pts;
        p.dts = no_dts ? before.dts : p.dts;
        put_number(w, p.flags | (no_pts ? (uint64_t)NO_PTS : 0) | (no_dts ? (uint64_t)NO_DTS : 0));
        put_number(w, p.n_bytes);
        put_signed(w, p.pts - before.pts);
        put_signed(w, p.dts - before.dts);
        put_signed(w, p.pos - before.pos - before.n_bytes);
        before = p;
    }
}

static void take_packets(reader *r, vx_media *media) {
    vx_packet before = {0};
    for (int64_t i = 0; i < media->n_packets && !r->failed; i++) {
        uint32_t flags = (uint32_t)take_number(r);
        vx_packet p = {.n_bytes = (uint32_t)take_number(r)};
        p.flags = flags & ~(NO_PTS | NO_DTS);
        p.pts = before.pts + take_signed(r);
        p.dts = before.dts + take_signed(r);
        p.pos = before.pos + before.n_bytes + take_signed(r);
        before = media->packets[i] = p;
        if (flags & NO_PTS)
            media->packets[i].pts = AV_NOPTS_VALUE;
        if (flags & NO_DTS)
            media->packets[i].dts = AV_NOPTS_VALUE;
    }
}

static uint8_t *read_whole(const char *path, size_t *ret_n) {
    struct stat st;
    VX_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size < (off_t)(sizeof(head) + 8))
        return NULL;
    uint8_t *bytes = vx_new_array((size_t)st.st_size, 1);
    size_t n = 0;
    for (ssize_t got; bytes && n < (size_t)st.st_size; n += (size_t)got)
        if ((got = read(fd, bytes + n, (size_t)st.st_size - n)) <= 0)
            break;
    if (bytes && n == (size_t)st.st_size) {
        *ret_n = n;
        return bytes;
    }
    free(bytes);
    return NULL;
}

/* Frames and their times: of each frame its packet, as a difference, and the time in full. */
static void put_frames(writer *w, const vx_media *media) {
    int64_t before = 0;
    for (int64_t i = 0; i < media->info.n_frames; i++) {
        put_signed(w, media->shown[i] - before);
        before = media->shown[i] + 1;
    }
    if (media->by_order)
        put(w, media->times, (size_t)media->info.n_frames * sizeof *media->times);
}

static void take_frames(reader *r, vx_media *media) {
    int64_t before = 0, n = media->info.n_frames;
    for (int64_t i = 0; i < n && !r->failed; i++) {
        media->shown[i] = before + take_signed(r);
        r->failed |= media->shown[i] < 0 || media->shown[i] >= media->n_packets;
        before = media->shown[i] + 1;
    }
    if (r->failed)
        return;
    const vx_packet *packets = media->packets;
    if (!media->by_order) {
        for (int64_t i = 0; i < n; i++)
            media->times[i] =
                (double)(packets[media->shown[i]].pts - packets[media->shown[0]].pts) *
                av_q2d(media->time_base);
    } else if ((size_t)(r->end - r->at) == (size_t)n * sizeof *media->times) {
        memcpy(media->times, r->at, (size_t)n * sizeof *media->times);
    } else {
        r->failed = true;
    }
}

void vx_table_save(const vx_media *media, const char *table_path) {
    writer w = {0};
    head h = {.n_packets = media->n_packets,
              .changed_px = media->changed_px,
              .n_segments = media->n_segments,
              .stream = media->stream,
              .reorder = media->reorder,
              .tick_num = media->time_base.num,
              .tick_den = media->time_base.den,
              .by_order = media->by_order,
              .may_skip = media->may_skip,
              .transpose = media->orientation.transpose,
              .flip_x = media->orientation.flip_x,
              .flip_y = media->orientation.flip_y,
              .info = media->info};
    if (!describe_file(media->path, &h))
        return;
    put(&w, &h, sizeof h);
    if (media->n_segments)
        put(&w, media->segments, media->n_segments * sizeof *media->segments);
    put_packets(&w, media);
    put_frames(&w, media);
    uint64_t sum = vx_hash_bytes(VX_HASH_START, w.bytes, w.failed ? 0 : w.n);
    put(&w, &sum, sizeof sum);

    /* A name of its own, so that two scans at once do not write into each other's file. */
    char fresh[4200];
    snprintf(fresh, sizeof fresh, "%s.XXXXXX", table_path);
    int fd = w.failed ? -1 : mkostemp(fresh, O_CLOEXEC);
    if (fd >= 0) {
        bool whole = write(fd, w.bytes, w.n) == (ssize_t)w.n;
        close(fd);
        if (!whole || rename(fresh, table_path) != 0)
            unlink(fresh);
    }
    free(w.bytes);
}

bool vx_table_load(vx_media *media, const char *table_path) {
    size_t n;
    head h, now = {0};
    VX_AUTO_FREE uint8_t *bytes = read_whole(table_path, &n);
    if (!bytes || !describe_file(media->path, &now))
        return false;
    uint64_t sum;
    memcpy(&h, bytes, sizeof h);
    memcpy(&sum, bytes + n - sizeof sum, sizeof sum);
    if (memcmp(h.magic, now.magic, sizeof h.magic) != 0 || h.version != now.version ||
        h.head_bytes != now.head_bytes || h.file_bytes != now.file_bytes ||
        h.file_mtime_ns != now.file_mtime_ns ||
        sum != vx_hash_bytes(VX_HASH_START, bytes, n - sizeof sum))
        return false;

    reader r = {.at = bytes + sizeof h, .end = bytes + n - sizeof sum};
    size_t room = (size_t)(r.end - r.at);
    if (h.n_packets < 1 || (size_t)h.n_packets > room / 5 || h.info.n_frames < 1 ||
        h.info.n_frames > h.n_packets || h.n_segments > room / sizeof(vx_segment) ||
        h.tick_num < 1 || h.tick_den < 1)
        return false;
    vx_media loaded = {.info = h.info,
                       .stream = h.stream,
                       .path = media->path,
                       .limits = media->limits,
                       .par = media->par,
                       .n_packets = h.n_packets,
                       .changed_px = h.changed_px,
                       .n_segments = h.n_segments,
                       .reorder = h.reorder,
                       .time_base = {h.tick_num, h.tick_den},
                       .kept = true,
                       .by_order = h.by_order,
                       .may_skip = h.may_skip,
                       .orientation = {h.transpose, h.flip_x, h.flip_y}};
    loaded.packets = vx_new_array((size_t)h.n_packets, sizeof *loaded.packets);
    loaded.shown = vx_new_array((size_t)h.info.n_frames, sizeof *loaded.shown);
    loaded.times = vx_new_array((size_t)h.info.n_frames, sizeof *loaded.times);
    loaded.segments = vx_new_array(h.n_segments + 1, sizeof *loaded.segments);
    r.failed = !loaded.packets || !loaded.shown || !loaded.times || !loaded.segments;
    if (!r.failed) {
        memcpy(loaded.segments, r.at, h.n_segments * sizeof *loaded.segments);
        r.at += h.n_segments * sizeof *loaded.segments;
        take_packets(&r, &loaded);
    }
    if (!r.failed)
        take_frames(&r, &loaded);
    if (r.failed) {
        free(loaded.packets);
        free(loaded.shown);
        free(loaded.times);
        free(loaded.segments);
        return false;
    }
    *media = loaded;
    return true;
}
