-- Hash of the message at last_seq, by which a stream that was restored from an older copy is known although it has
-- grown beyond last_seq since. null: no message of this incarnation was committed yet.
ALTER TABLE audit.cursor ADD COLUMN last_hash bytea;
