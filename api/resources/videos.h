/* videos.h — finding the video that a request names. Threads: the daemon thread of the request. */
#pragma once

#include <stdbool.h>

#include "api/http/request.h"
#include "base/err.h"
#include "catalog/catalog.h"
#include "store/store.h"

#define VX_MAX_FILENAME_CHARS 255

/* Whether a video may have this file name; false after a reply. */
bool vx_videos_check_filename(vx_request *request, const char *name);
/* The stored video whose id is args[0]. Gives it; NULL after a reply. */
vx_video *vx_videos_find(vx_request *request);
/* The same; 404 too if it was imported without its file. */
vx_video *vx_videos_find_with_file(vx_request *request);
/* Where to read the file of a video that was found; false after a reply: it lies in place, and is not there now. */
bool vx_videos_find_file(vx_request *request, const vx_video *video, vx_stored_file *ret_file);
/* The file of a video that was found cannot be read. Replies 404 if the video was deleted meanwhile
 * (its file is removed last), else with the failure. */
void vx_videos_reply_lost(vx_request *request, const vx_err *err);
