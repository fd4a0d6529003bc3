#include "outcome.h"

#include <errno.h>
#include <string.h>

#include "log.h"

static const char *const names[] = {
    [VX_OUTCOME_OK] = "ok",
    [VX_OUTCOME_EXISTING] = "existing",
    [VX_OUTCOME_DUPLICATE] = "duplicate",
    [VX_OUTCOME_MEDIA_UNSUPPORTED] = "media_unsupported",
    [VX_OUTCOME_MEDIA_NO_VIDEO] = "media_no_video",
    [VX_OUTCOME_MEDIA_DAMAGED] = "media_damaged",
    [VX_OUTCOME_MEDIA_TOO_LARGE] = "media_too_large",
    [VX_OUTCOME_BAD_REQUEST] = "bad_request",
    [VX_OUTCOME_NOT_FOUND] = "not_found",
    [VX_OUTCOME_WRONG_SPACE] = "wrong_space",
    [VX_OUTCOME_BUSY] = "busy",
    [VX_OUTCOME_NO_SPACE] = "no_space",
    [VX_OUTCOME_CANCELLED] = "cancelled",
    [VX_OUTCOME_STOPPING] = "stopping",
    [VX_OUTCOME_INTERNAL] = "internal",
};

const char *vx_outcome_name(vx_outcome outcome) {
    return names[outcome];
}

vx_outcome vx_outcome_of_name(const char *name) {
    for (int i = 0; i <= VX_OUTCOME_INTERNAL; i++)
        if (!strcmp(name, names[i]))
            return (vx_outcome)i;
    return VX_OUTCOME_INTERNAL;
}

vx_outcome vx_outcome_of_error(int rc, const vx_err *err) {
    if (rc > 0)
        vx_log_failed(VX_LOG_ERROR, "fault", err, "unhandled_code=%d", rc);
    return !rc                ? VX_OUTCOME_OK
           : rc == -ENOSPC    ? VX_OUTCOME_NO_SPACE
           : rc == -ESHUTDOWN ? VX_OUTCOME_STOPPING
                              : VX_OUTCOME_INTERNAL;
}
