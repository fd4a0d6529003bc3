#include "cutter.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/pool.h"

struct vx_cutter {
    vx_cutter_params params;
    atomic_bool stopping;
    vx_pool *thread; /* one */
    int dir_fd;
    char dir[PATH_MAX - 64];
};

/* The span is in it: a video that is read anew may get others. */
static void name_of(const vx_cutting *c, char ret_name[128]) {
    snprintf(ret_name, 128, "%s.%d.%.6f-%.6f%s.mp4", c->video_id, c->index, c->start_s, c->end_s,
             c->may_copy ? ".copy" : "");
}

/* ---- the folder ---- */

/* Calls fn for each file in the folder. */
static void each_file(vx_cutter *cutter, void (*fn)(vx_cutter *, const char *, void *), void *ctx) {
    DIR *dir = opendir(cutter->dir);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            fn(cutter, entry->d_name, ctx);
    if (dir)
        closedir(dir);
}

/* Removes the files whose names begin with a prefix. */
static void remove_named(vx_cutter *cutter, const char *name, void *prefix) {
    if (!strncmp(name, prefix, strlen(prefix)))
        unlinkat(cutter->dir_fd, name, 0);
}

typedef struct survey {
    int64_t bytes;
    char oldest[256];
    struct timespec time;
} survey;

static void add_to_survey(vx_cutter *cutter, const char *name, void *ctx) {
    survey *s = ctx;
    struct stat facts;
    if (fstatat(cutter->dir_fd, name, &facts, 0))
        return;
    s->bytes += facts.st_size;
    bool older = facts.st_mtim.tv_sec < s->time.tv_sec || (facts.st_mtim.tv_sec == s->time.tv_sec &&
                                                           facts.st_mtim.tv_nsec < s->time.tv_nsec);
    if (s->oldest[0] && !older)
        return;
    snprintf(s->oldest, sizeof s->oldest, "%s", name);
    s->time = facts.st_mtim;
}

/* Files that are being sent stay readable: only their names go. */
static void make_room(vx_cutter *cutter) {
    for (;;) {
        survey s = {0};
        each_file(cutter, add_to_survey, &s);
        if (s.bytes <= VX_CUTTER_KEPT_BYTES || unlinkat(cutter->dir_fd, s.oldest, 0))
            return;
    }
}

