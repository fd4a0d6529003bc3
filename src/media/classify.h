/* classify.h — what a packet's bytes prove about the packets it depends on (private to src/media).
 * Threads: a vx_classifier belongs to one thread at a time. */
#pragma once

#include "classifier.h"

void vx_classifier_init(vx_classifier *c, const AVCodecParameters *par);
/* vx_packet_flag bits of the next packet in decode order; all but DISCARD and MARKED. */
uint32_t vx_classify(vx_classifier *c, const AVPacket *packet);
/* After the last packet: takes back what only the whole stream could disprove. */
void vx_classifier_finish(const vx_classifier *c, vx_packet *packets, int64_t n);
