/* prepare_card.c — runs the plans of prepare.h on a card. Two launches for all pictures of a plan. */
#include <errno.h>

#include "prepare.h"

enum { MOST_PICTURES = 65535 }; /* of one launch */

int vx_preprocess_check_card(vx_card *card, vx_err *err) {
    return vx_card_load(card, &vx_prepare_image, err);
}

int vx_preprocess_on_card(const vx_preprocess_spec *spec, const vx_preprocess_job *jobs, int n,
                          vx_card_work *work, vx_err *err) {
    VX_AUTO(vx_prepare_plan) plan = NULL;
    int rc = vx_prepare_plan_new(spec, jobs, n, false, &plan, err);
    return rc ? rc : vx_prepare_launch(plan, work, err);
}

int vx_prepare_launch(const vx_prepare_plan *plan, vx_card_work *work, vx_err *err) {
    const void *pictures, *ints, *values;
    void *scratch = NULL;
    if (plan->n > MOST_PICTURES)
        return VX_FAIL(err, -EINVAL, "%d pictures in one launch", plan->n);
    int rc = vx_card_upload(work, plan->pictures, (size_t)plan->n * sizeof *plan->pictures,
                            &pictures, err);
    if (!rc)
        rc = vx_card_upload(work, plan->ints, plan->n_ints * sizeof *plan->ints, &ints, err);
    if (!rc)
        rc = vx_card_upload(work, plan->values, sizeof plan->values, &values, err);
    if (!rc && plan->narrow_bytes > 0)
        rc = vx_card_scratch(work, plan->narrow_bytes, &scratch, err);
    if (rc)
        return rc;
    const vx_card_shape across = {.blocks = {(unsigned)plan->most_rows, 1, (unsigned)plan->n},
                                  .threads = 256,
                                  .shared_bytes = 3 * (size_t)plan->most_columns};
    const vx_card_shape down = {
        .blocks = {(unsigned)(plan->w_out + 63) / 64, (unsigned)plan->h_out, (unsigned)plan->n},
        .threads = 64};
    int bf16 = plan->bf16;
    if (plan->most_rows > 0)
        rc = vx_card_launch(work, &vx_prepare_image, "vx_prepare_across", &across,
                            (void *[]){&pictures, &ints, &scratch}, err);
    if (!rc)
        rc = vx_card_launch(work, &vx_prepare_image, "vx_prepare_down", &down,
                            (void *[]){&pictures, &ints, &scratch, &values, &bf16}, err);
    return rc;
}
