/* thread.h — mutexes, conditions and threads that clang's -Wthread-safety can check.
 *
 * Fields that a lock protects carry VX_GUARDED; functions that want it held end in `_locked` and
 * carry VX_REQUIRES(lock). gcc ignores the annotations.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"

#if defined(__clang__)
#define VX_ATTRIBUTE(x) __attribute__((x))
#else
#define VX_ATTRIBUTE(x)
#endif
#define VX_CAPABILITY VX_ATTRIBUTE(capability("mutex"))
#define VX_GUARDED VX_ATTRIBUTE(guarded_var)
#define VX_REQUIRES(lock) VX_ATTRIBUTE(requires_capability(lock))
#define VX_ACQUIRES(lock) VX_ATTRIBUTE(acquire_capability(lock))
#define VX_REQUIRES_SHARED(lock) VX_ATTRIBUTE(requires_shared_capability(lock))
#define VX_ACQUIRES_SHARED(lock) VX_ATTRIBUTE(acquire_shared_capability(lock))
#define VX_RELEASES_SHARED(lock) VX_ATTRIBUTE(release_shared_capability(lock))
#define VX_RELEASES(lock) VX_ATTRIBUTE(release_capability(lock))
#define VX_NO_LOCK_ANALYSIS VX_ATTRIBUTE(no_thread_safety_analysis)

typedef struct VX_CAPABILITY vx_mutex {
    pthread_mutex_t raw;
} vx_mutex;

typedef struct vx_cond {
    pthread_cond_t raw; /* on CLOCK_MONOTONIC */
} vx_cond;

void vx_mutex_init(vx_mutex *mutex);
void vx_mutex_done(vx_mutex *mutex);
void vx_mutex_lock(vx_mutex *mutex) VX_ACQUIRES(mutex);
void vx_mutex_unlock(vx_mutex *mutex) VX_RELEASES(mutex);

/* Readers beside each other, a writer alone. Writers go first: readers that come all the time would
 * let one wait for ever by glibc's default. So no thread may take one for reading twice. */
typedef struct VX_CAPABILITY vx_rwlock {
    pthread_rwlock_t raw;
} vx_rwlock;

void vx_rwlock_init(vx_rwlock *lock);
void vx_rwlock_done(vx_rwlock *lock);
void vx_rwlock_read(vx_rwlock *lock) VX_ACQUIRES_SHARED(lock);
void vx_rwlock_end_read(vx_rwlock *lock) VX_RELEASES_SHARED(lock);
void vx_rwlock_write(vx_rwlock *lock) VX_ACQUIRES(lock);
void vx_rwlock_end_write(vx_rwlock *lock) VX_RELEASES(lock);

void vx_cond_init(vx_cond *cond);
void vx_cond_done(vx_cond *cond);
void vx_cond_wait(vx_cond *cond, vx_mutex *mutex) VX_REQUIRES(mutex);
/* until_us is vx_clock_monotonic_us() time; false = it passed. */
bool vx_cond_wait_until(vx_cond *cond, vx_mutex *mutex, int64_t until_us) VX_REQUIRES(mutex);
void vx_cond_signal(vx_cond *cond);
void vx_cond_broadcast(vx_cond *cond);

/* name: up to 15 characters, shown by top -H and gdb. The new thread blocks all signals: the main
 * thread handles them. Returns 0 or -errno. */
int vx_thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *), void *ctx,
                    vx_err *err);

/* Cores this process may use. */
int vx_thread_cores(void);
