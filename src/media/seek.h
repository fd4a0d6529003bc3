/* seek.h — from a packet of the table to its place in the file (private to src/media). */
#pragma once

#include "demux.h"
#include "packet_table.h"

/* Makes packet number `packet` of the table the packet in demux->packet. False when it cannot be
 * found: demux is then useless, and the caller opens the file again and reads from the start. */
bool vx_seek_packet(vx_demux *demux, const vx_media *media, int64_t packet);
