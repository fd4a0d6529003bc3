/* prepare_card.c — runs the plans of prepare.h on a card. Two launches for all pictures of a plan. */
#include <errno.h>
#include <string.h>

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

/* The plan's pictures on the card, with the tables that HDR ones need. */
static int upload_pictures(const vx_prepare_plan *plan, vx_card_work *work, const void **ret_there,
                           vx_err *err) {
    size_t n_bytes = (size_t)plan->n * sizeof *plan->pictures;
    VX_AUTO_FREE vx_prepare_picture *pictures = vx_new_array((size_t)plan->n, sizeof *pictures);
    if (!pictures)
        return VX_FAIL(err, -ENOMEM, "no memory for %d pictures", plan->n);
    memcpy(pictures, plan->pictures, n_bytes);
    const void *tone = NULL; /* on the card */
    int rc = 0;
    for (int i = 0; i < plan->n && !rc; i++) {
        const vx_tone *here = plan->pictures[i].s.tone;
        if (here && (i == 0 || here != plan->pictures[i - 1].s.tone))
            rc = vx_card_upload(work, here, sizeof *here, &tone, err);
        pictures[i].s.tone = here ? tone : NULL;
    }
    return rc ? rc : vx_card_upload(work, pictures, n_bytes, ret_there, err);
}

int vx_prepare_launch(const vx_prepare_plan *plan, vx_card_work *work, vx_err *err) {
    const void *pictures, *ints, *values;
    void *scratch = NULL;
    if (plan->n > MOST_PICTURES)
        return VX_FAIL(err, -EINVAL, "%d pictures in one launch", plan->n);
    int rc = upload_pictures(plan, work, &pictures, err);
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
