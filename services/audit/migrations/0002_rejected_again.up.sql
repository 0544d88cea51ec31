-- A stream that was restored is read anew: a rejected message comes again, and its sequence may be another message's.
-- Rows from before have the empty hash.
ALTER TABLE audit.rejected ADD COLUMN hash bytea NOT NULL DEFAULT '';
ALTER TABLE audit.rejected ALTER COLUMN hash DROP DEFAULT;
ALTER TABLE audit.rejected DROP CONSTRAINT rejected_pkey, ADD PRIMARY KEY (stream, incarnation, seq, hash);
