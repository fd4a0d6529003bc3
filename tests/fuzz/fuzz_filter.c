/* Any bytes as a filter: it is refused with a place, or it selects from columns what it selects one by one.
 * The second line, if there is one, is a date. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "filter/filter.h"
#include "filter/filter_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

#define N_VIDEOS 3
static vx_video videos[N_VIDEOS] = {
    {.row = 1, .filename = "a.mp4", .metadata = "{\"a\": 1, \"b\": [1, \"x\", {\"c\": null}]}"},
    {.row = 2, .filename = "\xc3\x89.mp4", .metadata = "{\"a\": \"X\", \"b\": {\"c\": 1.5}}"},
    {.row = 3, .filename = "", .metadata = "{}"},
};

static int read_metadata(void *ctx, int64_t row, char **ret_metadata, vx_err *err) {
    (void)ctx, (void)err;
    *ret_metadata = strdup(videos[row - 1].metadata);
    return 0;
}

static vx_filter_columns *make_columns(void) {
    static const char *const fields[] = {"metadata.b"};
    vx_filter_columns *columns = NULL;
    if (vx_filter_columns_new(&columns, NULL) ||
        vx_filter_columns_declare(columns, fields, 1, NULL))
        abort();
    for (int i = 0; i < N_VIDEOS; i++)
        if (vx_filter_columns_put(columns, &videos[i], NULL))
            abort();
    return columns;
}

static void check(const vx_filter *filter) {
    VX_AUTO(vx_filter_columns) columns = make_columns();
    const vx_filter_selection selection = {.filter = filter, .read_metadata = read_metadata};
    VX_AUTO_FREE int64_t *rows = NULL;
    size_t n, n_read, at = 0;
    if (vx_filter_columns_select(columns, &selection, &rows, &n, &n_read, NULL))
        abort();
    for (int i = N_VIDEOS - 1; i >= 0; i--) {
        bool passes;
        if (vx_filter_match(filter, &videos[i], &passes, NULL, NULL))
            abort();
        if (passes && (at == n || rows[at++] != videos[i].row))
            abort();
    }
    if (at != n)
        abort();
}

static void read_date(const uint8_t *data, size_t n_bytes) {
    const uint8_t *line = memchr(data, '\n', n_bytes);
    size_t n = line ? n_bytes - (size_t)(line + 1 - data) : 0;
    VX_AUTO_FREE char *text = line ? vx_new_array(n + 1, 1) : NULL;
    int64_t first_us, last_us;
    if (text)
        memcpy(text, line + 1, n);
    if (text && vx_filter_read_date(text, &first_us, &last_us) && first_us > last_us)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    VX_AUTO(vx_filter) filter = NULL;
    char pointer[VX_FILTER_POINTER_BYTES];
    vx_err err = {0};
    read_date(data, n_bytes);
    json_t *json =
        json_loadb((const char *)data, n_bytes, JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, NULL);
    if (!json)
        return 0;
    int rc = vx_filter_parse(json, NULL, &filter, pointer, &err);
    if (rc == VX_FILTER_BAD ? !err.msg[0] || (*pointer && *pointer != '/') : rc != 0)
        abort();
    if (filter)
        check(filter);
    json_decref(json);
    return 0;
}
