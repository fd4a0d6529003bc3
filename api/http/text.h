/* text.h — percent encoding and word lists; UTF-8 (base/utf8.h).
 *
 * Text from a client is checked strictly: it is valid, or it is refused.
 * Threads: any (pure functions).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/utf8.h"

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
