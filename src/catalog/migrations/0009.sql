-- What a scan for duplicates found, and what people decided. A pair's kind and shares say what the newer video
-- b is to a. scanned: videos that were compared with all others; capped: not all of their pairs were kept.

CREATE TABLE duplicate_pairs (
    a          INTEGER NOT NULL REFERENCES videos (row) ON DELETE CASCADE,
    b          INTEGER NOT NULL REFERENCES videos (row) ON DELETE CASCADE,
    kind       INTEGER NOT NULL, -- vx_verdict_kind
    score      REAL,             -- NULL in any REAL: not known
    share      REAL,
    share_of_a REAL,
    share_of_b REAL,
    offset_s   REAL,
    mirrored   INTEGER NOT NULL,
    segments   BLOB,             -- float32 [n, 4]: from and to in a, from and to in b
    PRIMARY KEY (a, b),
    CHECK (a < b)
) WITHOUT ROWID;
CREATE INDEX duplicate_pairs_by_b ON duplicate_pairs (b);

CREATE TABLE duplicate_scanned (
    video   INTEGER PRIMARY KEY REFERENCES videos (row) ON DELETE CASCADE,
    vectors INTEGER NOT NULL, -- how many of its clips had one
    capped  INTEGER NOT NULL
);
-- By which rule, model and threshold: the next scan starts over where these differ.
CREATE TABLE duplicate_basis (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    basis TEXT    NOT NULL
);

-- A video that lost one of the pairs that were kept is compared again, as is one that was read again.
CREATE TRIGGER duplicate_pairs_delete AFTER DELETE ON duplicate_pairs BEGIN
    DELETE FROM duplicate_scanned WHERE video IN (OLD.a, OLD.b) AND capped = 1;
END;
CREATE TRIGGER videos_reread_forgets_duplicates AFTER UPDATE OF rules ON videos BEGIN
    DELETE FROM duplicate_pairs WHERE a = NEW.row;
    DELETE FROM duplicate_pairs WHERE b = NEW.row;
    DELETE FROM duplicate_scanned WHERE video = NEW.row;
END;

-- Decisions name videos by id, which comes from their bytes: so they also hold for a video that was deleted
-- and is uploaded again.
CREATE TABLE duplicate_decisions (
    row        INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       INTEGER NOT NULL, -- vx_decision_kind
    policy     TEXT    NOT NULL, -- that chose what to keep; ''
    created_us INTEGER NOT NULL,
    due_us     INTEGER NOT NULL  -- when deletion begins; 0
);
CREATE TABLE duplicate_decision_videos (
    decision  INTEGER NOT NULL REFERENCES duplicate_decisions (row) ON DELETE CASCADE,
    video     TEXT    NOT NULL,
    role      INTEGER NOT NULL,  -- vx_decision_role
    video_row INTEGER NOT NULL,  -- to delete: the video that was meant
    bytes     INTEGER NOT NULL,
    pending   INTEGER NOT NULL,  -- is to be deleted, and was not yet
    of_row    INTEGER NOT NULL,  -- to delete: the kept video that holds it; 0: any kept one will do
    PRIMARY KEY (decision, video)
) WITHOUT ROWID;
CREATE INDEX duplicate_decision_videos_by_video ON duplicate_decision_videos (video);
CREATE INDEX duplicate_decision_videos_pending ON duplicate_decision_videos (decision) WHERE pending = 1;
