-- Outside vector databases that are kept equal to the collection (stores/), and what they have yet to hear.

CREATE TABLE stores (
    name       TEXT    PRIMARY KEY NOT NULL,
    url        TEXT    NOT NULL,           -- without a secret
    model      TEXT    NOT NULL,
    space      INTEGER NOT NULL,           -- spaces.row of the vectors that it gets
    sent       INTEGER NOT NULL DEFAULT 0, -- it has every change up to this changes.seq
    check_due  INTEGER NOT NULL DEFAULT 1, -- 1: it must be compared with the collection
    checked_us INTEGER NOT NULL DEFAULT 0, -- when it was last
    refused    INTEGER NOT NULL DEFAULT 0, -- clips that it would not take since then
    created_us INTEGER NOT NULL
) WITHOUT ROWID;

-- One row for each video, stored or deleted: its last change alone counts. Written only while there is a
-- store. A change moves the row to the end; a store has read on from where it stood.
CREATE TABLE changes (
    video   INTEGER PRIMARY KEY,
    seq     INTEGER NOT NULL UNIQUE,
    clips   INTEGER NOT NULL DEFAULT 0, -- most clips that it had before its last change
    deleted TEXT                        -- the id of a video that is gone; NULL: stored
);
-- What is forgotten once every store has heard of it is found without reading the rows of all videos.
CREATE INDEX changes_deleted ON changes (seq) WHERE deleted IS NOT NULL;

CREATE TRIGGER videos_insert_change AFTER INSERT ON videos WHEN EXISTS (SELECT 1 FROM stores) BEGIN
    INSERT INTO changes (video, seq) VALUES (NEW.row, (SELECT coalesce(max(seq), 0) + 1 FROM changes))
        ON CONFLICT (video) DO UPDATE SET seq = excluded.seq;
END;

CREATE TRIGGER videos_update_change AFTER UPDATE OF filename, metadata ON videos
WHEN EXISTS (SELECT 1 FROM stores) BEGIN
    INSERT INTO changes (video, seq) VALUES (NEW.row, (SELECT coalesce(max(seq), 0) + 1 FROM changes))
        ON CONFLICT (video) DO UPDATE SET seq = excluded.seq;
END;

CREATE TRIGGER videos_delete_change BEFORE DELETE ON videos WHEN EXISTS (SELECT 1 FROM stores) BEGIN
    INSERT INTO changes (video, seq, clips, deleted) VALUES (OLD.row,
        (SELECT coalesce(max(seq), 0) + 1 FROM changes),
        (SELECT coalesce(max(position) + 1, 0) FROM clips WHERE video = OLD.row), OLD.id)
        ON CONFLICT (video) DO UPDATE
        SET seq = excluded.seq, clips = max(clips, excluded.clips), deleted = excluded.deleted;
END;

CREATE TRIGGER clips_update_change AFTER UPDATE ON clips WHEN EXISTS (SELECT 1 FROM stores) BEGIN
    INSERT INTO changes (video, seq) VALUES (NEW.video, (SELECT coalesce(max(seq), 0) + 1 FROM changes))
        ON CONFLICT (video) DO UPDATE SET seq = excluded.seq;
END;

-- Also for the clips of a video that is being deleted: its row, made before, keeps the id.
CREATE TRIGGER clips_delete_change AFTER DELETE ON clips WHEN EXISTS (SELECT 1 FROM stores) BEGIN
    INSERT INTO changes (video, seq, clips) VALUES (OLD.video,
        (SELECT coalesce(max(seq), 0) + 1 FROM changes), OLD.position + 1)
        ON CONFLICT (video) DO UPDATE SET seq = excluded.seq, clips = max(clips, excluded.clips);
END;

CREATE TRIGGER vectors_insert_change AFTER INSERT ON vectors
WHEN EXISTS (SELECT 1 FROM stores WHERE space = NEW.key >> 40) BEGIN
    INSERT INTO changes (video, seq)
        SELECT video, (SELECT coalesce(max(seq), 0) + 1 FROM changes) FROM clips
        WHERE row = NEW.key & 0xFFFFFFFFFF
        ON CONFLICT (video) DO UPDATE SET seq = excluded.seq;
END;

CREATE TRIGGER vectors_delete_change AFTER DELETE ON vectors
WHEN EXISTS (SELECT 1 FROM stores WHERE space = OLD.key >> 40) BEGIN
    INSERT INTO changes (video, seq)
        SELECT video, (SELECT coalesce(max(seq), 0) + 1 FROM changes) FROM clips
        WHERE row = OLD.key & 0xFFFFFFFFFF
        ON CONFLICT (video) DO UPDATE SET seq = excluded.seq;
END;
