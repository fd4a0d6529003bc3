/* card_none.c — card.c of a build without the nv-codec headers: there is no card, so nothing else is ever
 * called. */
#include <errno.h>

#include "card.h"

static int fail(vx_err *err) {
    return VX_FAIL(err, -ENODEV, "this vidx was built without the headers of NVIDIA's driver");
}

int vx_card_open(const vx_card_params *params, vx_card **ret_card, vx_err *err) {
    (void)params, (void)ret_card;
    return fail(err);
}

vx_card *vx_card_free(vx_card *card) {
    (void)card;
    return NULL;
}

int vx_card_load(vx_card *card, const vx_card_image *image, vx_err *err) {
    (void)card, (void)image;
    return fail(err);
}

vx_card_memory vx_card_get_memory(vx_card *card) {
    (void)card;
    return (vx_card_memory){0};
}

int vx_card_begin(vx_card *card, vx_card_work **ret_work, vx_err *err) {
    (void)card, (void)ret_work;
    return fail(err);
}

vx_card_work *vx_card_end(vx_card_work *work) {
    (void)work;
    return NULL;
}

int vx_card_upload(vx_card_work *work, const void *data, size_t n_bytes, const void **ret_address,
                   vx_err *err) {
    (void)work, (void)data, (void)n_bytes, (void)ret_address;
    return fail(err);
}

int vx_card_scratch(vx_card_work *work, size_t n_bytes, void **ret_address, vx_err *err) {
    (void)work, (void)n_bytes, (void)ret_address;
    return fail(err);
}

int vx_card_results(vx_card_work *work, size_t n_bytes, void **ret_memory, vx_err *err) {
    (void)work, (void)n_bytes, (void)ret_memory;
    return fail(err);
}

int vx_card_launch(vx_card_work *work, const vx_card_image *image, const char *kernel,
                   const vx_card_shape *shape, void **args, vx_err *err) {
    (void)work, (void)image, (void)kernel, (void)shape, (void)args;
    return fail(err);
}

int vx_card_wait(vx_card_work *work, vx_err *err) {
    (void)work;
    return fail(err);
}
