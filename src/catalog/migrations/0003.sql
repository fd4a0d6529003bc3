-- SQLite's pages carry no checksum, so what is large and cannot be seen to be wrong gets one: CRC-32C
-- over the row's key (int64, little endian) and its data. NULL: stored before this, not yet added.
-- The insert counts vectors by itself, once for all clips of a video.

ALTER TABLE vectors ADD COLUMN checksum INTEGER;
ALTER TABLE fingerprints ADD COLUMN checksum INTEGER;
DROP TRIGGER vectors_insert_counts;
