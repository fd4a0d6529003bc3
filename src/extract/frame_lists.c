/* frame_lists.c — see the header. */
#include "frame_lists.h"

#include <errno.h>
#include <string.h>

#include "extract_model.h"

/* Of stored hashes. Key frames come no denser, so that a video in key frames only has no more than another. */
static const double STEP_S = 0.5;

static int compare_frames(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

int vx_extract_merge_frames(const int64_t *a, size_t n_a, const int64_t *b, size_t n_b,
                            int64_t **ret_frames, size_t *ret_n, vx_err *err) {
    int64_t *frames = vx_new_array(n_a + n_b, sizeof *frames);
    if (!frames)
        return VX_FAIL(err, -ENOMEM, "no memory for the frame list");
    if (n_a)
        memcpy(frames, a, n_a * sizeof *frames);
    if (n_b)
        memcpy(frames + n_a, b, n_b * sizeof *frames);
    qsort(frames, n_a + n_b, sizeof *frames, compare_frames);
    size_t n = 0;
    for (size_t i = 0; i < n_a + n_b; i++)
        if (!n || frames[i] != frames[n - 1])
            frames[n++] = frames[i];
    *ret_frames = frames;
    *ret_n = n;
    return 0;
}

/* Those that the first model sees, and the first of all. */
static int find_model_frames(const vx_models *models, const vx_media *media,
                             const vx_extract_keys *keys, const vx_span *spans, size_t n_spans,
                             int64_t **ret_frames, size_t *ret_n, vx_err *err) {
    vx_extract_model part = {0};
    int rc = 0;
    if (models->n) {
        part.model = (vx_model *)&models->items[0];
        rc = vx_extract_model_plan(&part, media, keys, spans, n_spans, err);
    }
    int64_t *frames = rc ? NULL : vx_new_array(part.n_wants + 1, sizeof *frames);
    if (!rc && !frames)
        rc = VX_FAIL(err, -ENOMEM, "no memory for the frame list");
    for (size_t i = 0; !rc && i < part.n_wants; i++)
        frames[i + 1] = part.wants[i].frame;
    *ret_frames = frames;
    *ret_n = part.n_wants + 1;
    vx_extract_model_clear(&part);
    return rc;
}

int vx_extract_fingerprint_frames(vx_fingerprints mode, const vx_models *models,
                                  const vx_media *media, const vx_extract_keys *keys,
                                  const vx_span *spans, size_t n_spans, int64_t **ret_frames,
                                  size_t *ret_n, vx_err *err) {
    VX_AUTO_FREE int64_t *first = NULL, *second = NULL;
    int64_t n_first = 0, n_second = 0;
    size_t n_seen = 0;
    int rc;
    if (mode == VX_FINGERPRINTS_FULL) {
        rc = vx_media_choose(media, 0, vx_media_get_info(media)->duration_s, 1 / STEP_S, &first,
                             &n_first, err);
    } else {
        rc = find_model_frames(models, media, keys, spans, n_spans, &first, &n_seen, err);
        n_first = (int64_t)n_seen;
        if (!rc)
            rc = vx_media_key_frames(media, STEP_S, &second, &n_second, err);
    }
    return rc ? rc
              : vx_extract_merge_frames(first, (size_t)n_first, second, (size_t)n_second,
                                        ret_frames, ret_n, err);
}
