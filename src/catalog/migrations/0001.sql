-- The first schema. A row number is never given out twice (AUTOINCREMENT): the search index keeps
-- clip rows as its ids, and a late reader must not take a new clip for a deleted one.

PRAGMA application_id = 0x76696478; -- "vidx"

CREATE TABLE videos (
    row            INTEGER PRIMARY KEY AUTOINCREMENT,
    id             TEXT    NOT NULL UNIQUE, -- "v" and the first 24 hex digits of sha256
    sha256         BLOB    NOT NULL CHECK (length(sha256) = 32),
    filename       TEXT    NOT NULL,
    source_path    TEXT,                    -- NULL: the bytes are in the media store
    metadata       TEXT    NOT NULL,        -- a JSON object
    bytes          INTEGER NOT NULL,
    container      TEXT    NOT NULL,
    codec          TEXT    NOT NULL,
    width_px       INTEGER NOT NULL,
    height_px      INTEGER NOT NULL,
    fps            REAL,                    -- NULL in any REAL: not known
    duration_s     REAL,
    created_us     INTEGER NOT NULL,
    verdict        INTEGER NOT NULL,        -- vx_verdict_kind, and how it was reached:
    duplicate_of   TEXT    NOT NULL,        -- a video id, perhaps of a video deleted since; '' = new
    score          REAL,
    share          REAL,
    offset_s       REAL,
    mirrored       INTEGER NOT NULL,
    decode_path    TEXT    NOT NULL,
    frames_decoded INTEGER NOT NULL,
    frames_total   INTEGER NOT NULL
);
CREATE INDEX videos_by_verdict ON videos (verdict);

CREATE TABLE clips (
    row      INTEGER PRIMARY KEY AUTOINCREMENT CHECK (row < 1 << 40), -- see vectors.key
    video    INTEGER NOT NULL REFERENCES videos (row) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    start_s  REAL    NOT NULL,
    end_s    REAL    NOT NULL,
    UNIQUE (video, position)
);

CREATE TABLE fingerprints (
    video INTEGER PRIMARY KEY REFERENCES videos (row) ON DELETE CASCADE,
    data  BLOB NOT NULL
);

CREATE TABLE spaces (
    row    INTEGER PRIMARY KEY AUTOINCREMENT CHECK (row < 1 << 22),
    model  TEXT    NOT NULL,
    digest TEXT    NOT NULL,
    dim    INTEGER NOT NULL CHECK (dim > 0),
    UNIQUE (model, digest)
);

-- One integer key, so that the vectors of a space lie side by side in clip order in the leaves of a
-- rowid table. A WITHOUT ROWID table keeps at most a quarter of a page with the key: at 16 KiB pages
-- a 1280-d vector overflows there and the file grows to 3.7 times the vectors (here: 1.07 times).
CREATE TABLE vectors (
    key  INTEGER PRIMARY KEY, -- spaces.row << 40 | clips.row
    data BLOB NOT NULL        -- float32 [dim], little endian
);
CREATE TRIGGER clips_delete_vectors AFTER DELETE ON clips BEGIN
    DELETE FROM vectors WHERE key IN (SELECT (row << 40) | OLD.row FROM spaces);
END;

CREATE TABLE jobs (
    id          TEXT PRIMARY KEY NOT NULL,
    state       INTEGER NOT NULL, -- vx_job_state; queued and running are <= 1
    kind        TEXT NOT NULL,
    request     TEXT NOT NULL,
    result      TEXT,
    created_us  INTEGER NOT NULL,
    finished_us INTEGER NOT NULL  -- 0 = not yet
);
CREATE INDEX jobs_by_age ON jobs (created_us, id);
CREATE INDEX jobs_unfinished ON jobs (created_us, id) WHERE state <= 1;
CREATE INDEX jobs_finished ON jobs (finished_us) WHERE state > 1;
