/* health.h — whether any read has met damage (private to src/catalog).
 *
 * Threads: any.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/thread.h"

typedef struct vx_health {
    vx_mutex lock;
    atomic_bool damaged;
    char reason[256] VX_GUARDED; /* of the first damage; later ones are mostly its consequences */
} vx_health;

void vx_health_init(vx_health *health);
void vx_health_done(vx_health *health);
/* health may be NULL: then nothing is noted. */
void vx_health_note(vx_health *health, const char *reason);
