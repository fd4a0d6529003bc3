#include "api/http/text.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

size_t vx_utf8_step(const unsigned char *p, size_t n) {
    /* The range of the second byte excludes overlong forms, surrogates and values above U+10FFFF. */
    static const struct {
        unsigned char lead_min, lead_max, second_min, second_max, length;
    } forms[] = {
        {0x00, 0x7F, 0, 0, 1},       {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
        {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
        {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    for (size_t i = 0; i < VX_LEN(forms); i++) {
        if (p[0] < forms[i].lead_min || p[0] > forms[i].lead_max)
            continue;
        size_t length = forms[i].length;
        if (length > n)
            return 0;
        if (length > 1 && (p[1] < forms[i].second_min || p[1] > forms[i].second_max))
            return 0;
        for (size_t k = 2; k < length; k++)
            if ((p[k] & 0xC0) != 0x80)
                return 0;
        return length;
    }
    return 0;
}

bool vx_utf8_is_valid(const char *text, size_t n) {
    for (size_t at = 0, step; at < n; at += step)
        if (!(step = vx_utf8_step((const unsigned char *)text + at, n - at)))
            return false;
    return true;
}

bool vx_utf8_is_plain(const char *text) {
    const unsigned char *p = (const unsigned char *)text;
    size_t left = strlen(text);
    while (left) {
        size_t step = vx_utf8_step(p, left);
        bool control = *p < 0x20 || *p == 0x7F || (step == 2 && *p == 0xC2 && p[1] < 0xA0);
        if (!step || control)
            return false;
        p += step;
        left -= step;
    }
    return true;
}

size_t vx_utf8_length(const char *text) {
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80; /* all but continuation bytes */
    return n;
}

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
