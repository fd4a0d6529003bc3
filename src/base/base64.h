/* base64.h — RFC 4648 base64 with padding, strict: no line breaks, no other alphabet.
 *
 * Threads: any (pure functions).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* n characters to bytes: ret_bytes has room for n / 4 * 3. A long text may be decoded in parts of a
 * multiple of 4 characters; `last` says that padding may end this one. False: not base64. */
bool vx_base64_decode(const char *text, size_t n, bool last, uint8_t *ret_bytes, size_t *ret_n);

/* Characters that n bytes become, without a final NUL. */
static inline size_t vx_base64_length(size_t n) {
    return (n + 2) / 3 * 4;
}
/* ret_text has room for vx_base64_length(n) + 1 and ends with NUL. */
void vx_base64_encode(const void *bytes, size_t n, char *ret_text);
