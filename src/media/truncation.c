/* truncation.c — tells a file that was cut off from one that is malformed.
 *
 * FFmpeg reports "invalid data" for both, or opens what is left: an MP4 cut inside its index may look
 * like one without a video stream. So the length that a container states is compared with the length
 * of the file. An MP4 is a sequence of boxes, each with its size; Matroska and AVI state one size for
 * the whole file, unless they were written as a stream; other containers state none.
 */
#include "truncation.h"

#include <fcntl.h>
#include <libavutil/intreadwrite.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "media.h"

/* A box costs one read of 16 bytes; a day of half-second fragments has this many. */
enum { MAX_BOXES = 400 * 1000 };

/* Walks the boxes, up to the one in which the file ends. */
static void measure_mp4(int fd, vx_file_length *length) {
    int64_t at = 0;
    for (int i = 0; i < MAX_BOXES && at < length->have_bytes; i++) {
        uint8_t head[16] = {0};
        if (pread(fd, head, sizeof(head), at) < 8) { /* not even the name of the next box */
            length->stated_bytes = at + 8;
            return;
        }
        uint64_t size = AV_RB32(head);
        if (size == 1)
            size = AV_RB64(head + 8);
        if (size < 8 || size > INT64_MAX / 2) /* 0: all that follows, however much that is */
            return;
        at += (int64_t)size;
        if (at > length->have_bytes) {
            memcpy(length->box, head + 4, 4);
            length->stated_bytes = at;
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
static void measure_matroska(int fd, const uint8_t *head, vx_file_length *length) {
    uint8_t segment[12] = {0};
    int n;
    int64_t header_bytes = ebml_size(head + 4, &n);
    if (header_bytes < 0)
        return;
    int64_t at = 4 + n + header_bytes;
    if (pread(fd, segment, sizeof(segment), at) <= 4) {
        length->stated_bytes = at + (int64_t)sizeof(segment);
    } else if (AV_RB32(segment) == 0x18538067) {
        int64_t size = ebml_size(segment + 4, &n);
        length->stated_bytes = size < 0 ? 0 : at + 4 + n + size;
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

vx_file_length vx_file_length_of(const char *path) {
    vx_file_length length = {0};
    struct stat st;
    uint8_t head[16] = {0};
    VX_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || pread(fd, head, sizeof(head), 0) < 8)
        return length;
    length.have_bytes = st.st_size;
    if (is_mp4(head)) {
        length.kind = "MP4";
        measure_mp4(fd, &length);
    } else if (AV_RB32(head) == 0x1a45dfa3) {
        length.kind = "Matroska";
        measure_matroska(fd, head, &length);
    } else if (memcmp(head, "RIFF", 4) == 0 && memcmp(head + 8, "AVI ", 4) == 0) {
        length.kind = "AVI";
        length.stated_bytes = AV_RL32(head + 4) == UINT32_MAX ? 0 : 8 + (int64_t)AV_RL32(head + 4);
    }
    return length;
}

bool vx_file_is_truncated(const vx_file_length *length) {
    return length->stated_bytes > length->have_bytes;
}

bool vx_file_is_truncated_in_index(const vx_file_length *length) {
    return memcmp(length->box, "moov", 4) == 0 || memcmp(length->box, "moof", 4) == 0;
}

int vx_file_fail_truncated(const vx_file_length *length, const char *where, vx_err *err) {
    if (vx_file_is_truncated_in_index(length))
        where = memcmp(length->box, "moov", 4) == 0 ? "inside its index (moov)"
                                                    : "inside the index of a fragment (moof)";
    return VX_FAIL(err, VX_MEDIA_DAMAGED,
                   "the %s file breaks off %s: %lld bytes are there of at least %lld; "
                   "is its end missing?",
                   length->kind, where, (long long)length->have_bytes,
                   (long long)length->stated_bytes);
}
