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
    [VX_OUTCOME_IMPORT_REFUSED] = "import_refused",
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
    switch (rc) {
    case 0:
        return VX_OUTCOME_OK;
    case -ENOSPC:
    case -EDQUOT:
        return VX_OUTCOME_NO_SPACE;
    case -ENOMEM:
    case -EMFILE:
    case -ENFILE:
    case -EAGAIN:    /* also: no more threads */
    case -EHOSTDOWN: /* a device does not work now */
        return VX_OUTCOME_BUSY;
    case -ESHUTDOWN:
        return VX_OUTCOME_STOPPING;
    default:
        return VX_OUTCOME_INTERNAL;
    }
}

bool vx_outcome_is_our_fault(vx_outcome outcome) {
    return outcome == VX_OUTCOME_BUSY || outcome == VX_OUTCOME_NO_SPACE ||
           outcome == VX_OUTCOME_STOPPING || outcome == VX_OUTCOME_INTERNAL;
}
