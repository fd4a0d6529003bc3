/* mem.h — scope-bound cleanup, ownership transfer and overflow-checked sizes.
 *
 *   VX_AUTO(vx_video) v = NULL;      freed at the end of the scope
 *   *ret_video = vx_take(v);         handed over; v is NULL afterwards
 *
 * A type joins with VX_DEFINE_AUTO(type, free_function) in its header. A function uses VX_AUTO or
 * one forward `goto fail`, never both: clang rejects a goto over a cleanup variable and gcc runs
 * the cleanup on an uninitialised pointer. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define VX_DEFINE_AUTO(type, free_function)                                                        \
    static inline void type##_auto(type **slot) {                                                  \
        if (*slot)                                                                                 \
            free_function(*slot);                                                                  \
    }
#define VX_AUTO(type) __attribute__((cleanup(type##_auto))) type *

/* Plain malloc'ed memory of any pointer type: VX_AUTO_FREE char *text = NULL; */
static inline void vx_auto_free(void *slot) {
    free(*(void **)slot);
}
#define VX_AUTO_FREE __attribute__((cleanup(vx_auto_free)))

/* A file descriptor: VX_AUTO_FD int fd = -1; */
static inline void vx_auto_close(int *fd) {
    if (*fd >= 0)
        close(*fd);
}
#define VX_AUTO_FD __attribute__((cleanup(vx_auto_close)))

#define vx_take(pointer)                                                                           \
    ({                                                                                             \
        __typeof__(pointer) vx_taken_ = (pointer);                                                 \
        (pointer) = NULL;                                                                          \
        vx_taken_;                                                                                 \
    })

/* Size arithmetic for anything a client or a file influences; true = the result fits. */
static inline bool vx_mul(size_t a, size_t b, size_t *ret) {
    return !__builtin_mul_overflow(a, b, ret);
}
static inline bool vx_add(size_t a, size_t b, size_t *ret) {
    return !__builtin_add_overflow(a, b, ret);
}

/* calloc/realloc of n elements; NULL on overflow or out of memory, errno ENOMEM. The caller gives
 * the memory back with free(). vx_regrow leaves the old block valid when it fails. */
void *vx_new_array(size_t n, size_t element_bytes);
void *vx_regrow(void *block, size_t n, size_t element_bytes);

/* Room for one more behind the n elements of an array that grows by doubling; false: no memory, and
 * nothing has changed. `items` is the pointer itself, `capacity` a size_t, both zero at first. */
#define vx_make_room(items, n, capacity)                                                           \
    ((n) < (capacity) || ({                                                                        \
         size_t vx_wanted_ = (capacity) ? 2 * (capacity) : 64;                                     \
         void *vx_grown_ = vx_regrow((items), vx_wanted_, sizeof *(items));                        \
         if (vx_grown_) {                                                                          \
             (items) = vx_grown_;                                                                  \
             (capacity) = vx_wanted_;                                                              \
         }                                                                                         \
         vx_grown_ != NULL;                                                                        \
     }))

/* The struct of `type` whose member `member` this points to. */
#define VX_CONTAINER_OF(pointer, type, member)                                                     \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define vx_new(type) ((type *)calloc(1, sizeof(type)))
#define VX_LEN(array) (sizeof(array) / sizeof((array)[0]))
