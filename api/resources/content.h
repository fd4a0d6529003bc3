/* content.h — replies that are a file. Threads: the daemon thread of the request. */
#pragma once

#include <stdint.h>

#include "api/http/request.h"

/* Replies with an open file, whole or one range of it, as the request's conditions ask. Takes fd.
 *   etag      a strong entity tag, with its quotes
 *   filename  what browsers call the file when they save it */
void vx_content_send(vx_request *request, int fd, int64_t size, const char *etag, const char *type,
                     const char *filename);
