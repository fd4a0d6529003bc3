/* work.c — threads for one call, random numbers, and sums that do not depend on the processor. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/simd.h"
#include "base/thread.h"
#include "cluster_internal.h"

/* ---- threads ---- */

#define WATCH_US 100000
enum { MAX_THREADS = 256 };

typedef struct crew {
    const vx_cluster_work *work;
    atomic_size_t next, done;
    atomic_bool stop;
    vx_mutex mu;
    vx_cond ended;
    int n_working VX_GUARDED;
    int rc VX_GUARDED;
    vx_err err VX_GUARDED;
} crew;

static void *run_worker(void *ctx) {
    crew *c = ctx;
    vx_err err = {0};
    int rc = 0;
    while (!rc && !atomic_load(&c->stop)) {
        size_t i = atomic_fetch_add(&c->next, 1);
        if (i >= c->work->n)
            break;
        rc = c->work->piece(c->work->ctx, i, &err);
        atomic_fetch_add(&c->done, 1);
    }
    vx_mutex_lock(&c->mu);
    if (rc && !c->rc) {
        c->rc = rc;
        c->err = err;
        atomic_store(&c->stop, true);
    }
    c->n_working--;
    vx_cond_signal(&c->ended);
    vx_mutex_unlock(&c->mu);
    return NULL;
}

static bool tell(const vx_cluster_input *input, const crew *c) {
    return !input->go_on ||
           input->go_on(input->ctx, c->work->first + (int64_t)atomic_load(&c->done),
                        c->work->total);
}

/* The calling thread sleeps and tells; it must not compute, or nobody hears of a stop. */
static bool watch(const vx_cluster_input *input, crew *c) {
    bool wanted = true;
    vx_mutex_lock(&c->mu);
    while (c->n_working > 0) {
        vx_cond_wait_until(&c->ended, &c->mu, vx_clock_monotonic_us() + WATCH_US);
        vx_mutex_unlock(&c->mu);
        if (wanted && !tell(input, c)) {
            wanted = false;
            atomic_store(&c->stop, true);
        }
        vx_mutex_lock(&c->mu);
    }
    vx_mutex_unlock(&c->mu);
    return wanted && tell(input, c);
}

static int outcome_of(crew *c, bool wanted, vx_err *err) {
    vx_mutex_lock(&c->mu);
    int rc = c->rc;
    if (rc && err)
        *err = c->err;
    vx_mutex_unlock(&c->mu);
    return rc || wanted ? rc : VX_FAIL(err, VX_CLUSTER_STOPPED, "stopped");
}

int vx_cluster_do(const vx_cluster_input *input, const vx_cluster_work *work, vx_err *err) {
    pthread_t threads[MAX_THREADS];
    crew c = {.work = work};
    size_t wanted = (size_t)(input->threads > 0 ? input->threads : vx_thread_cores()), n = 0;
    int rc = 0;
    wanted = wanted < MAX_THREADS ? wanted : MAX_THREADS;
    wanted = wanted < work->n ? wanted : work->n;
    vx_mutex_init(&c.mu);
    vx_cond_init(&c.ended);
    vx_mutex_lock(&c.mu);
    for (; n < wanted && !rc; n += !rc) {
        rc = vx_thread_start(&threads[n], "vx-cluster", run_worker, &c, err);
        c.n_working += !rc;
    }
    vx_mutex_unlock(&c.mu);
    if (rc)
        atomic_store(&c.stop, true);
    bool go_on = watch(input, &c);
    for (size_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    rc = rc ? rc : outcome_of(&c, go_on, err);
    vx_cond_done(&c.ended);
    vx_mutex_done(&c.mu);
    return rc;
}

/* ---- random numbers ---- */

uint64_t vx_random_next(vx_random *random) {
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t vx_random_below(vx_random *random, uint64_t n) {
    return (uint64_t)((unsigned __int128)vx_random_next(random) * n >> 64);
}

double vx_random_unit(vx_random *random) {
    return (double)(vx_random_next(random) >> 11) * 0x1p-53;
}

/* Each number in turn, with the chance that is left for it (Knuth, TAOCP 2, 3.4.2, algorithm S). */
void vx_random_sample(vx_random *random, size_t n, size_t m, uint32_t *ret) {
    for (size_t i = 0, taken = 0; taken < m; i++)
        if (m - taken == n - i || vx_random_below(random, n - i) < m - taken)
            ret[taken++] = (uint32_t)i;
}

/* ---- sums ---- */

enum { LANES = 16 };

/* Sixteen sums side by side, whatever width the processor's registers have. */
VX_SIMD_CLONES static float sum_of_products(const float *a, const float *b, size_t n) {
    float sums[LANES] = {0}, rest = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
#pragma omp simd
        for (size_t lane = 0; lane < LANES; lane++)
            sums[lane] += a[i + lane] * b[i + lane];
    }
    for (; i < n; i++)
        rest += a[i] * b[i];
    for (size_t half = LANES / 2; half; half /= 2)
        for (size_t lane = 0; lane < half; lane++)
            sums[lane] += sums[lane + half];
    return sums[0] + rest;
}

float vx_cluster_dot(const float *a, const float *b, size_t n) {
    return sum_of_products(a, b, n);
}

bool vx_cluster_normalize(const double *sum, int dim, float *ret) {
    double norm = 0;
    for (int i = 0; i < dim; i++)
        norm += sum[i] * sum[i];
    norm = sqrt(norm);
    if (!(norm > 1e-12) || !isfinite(norm))
        return false;
    for (int i = 0; i < dim; i++)
        ret[i] = (float)(sum[i] / norm);
    return true;
}
