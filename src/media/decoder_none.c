/* decoder_none.c — decoder.c of a build without the nv-codec headers: the CPU
 * alone. */
#include <errno.h>

#include "decode_cpu.h"

int vx_decoder_open(const vx_decoder_params *params, vx_decoder **ret_decoder, vx_err *err) {
    (void)params, (void)ret_decoder;
    return VX_FAIL(err, -ENODEV, "this vidx was built without the headers of NVIDIA's decoders");
}

vx_decoder *vx_decoder_free(vx_decoder *decoder) {
    (void)decoder;
    return NULL;
}

void vx_decoder_get_stats(vx_decoder *decoder, vx_decoder_stats *ret_stats) {
    (void)decoder;
    *ret_stats = (vx_decoder_stats){0};
}

int vx_decoder_count_busy(vx_decoder *decoder) {
    (void)decoder;
    return 0;
}

void vx_decoder_relieve(void *ctx) {
    (void)ctx;
}

vx_card *vx_decoder_get_card(const vx_decoder *decoder) {
    (void)decoder;
    return NULL;
}

int vx_media_decode(vx_media *media, const vx_media_decode_params *params,
                    vx_media_stats *ret_stats, vx_err *err) {
    return vx_decode_on_cpu(media, params, ret_stats, err);
}
