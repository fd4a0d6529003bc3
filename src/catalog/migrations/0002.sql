-- How many vectors each space has, so that nobody must walk them: counted once here, then kept.
-- A space that was given up has ":<row>" behind its digest: no package has that digest, so that the
-- same package, loaded again, gets a new space while the vectors of this one are still being deleted.

ALTER TABLE spaces ADD COLUMN vectors INTEGER NOT NULL DEFAULT 0;
UPDATE spaces SET vectors =
    (SELECT count(*) FROM vectors WHERE key >= spaces.row << 40 AND key < (spaces.row + 1) << 40);
CREATE TRIGGER vectors_insert_counts AFTER INSERT ON vectors BEGIN
    UPDATE spaces SET vectors = vectors + 1 WHERE row = NEW.key >> 40;
END;
CREATE TRIGGER vectors_delete_counts AFTER DELETE ON vectors BEGIN
    UPDATE spaces SET vectors = vectors - 1 WHERE row = OLD.key >> 40;
END;
