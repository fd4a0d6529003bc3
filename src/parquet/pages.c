/* pages.c — page headers (parquet.thrift), and what they say held against what is there before it is read. */
#include "pages.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "thrift_read.h"
#include "unpack.h"

#define PAGE_MAX ((int64_t)64 << 20)
#define OPEN_MAX ((int64_t)256 << 20)
#define HEADER_BYTES 4096            /* mostly enough */
#define HEADER_MAX ((size_t)1 << 20) /* statistics of long texts */
enum { DATA_PAGE = 0, DICTIONARY_PAGE = 2, DATA_PAGE_V2 = 3 };

#define BAD(...) VX_FAIL(err, VX_PARQUET_BAD, __VA_ARGS__)

typedef struct page_header {
    int64_t type, unpacked, packed;
    int64_t n_values, encoding;
    int64_t definition_encoding, repetition_encoding;          /* version 1 */
    int64_t definition_bytes, repetition_bytes, is_compressed; /* version 2 */
    size_t n_bytes;                                            /* of the header */
} page_header;

int vx_physical_bytes(int physical) {
    return physical == VX_PHYSICAL_INT32 || physical == VX_PHYSICAL_FLOAT    ? 4
           : physical == VX_PHYSICAL_INT64 || physical == VX_PHYSICAL_DOUBLE ? 8
                                                                             : 0;
}

/* ---- headers ---- */

static bool parse_header(const uint8_t *bytes, size_t n, page_header *h) {
    vx_thrift_in in = {.at = bytes, .end = bytes + n};
    *h =
        (page_header){.type = -1, .unpacked = -1, .packed = -1, .n_values = -1, .is_compressed = 1};
    vx_thrift_ints common = {[1] = &h->type, [2] = &h->unpacked, [3] = &h->packed};
    vx_thrift_ints data = {[1] = &h->n_values,
                           [2] = &h->encoding,
                           [3] = &h->definition_encoding,
                           [4] = &h->repetition_encoding};
    vx_thrift_ints dictionary = {[1] = &h->n_values, [2] = &h->encoding};
    vx_thrift_ints data_v2 = {[1] = &h->n_values,
                              [4] = &h->encoding,
                              [5] = &h->definition_bytes,
                              [6] = &h->repetition_bytes,
                              [7] = &h->is_compressed};
    for (vx_thrift_struct s = vx_thrift_begin(&in); vx_thrift_field(&in, &s);)
        if (s.id == 5 && h->type == DATA_PAGE)
            vx_thrift_take_all(&in, data);
        else if (s.id == 7 && h->type == DICTIONARY_PAGE)
            vx_thrift_take_all(&in, dictionary);
        else if (s.id == 8 && h->type == DATA_PAGE_V2)
            vx_thrift_take_all(&in, data_v2);
        else
            vx_thrift_take(&in, &s, common);
    h->n_bytes = (size_t)(in.at - bytes);
    return !in.failed;
}

