/* inotify.c — hears in which folders something happened.
 *
 * An event says in which folder something happened, no more: that folder is then compared with its rows, as a walk
 * does. So an event that comes late, twice or out of order does no harm, and one that is lost costs time alone: when
 * the kernel's queue overflows, or watches run out, everything is walked. */
#include <errno.h>
#include <string.h>
#include <sys/inotify.h>

#include "base/log.h"
#include "folders_internal.h"

#define DIRTY_MAX 1000 /* folders: of more, all is walked */

#define EVENTS                                                                                     \
    (IN_CLOSE_WRITE | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |            \
     IN_DELETE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK)

typedef struct vx_watch {
    vx_folder *folder; /* borrows; NULL: no such watch */
    char *dir;         /* owned */
} vx_watch;

/* ---- watches, by the number that inotify gave them ---- */

static void forget_watch(vx_folders *all, size_t wd) {
    if (wd >= all->n_watches || !all->watches[wd].folder)
        return;
    vx_mutex_lock(&all->mu);
    all->watches[wd].folder->watches--;
    vx_mutex_unlock(&all->mu);
    free(all->watches[wd].dir);
    all->watches[wd] = (vx_watch){0};
}

static bool remember_watch(vx_folders *all, size_t wd, vx_folder *folder, const char *dir) {
    if (wd >= all->n_watches) {
        size_t n = 2 * wd + 64;
        vx_watch *grown = vx_regrow(all->watches, n, sizeof *grown);
        if (!grown)
            return false;
        memset(grown + all->n_watches, 0, (n - all->n_watches) * sizeof *grown);
        all->watches = grown;
        all->n_watches = n;
    }
    char *copy = strdup(dir);
    if (!copy)
        return false;
    forget_watch(all, wd); /* a folder that has moved keeps its number */
    all->watches[wd] = (vx_watch){folder, copy};
    vx_mutex_lock(&all->mu);
    folder->watches++;
    vx_mutex_unlock(&all->mu);
    return true;
}

void vx_folder_watch(vx_folders *all, vx_folder *folder, const char *dir, int fd) {
    char path[64];
    if (all->inotify_fd < 0)
        return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int wd = inotify_add_watch(all->inotify_fd, path, EVENTS);
    bool heard = wd >= 0 && remember_watch(all, (size_t)wd, folder, dir);
    bool is_news = false;
    if (!heard) {
        vx_mutex_lock(&all->mu);
        is_news = !folder->limited;
        folder->limited = true;
        vx_mutex_unlock(&all->mu);
    }
    if (is_news)
        vx_log(VX_LOG_WARN, "folders",
               "folder=%s watches=limited reason=\"%s\" hint=\"raise fs.inotify.max_user_watches "
               "with sysctl; until then changes are found by a walk every 15 minutes\"",
               folder->row.name, strerror(errno));
}

/* ---- what was heard ---- */

static void mark(vx_folders *all, vx_folder *folder, vx_texts *texts, const char *dir) {
    for (size_t i = 0; i < texts->n; i++)
        if (!strcmp(texts->items[i], dir))
            return;
    if (texts->n >= DIRTY_MAX || !vx_texts_add(texts, dir)) {
        vx_mutex_lock(&all->mu);
        folder->walk_asked = true;
        vx_mutex_unlock(&all->mu);
    }
}

static void take_event(vx_folders *all, const struct inotify_event *event) {
    char path[PATH_MAX];
    if (event->mask & IN_Q_OVERFLOW) {
        for (size_t i = 0; i < all->n; i++)
            mark(all, &all->items[i], &all->items[i].fresh, "");
        return;
    }
    size_t wd = (size_t)event->wd;
    if (event->wd < 0 || wd >= all->n_watches || !all->watches[wd].folder)
        return;
    vx_folder *folder = all->watches[wd].folder;
    const char *dir = all->watches[wd].dir;
    if (event->mask & (IN_UNMOUNT | IN_IGNORED)) {
        if (event->mask & IN_UNMOUNT || !*dir)
            folder->next_walk_us = 0;
        if (event->mask & IN_IGNORED)
            forget_watch(all, wd);
        return;
    }
    mark(all, folder, &folder->dirty, dir);
    bool is_new_folder = event->mask & IN_ISDIR && event->mask & (IN_CREATE | IN_MOVED_TO);
    if (is_new_folder && event->len && !vx_below_join(dir, event->name, path))
        mark(all, folder, &folder->fresh, path);
    if (event->len && !strcmp(event->name, ".nomedia"))
        mark(all, folder, &folder->fresh, dir);
}

/* True: there were events. */
bool vx_folders_hear(vx_folders *all) {
    char bytes[64 * 1024] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool any = false;
    for (ssize_t n; all->inotify_fd >= 0 && (n = read(all->inotify_fd, bytes, sizeof bytes)) > 0;) {
        any = true;
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *event = (const void *)(bytes + at);
            take_event(all, event);
            at += (ssize_t)sizeof *event + event->len;
        }
    }
    return any;
}

void vx_folders_unwatch(vx_folders *all) {
    for (size_t wd = 0; wd < all->n_watches; wd++)
        free(all->watches[wd].dir);
    free(all->watches);
    all->watches = NULL;
    all->n_watches = 0;
    if (all->inotify_fd >= 0)
        close(all->inotify_fd);
    all->inotify_fd = -1;
}

void vx_folders_listen(vx_folders *all) {
    all->inotify_fd = all->n ? inotify_init1(IN_CLOEXEC | IN_NONBLOCK) : -1;
    if (all->n && all->inotify_fd < 0)
        vx_log(VX_LOG_WARN, "folders", "inotify=none reason=\"%s\"", strerror(errno));
}
