#include "thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <time.h>

void vx_mutex_init(vx_mutex *mutex) {
    pthread_mutex_init(&mutex->raw, NULL);
}

void vx_mutex_done(vx_mutex *mutex) {
    pthread_mutex_destroy(&mutex->raw);
}

void vx_mutex_lock(vx_mutex *mutex) VX_NO_LOCK_ANALYSIS {
    pthread_mutex_lock(&mutex->raw);
}

void vx_mutex_unlock(vx_mutex *mutex) VX_NO_LOCK_ANALYSIS {
    pthread_mutex_unlock(&mutex->raw);
}

void vx_rwlock_init(vx_rwlock *lock) {
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&lock->raw, &attributes);
    pthread_rwlockattr_destroy(&attributes);
}

void vx_rwlock_done(vx_rwlock *lock) {
    pthread_rwlock_destroy(&lock->raw);
}

void vx_rwlock_read(vx_rwlock *lock) VX_NO_LOCK_ANALYSIS {
    pthread_rwlock_rdlock(&lock->raw);
}

void vx_rwlock_end_read(vx_rwlock *lock) VX_NO_LOCK_ANALYSIS {
    pthread_rwlock_unlock(&lock->raw);
}

void vx_rwlock_write(vx_rwlock *lock) VX_NO_LOCK_ANALYSIS {
    pthread_rwlock_wrlock(&lock->raw);
}

void vx_rwlock_end_write(vx_rwlock *lock) VX_NO_LOCK_ANALYSIS {
    pthread_rwlock_unlock(&lock->raw);
}

void vx_cond_init(vx_cond *cond) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&cond->raw, &attributes);
    pthread_condattr_destroy(&attributes);
}

void vx_cond_done(vx_cond *cond) {
    pthread_cond_destroy(&cond->raw);
}

void vx_cond_wait(vx_cond *cond, vx_mutex *mutex) {
    pthread_cond_wait(&cond->raw, &mutex->raw);
}

bool vx_cond_wait_until(vx_cond *cond, vx_mutex *mutex, int64_t until_us) {
    struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
    return pthread_cond_timedwait(&cond->raw, &mutex->raw, &until) != ETIMEDOUT;
}

void vx_cond_signal(vx_cond *cond) {
    pthread_cond_signal(&cond->raw);
}

void vx_cond_broadcast(vx_cond *cond) {
    pthread_cond_broadcast(&cond->raw);
}

int vx_thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *), void *ctx,
                    vx_err *err) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(ret_thread, NULL, run, ctx);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc)
        return VX_FAIL(err, -rc, "starting thread %s: %s", name, strerror(rc));
    pthread_setname_np(*ret_thread, name);
    return 0;
}

int vx_thread_cores(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set))
        return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? n : 1;
}