static int read_at(int fd, int64_t at, void *ret, size_t n, vx_err *err) {
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(fd, (char *)ret + done, n - done, at + (int64_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return VX_FAIL_ERRNO(err, "reading a page");
        if (!got)
            return VX_FAIL(err, -EIO, "reading a page: the file has become shorter");
        done += (size_t)got;
    }
    return 0;
}

static int make_room(uint8_t **bytes, size_t *capacity, size_t n, vx_err *err) {
    if (n <= *capacity)
        return 0;
    uint8_t *grown = vx_regrow(*bytes, n, 1);
    if (!grown)
        return VX_FAIL(err, -ENOMEM, "no memory for a page of %zu bytes", n);
    *bytes = grown;
    *capacity = n;
    return 0;
}

static int read_header(const vx_column_cursor *c, vx_page_source *source, page_header *ret,
                       vx_err *err) {
    size_t left = (size_t)(c->end - c->at);
    for (size_t n = HEADER_BYTES;; n = HEADER_MAX) {
        size_t asked = n < left ? n : left;
        int rc = make_room(&source->packed, &source->packed_capacity, asked + 1, err);
        if (!rc)
            rc = read_at(source->fd, c->at, source->packed, asked, err);
        if (rc || parse_header(source->packed, asked, ret))
            return rc;
        if (asked == left || n == HEADER_MAX)
            return BAD("the header of a page is damaged");
    }
}

/* ---- pages ---- */

/* What is not packed at the start of a page (version 2: its levels) is copied; the rest is unpacked. */
static int load(vx_column_cursor *c, vx_page_source *source, const page_header *h, vx_block *block,
                vx_err *err) {
    int64_t plain = h->type == DATA_PAGE_V2 ? h->repetition_bytes + h->definition_bytes : 0;
    int64_t left = c->end - c->at - (int64_t)h->n_bytes;
    if (h->packed < 0 || h->packed > left || h->unpacked < 0 || h->repetition_bytes < 0 ||
        h->definition_bytes < 0 || plain > h->packed || plain > h->unpacked)
        return BAD("the header of a page contradicts the size of its column");
    if (h->unpacked > PAGE_MAX || h->packed > PAGE_MAX + PAGE_MAX / 8)
        return BAD("a page has %" PRId64 " bytes and unpacks to %" PRId64 "; the limit is %" PRId64,
                   h->packed, h->unpacked, PAGE_MAX);
    if ((source->unpacked_left -= h->unpacked) < 0)
        return BAD("it unpacks to more than 64 times its size");
    int64_t more =
        h->unpacked > (int64_t)block->capacity ? h->unpacked - (int64_t)block->capacity : 0;
    if (source->open_bytes + more > OPEN_MAX)
        return BAD("its pages need more than %" PRId64 " bytes of memory at once", OPEN_MAX);
    int rc = make_room(&source->packed, &source->packed_capacity, (size_t)h->packed + 1, err);
    if (!rc)
        rc = make_room(&block->bytes, &block->capacity, (size_t)h->unpacked + 1, err);
    if (!rc)
        rc = read_at(source->fd, c->at + (int64_t)h->n_bytes, source->packed, (size_t)h->packed,
                     err);
    if (rc)
        return rc;
    source->open_bytes += more;
    block->n = (size_t)h->unpacked;
    memcpy(block->bytes, source->packed, (size_t)plain);
    c->at += (int64_t)h->n_bytes + h->packed;
    return vx_parquet_unpack(h->is_compressed ? c->codec : 0, source->packed + plain,
                             (size_t)(h->packed - plain), block->bytes + plain,
                             (size_t)(h->unpacked - plain), err);
}

/* Where the texts of a dictionary begin. */
static int index_texts(vx_column_cursor *c, size_t n, vx_err *err) {
    const vx_block *d = &c->dictionary;
    free(c->offsets);
    c->offsets = n <= d->n / 4 ? vx_new_array(n + 1, sizeof *c->offsets) : NULL;
    if (!c->offsets)
        return n <= d->n / 4 ? VX_FAIL(err, -ENOMEM, "no memory for a dictionary of %zu", n)
                             : BAD("a dictionary is damaged");
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t length;
        c->offsets[i] = (uint32_t)at;
        if (d->n - at < sizeof length)
            return BAD("a dictionary is damaged");
        memcpy(&length, d->bytes + at, sizeof length);
        at += sizeof length;
        if (length > d->n - at)
            return BAD("a dictionary is damaged");
        at += length;
    }
    return 0;
}

static int load_dictionary(vx_column_cursor *c, vx_page_source *source, const page_header *h,
                           vx_err *err) {
    int rc = load(c, source, h, &c->dictionary, err);
    if (rc)
        return rc;
    int width = vx_physical_bytes(c->leaf->physical);
    if (h->n_values < 0 ||
        (h->encoding != VX_ENCODING_PLAIN && h->encoding != VX_ENCODING_PLAIN_DICTIONARY) ||
        (width && (uint64_t)h->n_values > c->dictionary.n / (size_t)width))
        return BAD("a dictionary is damaged");
    c->n_entries = 0;
    rc = width ? 0 : index_texts(c, (size_t)h->n_values, err);
    c->n_entries = rc ? 0 : (size_t)h->n_values;
    return rc;
}

/* ---- the parts of a data page ---- */

static int width_of(int max_level) {
    return max_level ? 32 - __builtin_clz((unsigned)max_level) : 0;
}

