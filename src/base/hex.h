/* hex.h — bytes as lower-case hexadecimal: digests and random ids. Threads: any (pure functions). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ret_text: 2 n characters and a NUL. */
void vx_hex_encode(const uint8_t *bytes, size_t n, char *ret_text);
/* Text of exactly 2 n digits, lower case, into n bytes; false for any other, ret_bytes then
 * undefined. */
bool vx_hex_decode(const char *text, size_t n, uint8_t *ret_bytes);
