/* cursor.c — cursors of a search's pages as text: "s", the score's bits, the row and the position, in
 * hexadecimal. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "search.h"

void vx_search_cursor_write(const vx_search_cursor *cursor,
                            char ret_text[VX_SEARCH_CURSOR_CHARS + 1]) {
    uint32_t bits;
    memcpy(&bits, &cursor->score, sizeof bits);
    snprintf(ret_text, VX_SEARCH_CURSOR_CHARS + 1, "s%08" PRIx32 "-%" PRIx64 "-%zx", bits,
             (uint64_t)cursor->row, cursor->position);
}

bool vx_search_cursor_read(const char *text, vx_search_cursor *ret_cursor) {
    uint32_t bits;
    uint64_t row;
    size_t position;
    if (strlen(text) > VX_SEARCH_CURSOR_CHARS ||
        sscanf(text, "s%8" SCNx32 "-%15" SCNx64 "-%4zx", &bits, &row, &position) != 3)
        return false;
    vx_search_cursor cursor = {.row = (int64_t)row, .position = position};
    memcpy(&cursor.score, &bits, sizeof bits);
    char same[VX_SEARCH_CURSOR_CHARS + 1];
    vx_search_cursor_write(&cursor, same);
    if (strcmp(same, text) || !isfinite(cursor.score) || !position ||
        position > VX_SEARCH_MAX_DEPTH)
        return false;
    *ret_cursor = cursor;
    return true;
}
