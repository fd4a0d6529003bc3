-- What a video looks like beside its size, the rule that cut it into clips, and by which rules its file was
-- read (VX_MEDIA_RULES in media.h). NULL, and rules 0: stored before this.

ALTER TABLE videos ADD COLUMN sample_aspect_ratio REAL;    -- of a shown pixel, width to height
ALTER TABLE videos ADD COLUMN rotation_deg        INTEGER; -- clockwise turn that was applied
ALTER TABLE videos ADD COLUMN hdr                 TEXT;    -- sdr, pq, hlg
ALTER TABLE videos ADD COLUMN clip_rule           TEXT;    -- as vx_clip_describe has it
ALTER TABLE videos ADD COLUMN rules               INTEGER NOT NULL DEFAULT 0;
CREATE INDEX videos_by_rules ON videos (rules, row);
