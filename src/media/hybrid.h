/* hybrid.h — which clips the card decodes and which the CPU (private to src/media).
 *
 * Clips wait in one queue. The card takes what it can decode, as long as it has room. If it has not,
 * up to half of the cores decode the next clips beside it ("hybrid"); what the card refuses always goes
 * to the CPU. Of two clips that could take the same place, the one that came first does.
 *
 * Threads: any.
 */
#pragma once

#include "base/thread.h"

typedef enum vx_decode_path { VX_DECODE_CPU, VX_DECODE_CARD, VX_DECODE_N_PATHS } vx_decode_path;

typedef struct vx_hybrid_waiter vx_hybrid_waiter;

typedef struct vx_hybrid {
    vx_mutex lock;
    int room[VX_DECODE_N_PATHS]; /* clips at a time; of the CPU at least 1 */
    bool shares;                 /* hybrid=auto: the CPU helps the card out */
    int busy[VX_DECODE_N_PATHS] VX_GUARDED;
    vx_hybrid_waiter *first VX_GUARDED, **last VX_GUARDED;
    int n_waiting VX_GUARDED;
    int64_t n_clips[VX_DECODE_N_PATHS] VX_GUARDED; /* that have begun, in all */
} vx_hybrid;

/* card: clips at a time on the card, so many that its decoders never wait for a file to be read;
 * 0 = there is none. cpu: at the same time on the CPU. */
void vx_hybrid_init(vx_hybrid *hybrid, int card, int cpu, bool shares);
void vx_hybrid_done(vx_hybrid *hybrid);

/* Waits for a place and takes it; vx_hybrid_leave gives it back.
 *   card_can    whether the card may be chosen
 *   keep_going  may be NULL; asked about every 50 ms; false ends the wait
 * Returns a vx_decode_path, or -1 if keep_going ended the wait. */
int vx_hybrid_enter(vx_hybrid *hybrid, bool card_can, bool (*keep_going)(void *ctx), void *ctx);
/* Clips that have a place or wait for one. */
int vx_hybrid_count(vx_hybrid *hybrid);
void vx_hybrid_leave(vx_hybrid *hybrid, vx_decode_path path);
