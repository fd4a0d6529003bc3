-- Whether a scan for duplicates has made the deep look at a video: 0 or 1.
ALTER TABLE duplicate_scanned ADD COLUMN looked INTEGER NOT NULL DEFAULT 0;
