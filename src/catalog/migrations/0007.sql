-- Fields of the metadata that have a column in memory, so that filters are quick by them.

CREATE TABLE metadata_indexes (
    field TEXT PRIMARY KEY NOT NULL -- as filters name it: metadata.camera
) WITHOUT ROWID;
