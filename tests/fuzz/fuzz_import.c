/* Any bytes as a file of an import, of whatever kind they look like: it is refused with a sentence or with rows, or all
 * its rows are good. The first byte: 1: vectors of other lengths are mended; 2: behind the next byte, which says where,
 * the rest is the second file, of lines. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "import/import_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static int make_file(const uint8_t *data, size_t n, char ret_path[32]) {
    int fd = memfd_create("fuzz.import", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, n) != (ssize_t)n)
        abort();
    snprintf(ret_path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    char vectors[32], rows[32];
    vx_import_report report = {0};
    vx_err err = {0};
    if (n_bytes < 2)
        return 0;
    bool two = data[0] & 2;
    size_t n = n_bytes - 2, split = two && data[1] < n ? data[1] : n;
    int fd = make_file(data + 2, split, vectors), rows_fd = -1;
    if (two)
        rows_fd = make_file(data + 2 + split, n - split, rows);
    const vx_import_params params = {.vectors_path = vectors,
                                     .rows_path = two ? rows : NULL,
                                     .name = "a file",
                                     .source = "a source",
                                     .space = 1,
                                     .dim = 2,
                                     .normalize = data[0] & 1};
    int rc = vx_import_check(&params, &report, &err);
    if (rc && (rc != VX_IMPORT_BAD || !err.msg[0]))
        abort();
    if (!rc && report.refused)
        abort();
    vx_import_report_done(&report);
    close(fd);
    if (rows_fd >= 0)
        close(rows_fd);
    return 0;
}
