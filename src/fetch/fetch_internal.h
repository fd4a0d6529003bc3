/* fetch_internal.h — what fetch.c and service.c share. */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>

#include "base/err.h"

/* Starts libcurl, once in the process. 0 or -EIO. Threads: any. */
int vx_fetch_start(vx_err *err);

/* Whether the comma separated list has the host, or "*." and a name that it lies below. */
bool vx_fetch_lists(const char *list, const char *host);
