/* pgvector_none.c — this vidx was built without libpq. */
#include <errno.h>

#include "outside.h"

static int refuse(vx_outside **ret_outside, vx_err *err) {
    (void)ret_outside;
    return VX_FAIL(err, VX_OUTSIDE_BAD_URL,
                   "this vidx was built without libpq: it cannot use PostgreSQL");
}

const vx_outside_kind vx_outside_pgvector = {.name = "pgvector", .open = refuse};
