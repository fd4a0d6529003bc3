/* Any bytes as a clip rule: written out it must be the same rule, and its clips must lie in the
 * video, in order. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "clip/clip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void check_described(const vx_clip_spec *spec) {
    char text[96], again[96];
    vx_clip_spec copy;
    vx_clip_describe(spec, text);
    if (vx_clip_parse(text, &copy, NULL))
        abort();
    vx_clip_describe(&copy, again);
    if (strcmp(text, again))
        abort();
}

static void cut(const vx_clip_spec *rule, double duration_s) {
    vx_clip_spec spec = vx_clip_resolve(rule, duration_s, false);
    VX_AUTO_FREE vx_span *spans = NULL;
    size_t n = 0;
    if (vx_clip_needs_shots(&spec) || vx_clip_cut(&spec, duration_s, &spans, &n, NULL))
        return;
    if (n < 1 || n > VX_CLIP_MAX)
        abort();
    for (size_t i = 0; i < n; i++)
        if (spans[i].start_s < (i ? spans[i - 1].start_s : 0) ||
            !(spans[i].end_s > spans[i].start_s) || spans[i].end_s > duration_s)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    static const double durations_s[] = {1e-6, 0.04, 9.99, 60, 5025.3, 86400};
    char text[128];
    vx_clip_spec spec;
    if (n_bytes >= sizeof text)
        return 0;
    memcpy(text, data, n_bytes);
    text[n_bytes] = '\0';
    if (vx_clip_parse(text, &spec, NULL))
        return 0;
    check_described(&spec);
    for (size_t i = 0; i < VX_LEN(durations_s); i++)
        cut(&spec, durations_s[i]);
    return 0;
}
