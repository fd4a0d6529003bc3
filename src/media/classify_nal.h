/* classify_nal.h — vx_classify for H.264 and HEVC (private to src/media). */
#pragma once

#include "classifier.h"

uint32_t vx_classify_h264(vx_classifier *c, const uint8_t *data, size_t n_bytes);
uint32_t vx_classify_hevc(vx_classifier *c, const uint8_t *data, size_t n_bytes);
