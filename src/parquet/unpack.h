/* unpack.h — one compressed block of a Parquet page (private to src/parquet). */
#pragma once

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

/* codec: Parquet's CompressionCodec. ret: [n] exactly. VX_PARQUET_BAD: the block is damaged, unpacks to another
 * size, or its codec is none that is read; -ENOMEM. */
int vx_parquet_unpack(int codec, const uint8_t *packed, size_t n_packed, uint8_t *ret, size_t n,
                      vx_err *err);
