/* cell.c — values of fields as bytes. */
#include <math.h>
#include <string.h>
#include <utf8proc.h>

#include "filter_internal.h"

void vx_cell_begin(vx_cell *cell) {
    cell->n = 0;
    if (cell->bytes)
        cell->bytes[cell->n++] = VX_CELL_MISSING;
}

void vx_cell_done(vx_cell *cell) {
    free(cell->bytes);
    *cell = (vx_cell){0};
}

static bool append(vx_cell *cell, const void *bytes, size_t n) {
    size_t wanted;
    if (!vx_add(cell->n, n + 1, &wanted))
        return false;
    if (wanted > cell->capacity) {
        size_t capacity = wanted < 64 ? 64 : 2 * wanted;
        unsigned char *grown = vx_regrow(cell->bytes, capacity, 1);
        if (!grown)
            return false;
        cell->bytes = grown;
        cell->capacity = capacity;
    }
    if (!cell->n)
        cell->bytes[cell->n++] = VX_CELL_MISSING;
    memcpy(cell->bytes + cell->n, bytes, n);
    cell->n += n;
    return true;
}

static bool append_tagged(vx_cell *cell, char tag, const void *bytes, size_t n) {
    unsigned char scalar[9] = {(unsigned char)tag};
    memcpy(scalar + 1, bytes, n);
    return append(cell, scalar, n + 1);
}

bool vx_cell_null(vx_cell *cell) {
    return append(cell, "n", 1);
}

bool vx_cell_bool(vx_cell *cell, bool value) {
    return append(cell, value ? "t" : "f", 1);
}

bool vx_cell_int(vx_cell *cell, int64_t value) {
    return append_tagged(cell, 'i', &value, sizeof value);
}

#define TWO_TO_63 0x1p63

bool vx_cell_real(vx_cell *cell, double value) {
    if (!isfinite(value))
        return vx_cell_null(cell);
    if (value == floor(value) && value >= -TWO_TO_63 && value < TWO_TO_63)
        return vx_cell_int(cell, (int64_t)value);
    return append_tagged(cell, 'r', &value, sizeof value);
}

static bool is_ascii(const char *text, size_t n) {
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] >= 0x80)
            return false;
    return true;
}

/* malloc'ed text, or NULL. */
static char *map(const char *text, size_t n, unsigned options) {
    utf8proc_uint8_t *mapped = NULL;
    utf8proc_ssize_t rc =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &mapped,
                     (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPOSE | options));
    return rc < 0 ? NULL : (char *)mapped;
}

/* Text that is not UTF-8 stays as it is. */
bool vx_cell_text(vx_cell *cell, const char *text, size_t n) {
    VX_AUTO_FREE char *composed = is_ascii(text, n) ? NULL : map(text, n, 0);
    if (composed) {
        text = composed;
        n = strlen(composed);
    }
    uint32_t length = (uint32_t)n;
    return append_tagged(cell, 's', &length, sizeof length) && append(cell, text, n);
}

/* One loop without branches, so that the compiler can take many bytes at once. */
bool vx_filter_lower_ascii(const char *text, size_t n, char *ret) {
    unsigned char all = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        all |= c;
        ret[i] = (char)(c + ((unsigned char)(c - 'A') < 26) * ('a' - 'A'));
    }
    ret[n] = '\0';
    return all < 0x80;
}

char *vx_filter_fold(const char *text, size_t n) {
    VX_AUTO_FREE char *folded = malloc(n + 1);
    if (folded && !vx_filter_lower_ascii(text, n, folded))
        return map(text, n, UTF8PROC_CASEFOLD);
    return vx_take(folded);
}

/* ---- scalars ---- */

static int64_t int_of(const unsigned char *p) {
    int64_t value;
    memcpy(&value, p + 1, sizeof value);
    return value;
}

static double real_of(const unsigned char *p) {
    double value;
    memcpy(&value, p + 1, sizeof value);
    return value;
}

static uint32_t length_of(const unsigned char *p) {
    uint32_t n;
    memcpy(&n, p + 1, sizeof n);
    return n;
}

#define EXACT_IN_DOUBLE (INT64_C(1) << 53) /* up to here a whole number is the same as a double */

double vx_cell_number(const unsigned char *cell, size_t n) {
    if (n != 10 || *cell != VX_CELL_ONE || (cell[1] != 'i' && cell[1] != 'r'))
        return NAN;
    int64_t whole = cell[1] == 'i' ? int_of(cell + 1) : 0;
    if (whole > EXACT_IN_DOUBLE || whole < -EXACT_IN_DOUBLE)
        return NAN;
    return cell[1] == 'i' ? (double)whole : real_of(cell + 1);
}

size_t vx_scalar_bytes(const unsigned char *p) {
    switch (*p) {
    case 'i':
    case 'r':
        return 9;
    case 's':
        return 5 + (size_t)length_of(p);
    default:
        return 1;
    }
}

/* A double among the scalars is no whole number, or lies outside of int64: so they are never equal. */
static int compare_int_real(int64_t a, double b) {
    if (b >= TWO_TO_63 || b < -TWO_TO_63)
        return b > 0 ? -1 : 1;
    return a <= (int64_t)floor(b) ? -1 : 1;
}

static int compare_numbers(const unsigned char *a, const unsigned char *b) {
    if (*a == 'i' && *b == 'i')
        return (int_of(a) > int_of(b)) - (int_of(a) < int_of(b));
    if (*a == 'r' && *b == 'r')
        return (real_of(a) > real_of(b)) - (real_of(a) < real_of(b));
    return *a == 'i' ? compare_int_real(int_of(a), real_of(b))
                     : -compare_int_real(int_of(b), real_of(a));
}

/* UTF-8 sorts by bytes as it does by code points. */
static int compare_texts(const unsigned char *a, const unsigned char *b) {
    uint32_t n_a = length_of(a), n_b = length_of(b);
    int order = memcmp(a + 5, b + 5, n_a < n_b ? n_a : n_b);
    return order ? order : (n_a > n_b) - (n_a < n_b);
}

bool vx_scalar_compare(const unsigned char *a, const unsigned char *b, int *ret_order) {
    bool numbers = (*a == 'i' || *a == 'r') && (*b == 'i' || *b == 'r');
    if (!numbers && !(*a == 's' && *b == 's'))
        return false;
    *ret_order = numbers ? compare_numbers(a, b) : compare_texts(a, b);
    return true;
}

int vx_scalar_order(const unsigned char *a, const unsigned char *b) {
    size_t n_a = vx_scalar_bytes(a), n_b = vx_scalar_bytes(b);
    int order = memcmp(a, b, n_a < n_b ? n_a : n_b);
    return order ? order : (n_a > n_b) - (n_a < n_b);
}
