/* text.h — UTF-8 and percent encoding, strict: what came from a client is valid or refused.
 *
 * Threads: any (pure functions).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the well-formed UTF-8 character at p (1..4), 0 when it is not one. n > 0. */
size_t vx_utf8_step(const unsigned char *p, size_t n);
/* Well-formed throughout, without control characters (U+0000..1F, 7F..9F). */
bool vx_utf8_is_plain(const char *text);

/* Decodes n bytes of percent-encoded text. plus_is_space: the rule of query strings.
 * Gives malloc'ed text; NULL when a % is not followed by two hex digits, or the result holds NUL or
 * is not UTF-8 (or memory ran out). */
char *vx_percent_decode(const char *text, size_t n, bool plus_is_space);
/* Encodes everything but unreserved characters; gives malloc'ed text or NULL. */
char *vx_percent_encode(const char *text);
