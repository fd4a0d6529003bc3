-- How many second looks at a video have begun and not ended: one that ends the process must not do so for ever.

ALTER TABLE videos ADD COLUMN look_tries INTEGER NOT NULL DEFAULT 0;
