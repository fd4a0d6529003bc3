/* health.h — whether any read has met damage (private to src/catalog).
 *
 * A page that SQLite cannot read stays a reason until the next open. A row whose checksum is wrong is
 * noted by its key, so that it can be looked at again: it may have been replaced or deleted since.
 *
 * Threads: any.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/thread.h"

typedef enum vx_health_table {
    VX_HEALTH_VECTOR,
    VX_HEALTH_FINGERPRINT,
    VX_HEALTH_PICTURES,
} vx_health_table;
typedef struct vx_health_row {
    vx_health_table table;
    int64_t key;
} vx_health_row;

#define VX_HEALTH_MAX_ROWS 4096 /* more of them are a reason that stays */

typedef struct vx_health {
    vx_mutex lock;
    atomic_bool damaged;
    char reason
        [256] VX_GUARDED; /* of the first damaged page; later ones are mostly its consequences */
    vx_health_row *rows
        VX_GUARDED; /* [end]; those from `first` on are damaged, oldest first; owned */
    size_t first VX_GUARDED, end VX_GUARDED;
} vx_health;

void vx_health_init(vx_health *health);
void vx_health_done(vx_health *health);
/* health may be NULL: then nothing is noted. */
void vx_health_note(vx_health *health, const char *reason);
void vx_health_note_row(vx_health *health, vx_health_row row);
/* False: no damage is noted. Else what was met first: a reason, or "" and a row. */
bool vx_health_get_first(vx_health *health, char ret_reason[256], vx_health_row *ret_row);
/* The row is right again, or gone. */
void vx_health_forget_row(vx_health *health, vx_health_row row);
