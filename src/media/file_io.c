#include "file_io.h"

#include <errno.h>
#include <fcntl.h>
#include <libavutil/mem.h>
#include <libavutil/time.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER_BYTES = 32 << 10 };

static int read_file(void *opaque, uint8_t *bytes, int n) {
    vx_file_io *io = opaque;
    int64_t start_us = av_gettime_relative();
    io->stopped |= io->keep_going && !io->keep_going(io->ctx);
    if (io->stopped || (io->deadline_us && start_us > io->deadline_us))
        return AVERROR_EXIT;
    ssize_t got;
    do
        got = read(io->fd, bytes, (size_t)n);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        io->error = io->error ? io->error : errno;
    io->blocked_us += av_gettime_relative() - start_us;
    return got > 0 ? (int)got : got < 0 ? AVERROR(io->error) : AVERROR_EOF;
}

static int64_t seek_file(void *opaque, int64_t offset, int whence) {
    vx_file_io *io = opaque;
    if (whence & AVSEEK_SIZE) {
        struct stat st;
        return fstat(io->fd, &st) == 0 ? st.st_size : AVERROR(errno);
    }
    off_t at = lseek(io->fd, offset, whence & ~AVSEEK_FORCE);
    return at >= 0 ? at : AVERROR(errno); /* demuxers try offsets that damaged files name */
}

int vx_file_io_open(vx_file_io *io, const char *path, vx_err *err) {
    io->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (io->fd < 0)
        return VX_FAIL_ERRNO(err, "cannot open %s", path);
    uint8_t *buffer = av_malloc(BUFFER_BYTES);
    if (buffer)
        io->avio = avio_alloc_context(buffer, BUFFER_BYTES, 0, io, read_file, NULL, seek_file);
    if (!io->avio) {
        av_free(buffer);
        close(io->fd);
        return VX_FAIL(err, -ENOMEM, "no memory to open a media file");
    }
    return 0;
}

void vx_file_io_close(vx_file_io *io) {
    if (!io->avio)
        return;
    av_freep(&io->avio->buffer);
    avio_context_free(&io->avio);
    close(io->fd);
}

void vx_file_io_limit(vx_file_io *io, int64_t us) {
    io->deadline_us = av_gettime_relative() + us;
    io->blocked_us = 0;
}
