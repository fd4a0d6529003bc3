/* header.h — parameters of header fields, such as filename in `form-data; name=file; filename="a b"`.
 *
 * Accepts what clients really send: any case of the parameter's name, values with and without quotes,
 * \" and \\ inside quotes, %22 for a quote (browsers and curl), and the extended form of RFC 5987,
 * name*=UTF-8''percent-encoded, which wins over the plain one.
 *
 * Threads: any (pure functions).
 */
#pragma once

#include <stdbool.h>

/* Gives the parameter's value (free()); NULL if the field has no such parameter. False: a quote is not
 * closed (errno EILSEQ), or memory ran out (ENOMEM). field: the text after the header's name and colon. */
bool vx_header_param(const char *field, const char *name, char **ret_value);
