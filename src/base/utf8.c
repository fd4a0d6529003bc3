#include "utf8.h"

#include <string.h>

#include "mem.h"

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

static bool is_control(const unsigned char *p, size_t step) {
    return *p < 0x20 || *p == 0x7F || (step == 2 && *p == 0xC2 && p[1] < 0xA0);
}

bool vx_utf8_is_plain(const char *text) {
    const unsigned char *p = (const unsigned char *)text;
    size_t left = strlen(text);
    while (left) {
        size_t step = vx_utf8_step(p, left);
        if (!step || is_control(p, step))
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

char *vx_utf8_show(const char *bytes) {
    static const char mark[] = "\xEF\xBF\xBD";
    size_t left = strlen(bytes), room;
    const unsigned char *p = (const unsigned char *)bytes;
    char *text =
        vx_mul(left, sizeof mark - 1, &room) && vx_add(room, 1, &room) ? malloc(room) : NULL;
    char *to = text;
    while (text && left) {
        size_t step = vx_utf8_step(p, left);
        bool shown = step && !is_control(p, step);
        size_t n = shown ? step : sizeof mark - 1;
        memcpy(to, shown ? (const char *)p : mark, n);
        to += n;
        p += step ? step : 1;
        left -= step ? step : 1;
    }
    if (text)
        *to = '\0';
    return text;
}
