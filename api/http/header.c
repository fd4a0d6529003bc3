#include "api/http/header.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/http/text.h"
#include "base/mem.h"

static const char *skip_blanks(const char *p) {
    return p + strspn(p, " \t\r\n");
}

/* Decodes percent-encoded ISO-8859-1 to UTF-8. NULL: invalid, or out of memory. */
static char *decode_latin1(const char *text, size_t n) {
    VX_AUTO_FREE char *wide = malloc(2 * n + 1); /* two bytes of UTF-8 for one of Latin-1 */
    size_t length = 0;
    if (!wide)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        unsigned byte = (unsigned char)text[i];
        if (byte == '%') {
            int high = n - i > 2 ? vx_hex_digit(text[i + 1]) : -1;
            int low = n - i > 2 ? vx_hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return NULL;
            byte = (unsigned)(high * 16 + low);
            i += 2;
        }
        if (!byte)
            return NULL;
        if (byte >= 0x80)
            wide[length++] = (char)(0xC0 | byte >> 6);
        wide[length++] = (char)(byte < 0x80 ? byte : 0x80 | (byte & 0x3F));
    }
    wide[length] = '\0';
    return vx_take(wide);
}

/* Decodes charset'language'text. NULL: not valid, so that the plain parameter counts. */
static char *decode_extended(const char *text, size_t n) {
    const char *end = text + n;
    const char *language = memchr(text, '\'', n);
    const char *value = language ? memchr(language + 1, '\'', (size_t)(end - language - 1)) : NULL;
    if (!value)
        return NULL;
    size_t n_charset = (size_t)(language - text);
    value++;
    if (n_charset == 5 && !strncasecmp(text, "UTF-8", 5))
        return vx_percent_decode(value, (size_t)(end - value), false);
    if (n_charset == 10 && !strncasecmp(text, "ISO-8859-1", 10))
        return decode_latin1(value, (size_t)(end - value));
    return NULL;
}

/* Reads a quoted string. *p points after the opening quote, and then after the closing one. A backslash
 * escapes only a quote and itself, because some clients send Windows paths unescaped. */
static bool read_quoted(const char **p, char *out) {
    const char *q = *p;
    for (; *q && *q != '"'; q++) {
        if (*q == '\\' && (q[1] == '"' || q[1] == '\\'))
            q++;
        else if (!strncmp(q, "%22", 3)) {
            *out++ = '"';
            q += 2;
            continue;
        }
        *out++ = *q;
    }
    *out = '\0';
    *p = q + (*q == '"');
    return *q == '"';
}

bool vx_header_param(const char *field, const char *name, char **ret_value) {
    VX_AUTO_FREE char *plain = NULL;
    VX_AUTO_FREE char *extended = NULL;
    size_t n_name = strlen(name);
    *ret_value = NULL;
    for (const char *p = strchr(field, ';'); p && *p; p = strchr(p, ';')) {
        p = skip_blanks(p + 1);
        size_t n_key = strcspn(p, "=; \t");
        bool ours = n_key >= n_name && !strncasecmp(p, name, n_name);
        bool is_plain = ours && n_key == n_name;
        bool is_extended = ours && n_key == n_name + 1 && p[n_name] == '*';
        p = skip_blanks(p + n_key);
        if (*p != '=')
            continue; /* a word without a value */
        p = skip_blanks(p + 1);
        VX_AUTO_FREE char *value = malloc(strlen(p) + 1);
        if (!value)
            return false;
        if (*p == '"') {
            p++;
            if (!read_quoted(&p, value)) {
                errno = EILSEQ;
                return false;
            }
        } else {
            size_t n = strcspn(p, ";");
            memcpy(value, p, n);
            p += n;
            while (n && strchr(" \t\r\n", value[n - 1]))
                n--;
            value[n] = '\0';
        }
        if (is_plain && !plain)
            plain = vx_take(value);
        else if (is_extended && !extended)
            extended = decode_extended(value, strlen(value));
    }
    *ret_value = extended ? vx_take(extended) : vx_take(plain);
    return true;
}
