-- Which pictures of a video were hashed (vx_fingerprints in extract.h): 0 none, 1 what the model saw and key
-- frames, 2 one each half second. Before this there were none or those of each half second.

ALTER TABLE videos ADD COLUMN fingerprints INTEGER NOT NULL DEFAULT 2;
UPDATE videos SET fingerprints = 0 WHERE row NOT IN (SELECT video FROM fingerprints WHERE length(data) > 0);
CREATE INDEX videos_by_fingerprints ON videos (fingerprints, row);
