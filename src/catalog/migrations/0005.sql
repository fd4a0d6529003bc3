-- How much of each of two videos the other one holds. NULL: not known; a verdict from before this, or one
-- without a match of pictures. rejudge: its original was deleted, and it waits to be judged anew.

ALTER TABLE videos ADD COLUMN share_of_new    REAL;
ALTER TABLE videos ADD COLUMN share_of_stored REAL;
ALTER TABLE videos ADD COLUMN rejudge         INTEGER NOT NULL DEFAULT 0;
CREATE INDEX videos_by_original ON videos (duplicate_of, row) WHERE duplicate_of <> '';
CREATE INDEX videos_to_rejudge ON videos (row) WHERE rejudge = 1;
