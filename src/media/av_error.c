#include "av_error.h"

#include <errno.h>
#include <libavutil/error.h>

int vx_media_fail_av(vx_err *err, int code, int averror, const char *what) {
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    if (averror == AVERROR(ENOMEM))
        code = -ENOMEM;
    av_strerror(averror, text, sizeof(text));
    return VX_FAIL(err, code, "%s (%s)", what, text);
}
