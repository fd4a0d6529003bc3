/* table_file.h — a packet table kept in a file, so that a video is scanned once (private to
 * src/media).
 *
 * The file is derived: one that is missing, damaged, of another version or of another video (by size
 * and modification time) is no error, the video is then scanned again. About 8 bytes a packet.
 * Threads: any; a file is replaced as a whole.
 */
#pragma once

#include "packet_table.h"

/* Fills media from the file at table_path, which must belong to media->path; media->par stays as it
 * is. Returns false, with media unchanged, when there is no such table. */
bool vx_table_load(vx_media *media, const char *table_path);
/* Writes the table. A failure costs only the time of another scan, so there is none to report. */
void vx_table_save(const vx_media *media, const char *table_path);
