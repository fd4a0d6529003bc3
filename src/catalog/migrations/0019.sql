-- What a copy model (--copy-model) says of a video's pictures: float32 [n, dim] of up to 32, evenly spread over it.
-- data NULL: not yet, or given up after so many tries; empty: it has no pictures to show. Derived from the file: what
-- is missing, damaged or of another digest is made anew.

CREATE TABLE pictures (
    video    INTEGER PRIMARY KEY REFERENCES videos (row) ON DELETE CASCADE,
    digest   TEXT    NOT NULL,           -- of the model's package
    tries    INTEGER NOT NULL DEFAULT 0, -- begun and not ended
    data     BLOB,
    checksum INTEGER                     -- CRC-32C over video and data
);
-- A file that was read by other rules, or has come back, shows other pictures.
CREATE TRIGGER videos_reread_forgets_pictures AFTER UPDATE OF rules ON videos BEGIN
    DELETE FROM pictures WHERE video = NEW.row;
END;
