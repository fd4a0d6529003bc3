/* health.c — see the header. */
#include "health.h"

#include <stdio.h>

#include "base/mem.h"

void vx_health_init(vx_health *health) {
    vx_mutex_init(&health->lock);
}

VX_NO_LOCK_ANALYSIS void vx_health_done(vx_health *health) {
    free(health->rows);
    vx_mutex_done(&health->lock);
}

static void note_locked(vx_health *health, const char *reason) VX_REQUIRES(&health->lock) {
    if (!health->reason[0])
        snprintf(health->reason, sizeof health->reason, "%s", reason);
    atomic_store(&health->damaged, true);
}

void vx_health_note(vx_health *health, const char *reason) {
    if (!health)
        return;
    vx_mutex_lock(&health->lock);
    note_locked(health, reason);
    vx_mutex_unlock(&health->lock);
}

static bool is_noted_locked(const vx_health *health, vx_health_row row) VX_REQUIRES(&health->lock) {
    for (size_t i = health->first; i < health->end; i++)
        if (health->rows[i].table == row.table && health->rows[i].key == row.key)
            return true;
    return false;
}

void vx_health_note_row(vx_health *health, vx_health_row row) {
    vx_mutex_lock(&health->lock);
    if (!health->rows)
        health->rows = vx_new_array(VX_HEALTH_MAX_ROWS, sizeof *health->rows);
    if (!health->rows || health->end == VX_HEALTH_MAX_ROWS)
        note_locked(health, "thousands of rows do not match their checksums");
    else if (!is_noted_locked(health, row))
        health->rows[health->end++] = row;
    atomic_store(&health->damaged, true);
    vx_mutex_unlock(&health->lock);
}

bool vx_health_get_first(vx_health *health, char ret_reason[256], vx_health_row *ret_row) {
    if (!atomic_load(&health->damaged))
        return false;
    vx_mutex_lock(&health->lock);
    snprintf(ret_reason, 256, "%s", health->reason);
    bool damaged = ret_reason[0] || health->first < health->end;
    if (health->first < health->end)
        *ret_row = health->rows[health->first];
    vx_mutex_unlock(&health->lock);
    return damaged;
}

void vx_health_forget_row(vx_health *health, vx_health_row row) {
    vx_mutex_lock(&health->lock);
    if (health->first < health->end && health->rows[health->first].table == row.table &&
        health->rows[health->first].key == row.key)
        health->first++;
    if (health->first == health->end) {
        health->first = health->end = 0;
        atomic_store(&health->damaged, health->reason[0] != '\0');
    }
    vx_mutex_unlock(&health->lock);
}
