/* decoders.c — one decoder a card, as if they were one. */
#include <stdatomic.h>
#include <string.h>

#include "media.h"

vx_decoder *vx_decoders_pick(const vx_decoders *decoders) {
    static atomic_uint turn; /* of those that are equally busy */
    unsigned first = atomic_fetch_add(&turn, 1);
    vx_decoder *best = NULL;
    int least = 0;
    for (int i = 0; i < decoders->n; i++) {
        vx_decoder *decoder = decoders->items[(first + (unsigned)i) % (unsigned)decoders->n];
        int busy = vx_decoder_count_busy(decoder);
        if (!best || busy < least) {
            best = decoder;
            least = busy;
        }
    }
    return best;
}

static void add_stats(vx_decoder_stats *sum, const vx_decoder_stats *one) {
    sum->max_clips += one->max_clips;
    sum->n_decoders += one->n_decoders;
    sum->max_decoders += one->max_decoders;
    sum->card_bytes += one->card_bytes;
    sum->max_card_bytes += one->max_card_bytes;
    sum->pictures.bytes += one->pictures.bytes;
    sum->pictures.max_bytes += one->pictures.max_bytes;
    sum->pictures.n_refused += one->pictures.n_refused;
    for (int i = 0; i < VX_MEDIA_N_PATHS; i++)
        sum->n_clips[i] += one->n_clips[i];
    for (int i = 0; i < one->n_reasons; i++)
        sum->n_refused[i] += one->n_refused[i]; /* the same reasons in all */
}

void vx_decoders_get_stats(const vx_decoders *decoders, vx_decoder_stats *ret_stats) {
    *ret_stats = (vx_decoder_stats){0};
    for (int i = 0; i < decoders->n; i++) {
        vx_decoder_stats one;
        vx_decoder_get_stats(decoders->items[i], &one);
        if (i)
            add_stats(ret_stats, &one);
        else
            *ret_stats = one;
    }
}

void vx_decoders_relieve(void *ctx) {
    const vx_decoders *decoders = ctx;
    for (int i = 0; i < decoders->n; i++)
        vx_decoder_relieve(decoders->items[i]);
}

void vx_decoders_free(vx_decoders *decoders) {
    for (int i = 0; i < decoders->n; i++)
        vx_decoder_free(decoders->items[i]);
    *decoders = (vx_decoders){0};
}
