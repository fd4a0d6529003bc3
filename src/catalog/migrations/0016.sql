-- Folders that are indexed in place (folders/): which files lie there, and whose bytes they have.

CREATE TABLE folders (
    name      TEXT    PRIMARY KEY NOT NULL,
    path      TEXT    NOT NULL,           -- at the last start that was given this folder
    trash     INTEGER NOT NULL,           -- 1: files may be moved to its trash; at that start, too
    walked_us INTEGER NOT NULL DEFAULT 0  -- when all of it was last read; 0: never
) WITHOUT ROWID;

-- A file is one set of bytes at one path: when the bytes change or go, the row becomes a missing one. dir and name
-- are the bytes that the file system has, which need not be UTF-8.
CREATE TABLE folder_files (
    row        INTEGER PRIMARY KEY AUTOINCREMENT,
    folder     TEXT    NOT NULL,            -- folders.name
    dir        TEXT    NOT NULL,            -- below the folder; '' = itself
    name       TEXT    NOT NULL,
    bytes      INTEGER NOT NULL,
    mtime_ns   INTEGER NOT NULL,
    ctime_ns   INTEGER NOT NULL,
    video      TEXT,                        -- id of the video that its bytes are; NULL: not read yet
    error      TEXT,                        -- why it is no video; NULL
    retry      INTEGER NOT NULL DEFAULT 0,  -- 1: that may pass, the next walk tries again
    recheck    INTEGER NOT NULL DEFAULT 0,  -- 1: its bytes may have changed although size and mtime have not
    ready_us   INTEGER NOT NULL,            -- it is not read before: it may still be written
    missing_us INTEGER NOT NULL DEFAULT 0   -- since when it is not there; 0: it is; 1: expired
);
CREATE UNIQUE INDEX folder_files_by_path ON folder_files (folder, dir, name) WHERE missing_us = 0;
CREATE INDEX folder_files_missing ON folder_files (folder, dir, name) WHERE missing_us <> 0;
CREATE INDEX folder_files_expiring ON folder_files (missing_us) WHERE missing_us <> 0;
CREATE INDEX folder_files_by_video ON folder_files (video) WHERE video IS NOT NULL;
CREATE INDEX folder_files_waiting ON folder_files (folder, row)
    WHERE (video IS NULL OR recheck = 1) AND error IS NULL AND missing_us = 0;
CREATE INDEX folder_files_failed ON folder_files (folder, row) WHERE error IS NOT NULL AND missing_us = 0;

-- Videos that were deleted while their files lay in a folder: these are not indexed again.
CREATE TABLE folder_forgotten (
    video        TEXT    PRIMARY KEY NOT NULL,
    filename     TEXT    NOT NULL,
    bytes        INTEGER NOT NULL,
    forgotten_us INTEGER NOT NULL,
    trash        INTEGER NOT NULL -- 1: files of it, in folders that allow it, are to be moved to the trash
) WITHOUT ROWID;
