/* trace.c — see the header. */
#include "trace.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "thread.h"

static vx_mutex lock = {PTHREAD_MUTEX_INITIALIZER};
static FILE *file VX_GUARDED;
static atomic_bool is_on;

int vx_trace_open(const char *path, vx_err *err) {
    FILE *opened = fopen(path, "we");
    if (!opened)
        return VX_FAIL_ERRNO(err, "the trace file %s cannot be written", path);
    fputs("[\n", opened);
    vx_mutex_lock(&lock);
    file = opened;
    vx_mutex_unlock(&lock);
    is_on = true;
    return 0;
}

int vx_trace_close(vx_err *err) {
    is_on = false;
    vx_mutex_lock(&lock);
    FILE *open = file;
    file = NULL;
    vx_mutex_unlock(&lock);
    if (!open)
        return 0;
    fprintf(open,
            "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":%d,\"args\":{\"name\":\"vidx\"}}\n]\n",
            getpid());
    int failed = ferror(open);
    if (fclose(open) || failed)
        return VX_FAIL(err, -EIO, "the trace file could not be written whole");
    return 0;
}

int64_t vx_trace_begin(void) {
    return is_on ? vx_clock_monotonic_us() : 0;
}

/* Tells the viewer the name of a thread, with its first span. */
static void name_thread_locked(void) VX_REQUIRES(lock) {
    static _Thread_local bool is_named;
    char name[16];
    if (is_named || pthread_getname_np(pthread_self(), name, sizeof name))
        return;
    is_named = true;
    fprintf(file,
            "{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"args\":{\"name\":\"%"
            "s\"}},\n",
            getpid(), gettid(), name);
}

void vx_trace_end(const char *name, int64_t begun_us) {
    if (!begun_us || !is_on)
        return;
    int64_t now_us = vx_clock_monotonic_us();
    vx_mutex_lock(&lock);
    if (file) {
        name_thread_locked();
        fprintf(file,
                "{\"name\":\"%s\",\"ph\":\"X\",\"ts\":%lld,\"dur\":%lld,\"pid\":%d,\"tid\":%d},\n",
                name, (long long)begun_us, (long long)(now_us - begun_us), getpid(), gettid());
    }
    vx_mutex_unlock(&lock);
}
