-- Jobs that are tried again. A try is counted before it begins, so that one which ended the process is known
-- at the next start. State 5 is parked: not finished, but nobody tries it before a client asks for it.

ALTER TABLE jobs ADD COLUMN attempts    INTEGER NOT NULL DEFAULT 0; -- tries begun
ALTER TABLE jobs ADD COLUMN crashes     INTEGER NOT NULL DEFAULT 0; -- of these: the process ended meanwhile
ALTER TABLE jobs ADD COLUMN failing_us  INTEGER NOT NULL DEFAULT 0; -- the first try that failed; 0 = none
ALTER TABLE jobs ADD COLUMN next_try_us INTEGER NOT NULL DEFAULT 0; -- 0 = not set
ALTER TABLE jobs ADD COLUMN last_error  TEXT;
CREATE INDEX jobs_parked ON jobs (created_us, id) WHERE state = 5;
