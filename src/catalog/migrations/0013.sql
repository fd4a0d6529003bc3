-- Inserts are twice as fast when SQLite need not be able to take back a statement with its triggers: it then copies
-- every page that they touch. A video without vectors has nothing for a store, so its insert need not be noted: that
-- of its vectors is. And that is noted without an upsert, which could not run under INSERT OR FAIL (vectors.c).
DROP TRIGGER videos_insert_change;
DROP TRIGGER vectors_insert_change;
CREATE TRIGGER vectors_insert_change AFTER INSERT ON vectors
WHEN EXISTS (SELECT 1 FROM stores WHERE space = NEW.key >> 40) BEGIN
    UPDATE changes SET seq = (SELECT coalesce(max(seq), 0) + 1 FROM changes)
        WHERE video = (SELECT video FROM clips WHERE row = NEW.key & 0xFFFFFFFFFF);
    INSERT INTO changes (video, seq)
        SELECT video, (SELECT coalesce(max(seq), 0) + 1 FROM changes) FROM clips
        WHERE row = NEW.key & 0xFFFFFFFFFF
        AND NOT EXISTS (SELECT 1 FROM changes WHERE changes.video = clips.video);
END;
