/* health.c — see the header. */
#include "health.h"

#include <stdio.h>

void vx_health_init(vx_health *health) {
    vx_mutex_init(&health->lock);
}

void vx_health_done(vx_health *health) {
    vx_mutex_done(&health->lock);
}

void vx_health_note(vx_health *health, const char *reason) {
    if (!health || atomic_load(&health->damaged))
        return;
    vx_mutex_lock(&health->lock);
    if (!health->reason[0])
        snprintf(health->reason, sizeof health->reason, "%s", reason);
    vx_mutex_unlock(&health->lock);
    atomic_store(&health->damaged, true);
}
