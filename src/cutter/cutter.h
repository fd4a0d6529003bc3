/* cutter.h — clips as files of their own, made when somebody asks and kept for a while.
 *
 * <data>/clips/<video>.<index>.<start>-<end>[.copy].mp4 is derived: emptied at every start, files of a deleted
 * video go with it, and beyond a GiB the file that was not asked for longest goes first. One clip is
 * cut at a time, by one thread; so many may wait, more are refused.
 *
 * Threads: vx_cutter_open, _submit and _forget from any; done runs on the cutter's thread.
 */
#pragma once

#include <limits.h>

#include "catalog/catalog.h"
#include "media/media.h"
#include "store/store.h"

#define VX_CUTTER_WAITING 32
#define VX_CUTTER_KEPT_BYTES ((int64_t)1 << 30)

typedef struct vx_cutting {
    char video_id[VX_VIDEO_ID_CHARS + 1];
    vx_stored_file file;       /* of the stored video; the caller releases it after done */
    char table_path[PATH_MAX]; /* of its packet table, see media.h */
    int index;                 /* of the clip */
    double start_s, end_s;
    bool may_copy;
    bool (*wanted)(void *ctx); /* asked once a frame on the cutter's thread */
    void (*done)(void *ctx);   /* called once; the cutting is the caller's again */
    void *ctx;

    int rc; /* 0, vx_media_outcome, VX_CUTTER_GONE or -errno; see err */
    int fd; /* on 0: the file, open for reading; the caller closes it */
    vx_err err;
} vx_cutting;
enum { VX_CUTTER_GONE = VX_CODES_CUTTER }; /* the video was deleted meanwhile */

typedef struct vx_cutter vx_cutter;

typedef struct vx_cutter_params { /* borrows all, for the cutter's life */
    vx_catalog *catalog;
    const char *data_dir;
    const char *encoder;   /* FFmpeg's name of one; NULL = auto */
    int64_t reserve_bytes; /* free space kept on the data disk; 0 = none */
    vx_media_limits limits;
} vx_cutter_params;

int vx_cutter_start(const vx_cutter_params *params, vx_cutter **ret_cutter, vx_err *err);
/* From here on what runs is stopped, and what waits is answered with VX_MEDIA_STOPPED. */
void vx_cutter_begin_stop(vx_cutter *cutter);
/* NULL-safe. */
vx_cutter *vx_cutter_stop(vx_cutter *cutter);
VX_DEFINE_AUTO(vx_cutter, vx_cutter_stop)
/* A file that is kept, open for reading; -1 when there is none. */
int vx_cutter_open(vx_cutter *cutter, const vx_cutting *cutting);
/* False when too many wait or the server stops: done is not called. */
bool vx_cutter_submit(vx_cutter *cutter, vx_cutting *cutting);
/* Removes what was cut from a deleted video. */
void vx_cutter_forget(vx_cutter *cutter, const char *video_id);
