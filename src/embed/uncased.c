/* uncased.c — character rules of uncased BERT, equal to those of the Hugging Face `tokenizers`.
 *
 * That library takes marks, format characters and punctuation from a table of Unicode 8.0, while
 * libutf8proc knows newer ones. Where a character came later, or was put into another category
 * since, the tables below restore what 8.0 said. tests/tokenizer compares all code points.
 */
#include "uncased.h"

#include <utf8proc.h>

#include "base/mem.h"

typedef struct range {
    int32_t first, last;
} range;

static bool is_in(const range *ranges, size_t n, int32_t c) {
    size_t low = 0;
    while (low < n) { /* ranges[low - 1].last < c <= ranges[n].last */
        size_t middle = low + (n - low) / 2;
        if (ranges[middle].last < c)
            low = middle + 1;
        else if (ranges[middle].first > c)
            n = middle;
        else
            return true;
    }
    return false;
}

/* Marks, format characters and punctuation younger than Unicode 8.0: letters to the reference.
 * Gaps are closed over characters, and over code points still free, to which it is all the same. */
static const range young[] = {
    {0x061d, 0x061d},   {0x07fd, 0x07fd},   {0x0890, 0x08e2},   {0x09fd, 0x09fe},
    {0x0a76, 0x0a76},   {0x0afa, 0x0aff},   {0x0b55, 0x0b55},   {0x0c04, 0x0c3c},
    {0x0c77, 0x0c77},   {0x0c84, 0x0c84},   {0x0d00, 0x0d00},   {0x0d3b, 0x0d3c},
    {0x0d81, 0x0d81},   {0x0eba, 0x0eba},   {0x0ece, 0x0ece},   {0x180f, 0x1886},
    {0x1abf, 0x1ace},   {0x1b7d, 0x1b7e},   {0x1df6, 0x1dfb},   {0x2e43, 0x2e5d},
    {0xa82c, 0xa82c},   {0xa8c5, 0xa8c5},   {0xa8ff, 0xa8ff},   {0xa9bd, 0xa9bd},
    {0x10d24, 0x10f89}, {0x11070, 0x11074}, {0x110c2, 0x110cd}, {0x111cf, 0x111cf},
    {0x1123e, 0x11241}, {0x1133b, 0x1133b}, {0x11438, 0x1145e}, {0x11660, 0x1166c},
    {0x116b9, 0x116b9}, {0x1182f, 0x1183b}, {0x1193b, 0x11fff}, {0x12ff1, 0x13455},
    {0x16e97, 0x16f4f}, {0x16fe2, 0x16fe4}, {0x1cf00, 0x1cf46}, {0x1e000, 0x1e4ef},
    {0x1e944, 0x1e95f},
};

/* The blocks of ideographs that BERT sets apart; those encoded later are not among them. */
static const range ideographs[] = {
    {0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},   {0x20000, 0x2a6df},
    {0x2a700, 0x2b73f}, {0x2b740, 0x2b81f}, {0x2b920, 0x2ceaf}, {0x2f800, 0x2fa1f},
};

/* The category in Unicode 8.0, as far as it matters here. */
static utf8proc_category_t category_of(int32_t c) {
    switch (c) {
    case 0x1734:
        return UTF8PROC_CATEGORY_MN; /* spacing since 14.0 */
    case 0x166d:
    case 0x111c9:
        return UTF8PROC_CATEGORY_PO; /* a symbol since 12.0, a mark since 11.0 */
    default:
        return is_in(young, VX_LEN(young), c) ? UTF8PROC_CATEGORY_LO : utf8proc_category(c);
    }
}

static bool is_punctuation(utf8proc_category_t category) {
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

/* ASCII symbols such as $ and ^ count as punctuation too. */
static int fold_ascii(int32_t c, vx_uncased *ret_out) {
    bool white = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!white && (c < ' ' || c == 0x7f))
        return 0;
    bool upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z', digit = c >= '0' && c <= '9';
    ret_out->c = white ? ' ' : upper ? c + ('a' - 'A') : c;
    ret_out->alone = !white && !upper && !lower && !digit;
    return 1;
}

int vx_uncased_fold(int32_t c, vx_uncased ret_out[VX_UNCASED_MAX_OUT]) {
    if (c < 0x80)
        return fold_ascii(c, ret_out);
    utf8proc_category_t category = category_of(c);
    if (category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
        category == UTF8PROC_CATEGORY_CO || category == UTF8PROC_CATEGORY_CS || c == 0xfffd)
        return 0;
    if (category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
        category == UTF8PROC_CATEGORY_ZP) {
        ret_out[0] = (vx_uncased){.c = ' '};
        return 1;
    }
    int32_t parts[VX_UNCASED_MAX_OUT];
    int boundary_class = 0, n = 0;
    utf8proc_ssize_t n_parts =
        utf8proc_decompose_char(c, parts, VX_UNCASED_MAX_OUT, UTF8PROC_DECOMPOSE, &boundary_class);
    bool ideograph = is_in(ideographs, VX_LEN(ideographs), c);
    for (utf8proc_ssize_t i = 0; i < n_parts && i < VX_UNCASED_MAX_OUT; i++) {
        if (parts[i] < 0x80) {
            n += fold_ascii(parts[i], &ret_out[n]);
            continue;
        }
        utf8proc_category_t part = category_of(parts[i]);
        if (part != UTF8PROC_CATEGORY_MN)
            ret_out[n++] = (vx_uncased){.c = utf8proc_tolower(parts[i]),
                                        .alone = ideograph || is_punctuation(part)};
    }
    return n;
}
