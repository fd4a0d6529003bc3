/* filename.c — the SQL function vx_contains(name, part): whether a file name contains a text, as people
 * see it. Case does not matter, and neither does how accents are encoded: macOS sends "é" as two code
 * points (NFD), others as one (NFC). */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/mem.h"
#include "catalog_internal.h"

/* Without case and in NFC. Gives malloc'ed text; NULL: not UTF-8, or out of memory. */
static char *fold(const char *text) {
    utf8proc_uint8_t *folded = NULL;
    utf8proc_ssize_t n =
        utf8proc_map((const utf8proc_uint8_t *)text, 0, &folded,
                     UTF8PROC_NULLTERM | UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD);
    return n < 0 ? NULL : (char *)folded;
}

static bool is_ascii(const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text >= 0x80)
            return false;
    return true;
}

static void contains(sqlite3_context *context, int n, sqlite3_value **values) {
    (void)n;
    const char *name = (const char *)sqlite3_value_text(values[0]);
    char *part = sqlite3_get_auxdata(context, 1); /* folded once a statement */
    if (!part) {
        const char *text = (const char *)sqlite3_value_text(values[1]);
        part = text ? fold(text) : NULL;
        if (part)
            sqlite3_set_auxdata(context, 1, part, free);
        part = part ? sqlite3_get_auxdata(context, 1) : NULL; /* SQLite may have dropped it */
    }
    if (!name || !part) {
        sqlite3_result_int(context, 0);
        return;
    }
    if (is_ascii(name)) { /* nearly all are: no allocation */
        sqlite3_result_int(context, strcasestr(name, part) != NULL);
        return;
    }
    VX_AUTO_FREE char *folded = fold(name);
    sqlite3_result_int(context, folded && strstr(folded, part));
}

int vx_catalog_add_functions(sqlite3 *handle) {
    return sqlite3_create_function(handle, "vx_contains", 2,
                                   SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY, NULL,
                                   contains, NULL, NULL);
}
