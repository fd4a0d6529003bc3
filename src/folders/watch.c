/* watch.c — walks when something is heard or due: the thread that keeps the rows right. */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "folders_internal.h"

#define S_US INT64_C(1000000)
#define SETTLE_US (S_US / 2)        /* events come in bursts: what they say is looked at once */
#define AWAY_US (30 * S_US)         /* whether a folder is there again */
#define LIMITED_US (15 * 60 * S_US) /* between walks where changes are not heard */
#define TIDY_US (3600 * S_US)
#define AFTER_FAILURE_US (30 * S_US)

/* ---- walking ---- */

static int look_at(vx_folders *all, vx_folder *folder, vx_texts *dirs, bool deep, vx_err *err) {
    int rc = 0;
    for (size_t i = 0; i < dirs->n && !rc; i++) {
        bool elsewhere = false;
        rc = vx_folder_walk_dir(all, folder, dirs->items[i], deep, &elsewhere, err);
        if (elsewhere)
            folder->next_walk_us = 0;
    }
    vx_texts_clear(dirs);
    return rc;
}

/* Between walks of all of it. */
static int64_t interval_us(vx_folders *all, vx_folder *folder) {
    vx_mutex_lock(&all->mu);
    bool is_there = folder->health == VX_FOLDER_READY, limited = folder->limited;
    vx_mutex_unlock(&all->mu);
    int64_t every_us = all->params.walk_every_us;
    if (!is_there)
        return AWAY_US < every_us ? AWAY_US : every_us;
    return limited && LIMITED_US < every_us ? LIMITED_US : every_us;
}

static int walk_all(vx_folders *all, vx_folder *folder, bool accept_empty, vx_err *err) {
    vx_texts_clear(&folder->dirty);
    vx_texts_clear(&folder->fresh);
    vx_mutex_lock(&all->mu);
    folder->walking = true;
    folder->limited = all->inotify_fd < 0;
    vx_mutex_unlock(&all->mu);
    int rc = vx_folder_walk_all(all, folder, accept_empty, err);
    vx_mutex_lock(&all->mu);
    folder->walking = false;
    vx_mutex_unlock(&all->mu);
    folder->next_walk_us =
        vx_clock_monotonic_us() + (rc ? AFTER_FAILURE_US : interval_us(all, folder));
    return rc;
}

static void look_at_folder(vx_folders *all, vx_folder *folder) {
    vx_err err;
    vx_mutex_lock(&all->mu);
    bool asked = folder->walk_asked, accept_empty = folder->accept_empty;
    folder->walk_asked = folder->accept_empty = false;
    vx_mutex_unlock(&all->mu);
    int rc;
    if (asked || folder->next_walk_us <= vx_clock_monotonic_us()) {
        rc = walk_all(all, folder, accept_empty, &err);
    } else {
        rc = look_at(all, folder, &folder->fresh, true, &err);
        if (!rc)
            rc = look_at(all, folder, &folder->dirty, false, &err);
        if (rc) /* what was heard is lost */
            folder->next_walk_us = vx_clock_monotonic_us() + AFTER_FAILURE_US;
    }
    if (rc && rc != -ESHUTDOWN)
        vx_log_failed(VX_LOG_ERROR, "folders", &err, "folder=%s", folder->row.name);
}

/* ---- the thread ---- */

static void tidy(vx_folders *all, int64_t *due_us) {
    vx_err err;
    int rc = vx_folders_empty_into_trash(all, &err);
    bool asked = atomic_exchange(&all->tidy_asked, false);
    if (!rc && (asked || *due_us <= vx_clock_monotonic_us())) {
        rc = vx_folders_expire(all, &err);
        int64_t every_us = all->params.keep_us < TIDY_US ? all->params.keep_us : TIDY_US;
        *due_us = vx_clock_monotonic_us() + (every_us > S_US ? every_us : S_US);
    }
    if (rc && rc != -ESHUTDOWN)
        vx_log_failed(VX_LOG_WARN, "folders", &err, "task=tidy");
}

/* Until something is heard or due. */
static void wait_for_more(vx_folders *all, int64_t tidy_due_us) {
    uint64_t count;
    int64_t due_us = tidy_due_us, now_us = vx_clock_monotonic_us();
    for (size_t i = 0; i < all->n; i++)
        if (all->items[i].next_walk_us < due_us)
            due_us = all->items[i].next_walk_us;
    int64_t wait_ms = due_us > now_us ? (due_us - now_us) / 1000 + 1 : 0;
    struct pollfd polled[] = {{.fd = all->wake_fd, .events = POLLIN},
                              {.fd = all->inotify_fd, .events = POLLIN}};
    poll(polled, 2, wait_ms < 60000 ? (int)wait_ms : 60000);
    while (read(all->wake_fd, &count, sizeof count) > 0)
        continue;
    if (vx_folders_hear(all) && !atomic_load(&all->stopping)) {
        poll(polled, 1, (int)(SETTLE_US / 1000));
        vx_folders_hear(all);
    }
}

void *vx_folders_run_watcher(void *ctx) {
    vx_folders *all = ctx;
    int64_t tidy_due_us = 0;
    vx_folders_listen(all);
    while (!atomic_load(&all->stopping)) {
        for (size_t i = 0; i < all->n && !atomic_load(&all->stopping); i++)
            look_at_folder(all, &all->items[i]);
        if (!atomic_load(&all->stopping))
            tidy(all, &tidy_due_us);
        wait_for_more(all, tidy_due_us);
    }
    vx_folders_unwatch(all);
    return NULL;
}
