/* nvdec_fixture.h — packet tables for the tests of NVDEC, and the card of nvdec_fake.h. */
#pragma once

#include "media/packet_table.h"
#include "nvdec_fake.h"

#define HD "Sx\x44\x08" /* 120 x 68 blocks, 8 bits */

typedef struct table {
    vx_media media;
    AVCodecParameters par;
    vx_packet packets[400];
    int64_t shown[400];
    double times[400];
} table;

/* A stream of one letter a packet, in decode order and shown in that order:
 *   I closed point   O open point   P reference   b no reference   l leading reference, shown before
 *   its point   r the same without references to it   h no picture of its own */
static inline void make_table(table *t, const char *stream) {
    memset(t, 0, sizeof *t);
    t->media = (vx_media){.par = &t->par,
                          .packets = t->packets,
                          .shown = t->shown,
                          .times = t->times,
                          .may_skip = true};
    t->par.codec_id = AV_CODEC_ID_H264;
    t->par.format = AV_PIX_FMT_YUV420P;
    t->par.width = 1920;
    t->par.height = 1080;
    for (int64_t i = 0; stream[i]; i++) {
        vx_packet *p = &t->packets[t->media.n_packets++];
        char kind = stream[i];
        p->pts = 10 * i;
        p->flags = kind == 'I'          ? VX_PACKET_POINT | VX_PACKET_CLOSED
                   : kind == 'O'        ? VX_PACKET_POINT
                   : kind == 'h'        ? VX_PACKET_HIDDEN
                   : strchr("br", kind) ? VX_PACKET_NONREF
                                        : 0;
        if (kind == 'l' || kind == 'r')
            p->pts -= 95;
        if (kind != 'h') {
            t->times[t->media.info.n_frames] = (double)i / 10;
            t->shown[t->media.info.n_frames++] = i;
        }
    }
}
