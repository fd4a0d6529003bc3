/* atomic.h — C's atomic types, also in a header that C++ reads (before C++23 it has no stdatomic.h). */
#pragma once

#ifdef __cplusplus
#include <atomic>
using std::atomic_bool;
using std::atomic_int;
using std::atomic_llong;
using std::atomic_size_t;
using std::atomic_ullong;
#else
#include <stdatomic.h>
#endif
