/* classify.c — what a packet's own bytes prove about how it depends on others. */
#include "media/media_private.h"

void vx_classifier_init(vx_classifier *c, const AVCodecParameters *par) {
    *c = (vx_classifier){.codec = par->codec_id};
}

uint32_t vx_classify(vx_classifier *c, const AVPacket *packet) {
    (void)c;
    return packet->flags & AV_PKT_FLAG_KEY ? VX_PACKET_POINT : 0;
}

void vx_classifier_finish(const vx_classifier *c, vx_packet *packets, int64_t n) {
    (void)c, (void)packets, (void)n;
}
