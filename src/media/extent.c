/* extent.c — how long a container says it is, to tell a file that was cut off from one that is wrong.
 *
 * FFmpeg calls both "invalid data", or opens what is left: an MP4 cut inside its index may look like
 * one without a video stream. An MP4 is a sequence of boxes of stated sizes; Matroska and AVI state
 * one size for all, unless they were written as a stream; other containers state none.
 */
#include <fcntl.h>
#include <libavutil/intreadwrite.h>
#include <sys/stat.h>

#include "media_private.h"

/* A box costs one read of 16 bytes; a day of half-second fragments has this many. */
enum { MAX_BOXES = 400 * 1000 };

/* Over the boxes, up to the one in which the file ends. */
static void measure_mp4(int fd, vx_extent *extent) {
    int64_t at = 0;
    for (int i = 0; i < MAX_BOXES && at < extent->have_bytes; i++) {
        uint8_t head[16] = {0};
        if (pread(fd, head, sizeof(head), at) < 8) { /* not even the name of the next box */
            extent->stated_bytes = at + 8;
            return;
        }
        uint64_t size = AV_RB32(head);
        if (size == 1)
            size = AV_RB64(head + 8);
        if (size < 8 || size > INT64_MAX / 2) /* 0: all that follows, however much that is */
            return;
        at += (int64_t)size;
        if (at > extent->have_bytes) {
            memcpy(extent->box, head + 4, 4);
            extent->stated_bytes = at;
        }
    }
}

/* An EBML size of 1 to 8 bytes; -1 = unknown, or none. ret_n: the bytes it takes. */
static int64_t ebml_size(const uint8_t *p, int *ret_n) {
    int n = 1;
    while (n <= 8 && !(p[0] & 0x100 >> n))
        n++;
    *ret_n = n;
    if (n > 8)
        return -1;
    uint64_t value = AV_RB64(p) >> (64 - 8 * n), mask = (UINT64_C(1) << 7 * n) - 1;
    return (value & mask) == mask ? -1 : (int64_t)(value & mask);
}

/* A header element, then one segment with all the rest. */
static void measure_matroska(int fd, const uint8_t *head, vx_extent *extent) {
    uint8_t segment[12] = {0};
    int n;
    int64_t header_bytes = ebml_size(head + 4, &n);
    if (header_bytes < 0)
        return;
    int64_t at = 4 + n + header_bytes;
    if (pread(fd, segment, sizeof(segment), at) <= 4) {
        extent->stated_bytes = at + (int64_t)sizeof(segment);
    } else if (AV_RB32(segment) == 0x18538067) {
        int64_t size = ebml_size(segment + 4, &n);
        extent->stated_bytes = size < 0 ? 0 : at + 4 + n + size;
    }
}

/* By its first box; most are small, so that no text looks like one ("I'm free"). */
static bool is_mp4(const uint8_t *head) {
    static const char any_size[][5] = {"moov", "mdat"};
    static const char small[][5] = {"ftyp", "styp", "wide", "free", "skip"};
    for (size_t i = 0; i < VX_LEN(any_size); i++)
        if (memcmp(head + 4, any_size[i], 4) == 0)
            return true;
    for (size_t i = 0; i < VX_LEN(small) && head[0] == 0; i++)
        if (memcmp(head + 4, small[i], 4) == 0)
            return true;
    return false;
}

vx_extent vx_extent_of(const char *path) {
    vx_extent extent = {0};
    struct stat st;
    uint8_t head[16] = {0};
    VX_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || pread(fd, head, sizeof(head), 0) < 8)
        return extent;
    extent.have_bytes = st.st_size;
    if (is_mp4(head)) {
        extent.kind = "MP4";
        measure_mp4(fd, &extent);
    } else if (AV_RB32(head) == 0x1a45dfa3) {
        extent.kind = "Matroska";
        measure_matroska(fd, head, &extent);
    } else if (memcmp(head, "RIFF", 4) == 0 && memcmp(head + 8, "AVI ", 4) == 0) {
        extent.kind = "AVI";
        extent.stated_bytes = AV_RL32(head + 4) == UINT32_MAX ? 0 : 8 + (int64_t)AV_RL32(head + 4);
    }
    return extent;
}

bool vx_extent_breaks_off(const vx_extent *extent) {
    return extent->stated_bytes > extent->have_bytes;
}

bool vx_extent_breaks_off_in_index(const vx_extent *extent) {
    return memcmp(extent->box, "moov", 4) == 0 || memcmp(extent->box, "moof", 4) == 0;
}

int vx_extent_fail(const vx_extent *extent, const char *before, vx_err *err) {
    if (vx_extent_breaks_off_in_index(extent))
        before = memcmp(extent->box, "moov", 4) == 0 ? "inside its index (moov)"
                                                     : "inside the index of a fragment (moof)";
    return VX_FAIL(err, VX_MEDIA_DAMAGED,
                   "the %s file breaks off %s: %lld bytes are there of at least %lld; "
                   "is its end missing?",
                   extent->kind, before, (long long)extent->have_bytes,
                   (long long)extent->stated_bytes);
}