int vx_cutter_open(vx_cutter *cutter, const vx_cutting *cutting) {
    char name[128];
    name_of(cutting, name);
    int fd = openat(cutter->dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        futimens(fd, NULL); /* asked for just now; a failure ages it, no more */
    return fd;
}

void vx_cutter_forget(vx_cutter *cutter, const char *video_id) {
    char prefix[VX_VIDEO_ID_CHARS + 2];
    snprintf(prefix, sizeof prefix, "%s.", video_id);
    each_file(cutter, remove_named, prefix);
}

/* ---- the thread ---- */

typedef struct cut {
    vx_cutter *cutter;
    vx_cutting *cutting;
} cut;

static bool go_on(void *ctx) {
    const cut *c = ctx;
    return !atomic_load(&c->cutter->stopping) && c->cutting->wanted(c->cutting->ctx);
}

static int check_room(const vx_cutter *cutter, vx_err *err) {
    struct statvfs disk;
    if (fstatvfs(cutter->dir_fd, &disk))
        return VX_FAIL_ERRNO(err, "asking for the room on %s", cutter->dir);
    if ((int64_t)disk.f_bavail * (int64_t)disk.f_frsize < cutter->params.reserve_bytes)
        return VX_FAIL(err, -ENOSPC, "no room for a clip");
    return 0;
}

/* A video that was deleted while its clip was cut must leave nothing behind. */
static int check_stored(const vx_cutter *cutter, const vx_cutting *cutting, vx_err *err) {
    VX_AUTO(vx_video) video = NULL;
    int rc = vx_catalog_get_video(cutter->params.catalog, cutting->video_id, &video, err);
    return rc > 0 ? VX_FAIL(err, VX_CUTTER_GONE, "the video was deleted") : rc;
}

static int make(vx_cutter *cutter, vx_cutting *c, vx_err *err) {
    cut job = {cutter, c};
    char name[128], scratch[PATH_MAX];
    name_of(c, name);
    snprintf(scratch, sizeof scratch, "%s/new.mp4", cutter->dir);
    const vx_media_cut_params want = {.start_s = c->start_s,
                                      .end_s = c->end_s,
                                      .encoder = cutter->params.encoder,
                                      .may_copy = c->may_copy,
                                      .table_path = c->table_path,
                                      .keep_going = go_on,
                                      .ctx = &job};
    vx_media_cut_info info;
    int64_t start_us = vx_clock_monotonic_us();
    int rc = go_on(&job) ? check_room(cutter, err)
                         : VX_FAIL(err, VX_MEDIA_STOPPED, "nobody waits for the clip any more");
    if (!rc)
        rc = vx_media_cut_clip(c->file.path, &cutter->params.limits, &want, scratch, &info, err);
    if (rc)
        return rc;
    if (renameat(cutter->dir_fd, "new.mp4", cutter->dir_fd, name))
        return VX_FAIL_ERRNO(err, "naming a clip's file");
    rc = check_stored(cutter, c, err);
    if (rc) {
        unlinkat(cutter->dir_fd, name, 0);
        return rc;
    }
    vx_log(VX_LOG_INFO, "cut", "clip=%s.%d frames=%lld by=%s ms=%.1f", c->video_id, c->index,
           (long long)info.n_frames, info.copied ? "copy" : info.encoder,
           (double)(vx_clock_monotonic_us() - start_us) / 1e3);
    c->fd = vx_cutter_open(cutter, c);
    if (c->fd < 0)
        return VX_FAIL_ERRNO(err, "opening a clip's file");
    make_room(cutter);
    return 0;
}

static void run(void *ctx, void *item) {
    vx_cutter *cutter = ctx;
    vx_cutting *c = item;
    c->fd = vx_cutter_open(cutter, c); /* another request may have had it made */
    c->rc = c->fd >= 0 ? 0 : make(cutter, c, &c->err);
    c->done(c->ctx);
}

bool vx_cutter_submit(vx_cutter *cutter, vx_cutting *cutting) {
    return vx_pool_try_push(cutter->thread, cutting);
}

/* ---- start and stop ---- */

static int open_dir(vx_cutter *cutter, const char *data_dir, vx_err *err) {
    char every[] = "";
    if (snprintf(cutter->dir, sizeof cutter->dir, "%s/clips", data_dir) >= (int)sizeof cutter->dir)
        return VX_FAIL(err, -ENAMETOOLONG, "%s is too long a path", data_dir);
    if (mkdir(cutter->dir, 0750) && errno != EEXIST)
        return VX_FAIL_ERRNO(err, "making %s", cutter->dir);
    cutter->dir_fd = open(cutter->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cutter->dir_fd < 0)
        return VX_FAIL_ERRNO(err, "opening %s", cutter->dir);
    each_file(cutter, remove_named, every);
    return 0;
}

int vx_cutter_start(const vx_cutter_params *params, vx_cutter **ret_cutter, vx_err *err) {
    VX_AUTO(vx_cutter) cutter = vx_new(vx_cutter);
    if (!cutter)
        return VX_FAIL(err, -ENOMEM, "no memory for the cutter");
    cutter->params = *params;
    cutter->dir_fd = -1;
    const vx_pool_params pool = {.name = "vx-cutter",
                                 .n_threads = 1,
                                 .capacity = VX_CUTTER_WAITING,
                                 .run = run,
                                 .ctx = cutter};
    int rc = open_dir(cutter, params->data_dir, err);
    if (!rc)
        rc = vx_pool_new(&pool, &cutter->thread, err);
    if (!rc)
        *ret_cutter = vx_take(cutter);
    return rc;
}

void vx_cutter_begin_stop(vx_cutter *cutter) {
    atomic_store(&cutter->stopping, true);
}

vx_cutter *vx_cutter_stop(vx_cutter *cutter) {
    if (!cutter)
        return NULL;
    vx_cutter_begin_stop(cutter);
    vx_pool_free(cutter->thread); /* what waits is run, and told that we stop */
    if (cutter->dir_fd >= 0)
        close(cutter->dir_fd);
    free(cutter);
    return NULL;
}
