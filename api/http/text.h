/* text.h — UTF-8, percent encoding and word lists.
 *
 * Text from a client is checked strictly: it is valid, or it is refused.
 * Threads: any (pure functions).
 */
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

/* Value of a hexadecimal digit, -1 if it is none. */
int vx_hex_digit(char c);
/* Decodes n bytes of percent-encoded text. plus_is_space: "+" means a space, as in query strings.
 * Gives malloc'ed text. NULL with errno EILSEQ: a % is not followed by two hex digits, or the result
 * contains NUL or is not UTF-8; with ENOMEM: memory ran out. */
char *vx_percent_decode(const char *text, size_t n, bool plus_is_space);
/* Encodes everything but unreserved characters. Gives malloc'ed text, NULL if memory ran out. */
char *vx_percent_encode(const char *text);

/* Whether a space-separated list contains the word. A word with a space in it is in no list. */
bool vx_word_in(const char *words, const char *word);
/* Position of the word in a space-separated list, -1 if it is not there. */
int vx_word_index(const char *words, const char *word);
/* Writes "a b c" as "a, b, c"; a list that does not fit is cut. Returns buffer. */
const char *vx_word_list(const char *words, char *buffer, size_t capacity);
