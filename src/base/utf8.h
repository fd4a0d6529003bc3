/* utf8.h — what is well-formed UTF-8, and a way to show what is not. Threads: any (pure functions). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Length (1..4) of the well-formed UTF-8 character at p, 0 if there is none. n > 0. */
size_t vx_utf8_step(const unsigned char *p, size_t n);
/* Whether all n bytes are well-formed UTF-8. */
bool vx_utf8_is_valid(const char *text, size_t n);
/* Whether the text is well-formed UTF-8 without control characters (U+0000..1F, 7F..9F). */
bool vx_utf8_is_plain(const char *text);
/* Number of characters (code points) in well-formed UTF-8. */
size_t vx_utf8_length(const char *text);
/* The name of a file as people may read it: U+FFFD for each control character and for each byte that is not UTF-8.
 * Gives malloc'ed text; NULL: no memory. */
char *vx_utf8_show(const char *bytes);
