/* crc32c.h — CRC-32C (Castagnoli, as in iSCSI, ext4 and btrfs): finds any burst of up to 32 wrong
 * bits, and misses one of 2^32 other changes. Against decay of storage, not against forgery.
 *
 * Threads: any (pure function). Cost: some 10 GB/s with SSE 4.2, else some 2 GB/s.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* crc: 0, or the result for the bytes before these. "123456789" gives 0xe3069283. */
uint32_t vx_crc32c(uint32_t crc, const void *bytes, size_t n);
/* The same without the processor's help: what other machines run, and tests. */
uint32_t vx_crc32c_portable(uint32_t crc, const void *bytes, size_t n);
