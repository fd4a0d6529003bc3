/* Any bytes as a Parquet file: it is refused with a sentence, or its rows are read to their end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "parquet/read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static const vx_parquet_wanted wanted[] = {{"embedding", VX_PARQUET_WANT_FLOATS},
                                           {"text", VX_PARQUET_WANT_TEXT},
                                           {"real", VX_PARQUET_WANT_REAL}};

/* So that the sanitizers see a value that reaches beyond its memory. */
static void touch(const vx_parquet_value *values) {
    float sum = 0;
    for (size_t i = 0; !values[0].is_null && i < values[0].n; i++)
        sum += values[0].floats[i];
    __asm__ volatile("" : : "g"(sum)); /* it is used, as far as the compiler knows */
    if (!values[1].is_null && values[1].text[values[1].n] != '\0')
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    VX_AUTO(vx_parquet_reader) reader = NULL;
    VX_AUTO_FD int fd = memfd_create("fuzz.parquet", MFD_CLOEXEC);
    vx_parquet_value values[VX_LEN(wanted)];
    char path[32];
    vx_err err = {0};
    if (fd < 0 || write(fd, data, n_bytes) != (ssize_t)n_bytes)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int rc = vx_parquet_open(path, wanted, VX_LEN(wanted), &reader, &err);
    int64_t n = 0;
    while (!rc && n < 10000 && (rc = vx_parquet_next(reader, values, &err)) == 1) {
        touch(values);
        rc = 0;
        n++;
    }
    if (rc && (rc != VX_PARQUET_BAD || !err.msg[0]))
        abort();
    if (!rc && n < 10000 && n != vx_parquet_rows(reader))
        abort();
    return 0;
}
