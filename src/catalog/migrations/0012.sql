-- The second look at the pictures of a new video, after its upload was answered (verify/).

ALTER TABLE videos ADD COLUMN evidence   INTEGER NOT NULL DEFAULT 0; -- vx_evidence_state
ALTER TABLE videos ADD COLUMN looks      TEXT;                       -- JSON: what it saw; NULL: nothing yet
ALTER TABLE videos ADD COLUMN updated_us INTEGER NOT NULL DEFAULT 0; -- when the verdict last changed; 0: never
CREATE INDEX videos_to_verify ON videos (row) WHERE evidence = 1;
