/* card_fake.h — the card of nvdec_fake.h with vidx's kernels, as their twins. */
#pragma once

#include "clip/small.h"
#include "fingerprint/reduce.h"
#include "nvdec_fake.h"
#include "preprocess/prepare.h"

#define FAKE_ARG(i, type) (*(type *)args[i])

static inline void fake_twin(const char *name, int z, void **args) {
    if (strcmp(name, "vx_prepare_across") == 0)
        vx_prepare_twin_across(FAKE_ARG(0, const vx_prepare_picture *), z,
                               FAKE_ARG(1, const int32_t *), FAKE_ARG(2, uint8_t *));
    else if (strcmp(name, "vx_prepare_down") == 0)
        vx_prepare_twin_down(FAKE_ARG(0, const vx_prepare_picture *), z,
                             FAKE_ARG(1, const int32_t *), FAKE_ARG(2, const uint8_t *),
                             FAKE_ARG(3, const float *), FAKE_ARG(4, int));
    else if (strcmp(name, "vx_reduce") == 0)
        vx_reduce_twin(FAKE_ARG(0, const vx_reduce_part *), z, FAKE_ARG(1, const int32_t *));
    else if (strcmp(name, "vx_reduce_trim") == 0)
        vx_reduce_twin_trim(FAKE_ARG(0, const vx_reduce_part *), z);
    else if (strcmp(name, "vx_small_across_lines") == 0)
        vx_small_twin_across(&FAKE_ARG(0, const vx_small_job), FAKE_ARG(1, const int32_t *),
                             FAKE_ARG(2, int16_t *));
    else if (strcmp(name, "vx_small_down_rows") == 0)
        vx_small_twin_down(&FAKE_ARG(0, const vx_small_job), FAKE_ARG(1, const int32_t *),
                           FAKE_ARG(2, const int16_t *), FAKE_ARG(3, uint8_t *));
    else
        abort();
}

static inline vx_card *fake_card(int64_t max_bytes) {
    vx_card *card = NULL;
    fake_reset();
    fake_kernel = fake_twin;
    const vx_card_params params = {.max_bytes = max_bytes, .driver = &fake_driver};
    if (vx_card_open(&params, &card, NULL) != 0)
        abort();
    return card;
}
