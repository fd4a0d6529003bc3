-- Clusterings: groups of similar clips that a job found, and which clips are in them.
--
-- A member is the vector of a clip, not the clip: where the vector goes (its clip is deleted or cut anew, its
-- model's vectors are dropped), so does the member, and the counts stay right without the clustering's doing.

CREATE TABLE clusterings (
    row         INTEGER PRIMARY KEY AUTOINCREMENT CHECK (row < 1 << 20),
    id          TEXT    NOT NULL UNIQUE, -- "c" and 24 random hex digits
    space       INTEGER NOT NULL,        -- spaces.row
    state       INTEGER NOT NULL,        -- vx_clustering_state
    created_us  INTEGER NOT NULL,
    request     TEXT    NOT NULL,        -- JSON: what was asked for
    summary     TEXT    NOT NULL,        -- JSON: what was found
    centroids   BLOB    NOT NULL         -- float32 [k, dim], little endian
);

-- The members of a clustering lie side by side, each cluster's from the nearest to its centroid on.
CREATE TABLE cluster_members (
    clustering INTEGER NOT NULL,
    cluster    INTEGER NOT NULL, -- -1: in none
    place      INTEGER NOT NULL, -- 0.. by falling score
    clip       INTEGER NOT NULL,
    video      INTEGER NOT NULL,
    score      REAL,             -- cosine with the centroid
    outlier    INTEGER NOT NULL,
    x          REAL    NOT NULL, -- the point in two dimensions
    y          REAL    NOT NULL,
    PRIMARY KEY (clustering, cluster, place)
) WITHOUT ROWID;
CREATE INDEX cluster_members_by_clip ON cluster_members (clip, clustering);
CREATE INDEX cluster_members_by_video ON cluster_members (video, clustering);
CREATE TRIGGER vectors_delete_members AFTER DELETE ON vectors BEGIN
    DELETE FROM cluster_members WHERE clip = OLD.key & ((1 << 40) - 1)
        AND clustering IN (SELECT row FROM clusterings WHERE space = OLD.key >> 40);
END;
