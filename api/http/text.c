#include "api/http/text.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

int vx_hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

char *vx_percent_decode(const char *text, size_t n, bool plus_is_space) {
    VX_AUTO_FREE char *out = malloc(n + 1);
    if (!out)
        return NULL;
    errno = EILSEQ; /* from here on NULL means invalid text */
    size_t length = 0;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c == '+' && plus_is_space) {
            c = ' ';
        } else if (c == '%') {
            int high = n - i > 2 ? vx_hex_digit(text[i + 1]) : -1;
            int low = n - i > 2 ? vx_hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return NULL;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (!c)
            return NULL;
        out[length++] = c;
    }
    out[length] = '\0';
    return vx_utf8_is_valid(out, length) ? vx_take(out) : NULL;
}

char *vx_percent_encode(const char *text) {
    static const char hex[] = "0123456789ABCDEF";
    size_t capacity;
    if (!vx_mul(strlen(text), 3, &capacity) || !vx_add(capacity, 1, &capacity))
        return NULL;
    char *out = malloc(capacity);
    if (!out)
        return NULL;
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        bool unreserved = (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') ||
                          (*p >= 'a' && *p <= 'z') || strchr("-._~", *p);
        if (unreserved) {
            out[n++] = (char)*p;
        } else {
            out[n++] = '%';
            out[n++] = hex[*p >> 4];
            out[n++] = hex[*p & 15];
        }
    }
    out[n] = '\0';
    return out;
}

int vx_word_index(const char *words, const char *word) {
    size_t n = strlen(word);
    for (int index = 0; *words; index++) {
        size_t length = strcspn(words, " ");
        if (n && length == n && !memcmp(words, word, n))
            return index;
        words += length + (words[length] == ' ');
    }
    return -1;
}

bool vx_word_in(const char *words, const char *word) {
    return vx_word_index(words, word) >= 0;
}

const char *vx_word_list(const char *words, char *buffer, size_t capacity) {
    size_t n = 0;
    for (; *words && n + 3 < capacity; words++) {
        if (*words == ' ')
            buffer[n++] = ',';
        buffer[n++] = *words;
    }
    buffer[n] = '\0';
    return buffer;
}