/* Of version 1: the length, then the levels. */
static bool take_levels(vx_column_cursor *c, int max_level, vx_levels *ret) {
    uint32_t n = 0;
    *ret = (vx_levels){.width = width_of(max_level)};
    if (!max_level)
        return true;
    if ((size_t)(c->values_end - c->values) < sizeof n)
        return false;
    memcpy(&n, c->values, sizeof n);
    c->values += sizeof n;
    if (n > (size_t)(c->values_end - c->values))
        return false;
    ret->at = c->values;
    ret->end = c->values += n;
    return true;
}

static bool split_page(vx_column_cursor *c, const page_header *h) {
    const vx_leaf *leaf = c->leaf;
    c->values = c->page.bytes;
    c->values_end = c->page.bytes + c->page.n;
    if (h->type == DATA_PAGE)
        return (h->repetition_encoding == VX_ENCODING_RLE || !leaf->max_repetition) &&
               (h->definition_encoding == VX_ENCODING_RLE || !leaf->max_definition) &&
               take_levels(c, leaf->max_repetition, &c->repetition) &&
               take_levels(c, leaf->max_definition, &c->definition);
    c->repetition = (vx_levels){.width = width_of(leaf->max_repetition),
                                .at = c->values,
                                .end = c->values + h->repetition_bytes};
    c->definition = (vx_levels){.width = width_of(leaf->max_definition),
                                .at = c->repetition.end,
                                .end = c->repetition.end + h->definition_bytes};
    c->values = c->definition.end;
    return true;
}

static int begin_values(vx_column_cursor *c, const page_header *h, vx_err *err) {
    size_t n = (size_t)(c->values_end - c->values);
    int width = vx_physical_bytes(c->leaf->physical);
    c->encoding = (int)h->encoding;
    c->split_at = 0;
    switch (h->encoding) {
    case VX_ENCODING_PLAIN:
        return 0;
    case VX_ENCODING_SPLIT:
        c->n_split = width ? n / (size_t)width : 0;
        return width && n % (size_t)width == 0 ? 0 : BAD("a page is damaged");
    case VX_ENCODING_PLAIN_DICTIONARY:
    case VX_ENCODING_DICTIONARY:
        c->encoding = VX_ENCODING_DICTIONARY;
        c->places = (vx_levels){
            .at = c->values + (n ? 1 : 0), .end = c->values_end, .width = n ? c->values[0] : 0};
        return c->places.width <= 32 ? 0 : BAD("a page is damaged");
    default:
        return BAD("its values are in the encoding %" PRId64
                   ", which is not read: write it with dictionaries or plain",
                   h->encoding);
    }
}

static int load_data(vx_column_cursor *c, vx_page_source *source, const page_header *h,
                     vx_err *err) {
    int rc = load(c, source, h, &c->page, err);
    if (rc)
        return rc;
    if (h->n_values < 0 || h->n_values > c->levels_left || !split_page(c, h))
        return BAD("a page is damaged: its levels contradict its header");
    c->page_levels = h->n_values;
    c->peeked = -1;
    return begin_values(c, h, err);
}

/* ---- the column ---- */

void vx_cursor_begin(vx_column_cursor *c, const vx_column_part *part) {
    c->codec = part->codec;
    c->at = part->offset;
    c->end = part->offset + part->bytes;
    c->levels_left = part->n_values;
    c->page_levels = 0;
    c->peeked = -1;
    c->n_entries = 0;
}

int vx_cursor_fill(vx_column_cursor *c, vx_page_source *source, vx_err *err) {
    while (!c->page_levels && c->levels_left) {
        page_header h;
        if (c->at >= c->end)
            return BAD("a column has fewer values than its footer says");
        int rc = read_header(c, source, &h, err);
        if (!rc && (h.type == DATA_PAGE || h.type == DATA_PAGE_V2))
            rc = load_data(c, source, &h, err);
        else if (!rc && h.type == DICTIONARY_PAGE)
            rc = load_dictionary(c, source, &h, err);
        else if (!rc && (h.packed < 0 || h.packed > c->end - c->at - (int64_t)h.n_bytes))
            rc = BAD("the header of a page is damaged");
        else if (!rc)
            c->at +=
                (int64_t)h.n_bytes + h.packed; /* an index, or what comes after this was written */
        if (rc)
            return rc;
    }
    return c->page_levels > 0;
}

void vx_cursor_done(vx_column_cursor *c) {
    free(c->page.bytes);
    free(c->dictionary.bytes);
    free(c->offsets);
    *c = (vx_column_cursor){0};
}
