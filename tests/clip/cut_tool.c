/* cut_tool FILE START_S END_S OUT [ENCODER|copy] — one clip as a file; prints what was done. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "media/media.h"

int main(int argc, char **argv) {
    vx_err err = {0};
    vx_media_cut_info info = {0};
    if (argc < 5)
        return 64;
    bool copy = argc > 5 && !strcmp(argv[5], "copy");
    const vx_media_cut_params want = {.start_s = atof(argv[2]),
                                      .end_s = atof(argv[3]),
                                      .encoder = argc > 5 && !copy ? argv[5] : NULL,
                                      .may_copy = copy};
    int rc = vx_media_cut_clip(argv[1], NULL, &want, argv[4], &info, &err);
    if (rc)
        fprintf(stderr, "%d: %s\n", rc, err.msg);
    else
        printf("%s %" PRId64 "\n", info.copied ? "copied" : info.encoder, info.n_frames);
    return rc < 0 ? 100 : rc ? rc - VX_MEDIA_UNSUPPORTED + 1 : 0; /* exit statuses are small */
}
