-- Where the records first_n to last_n of a gateway and epoch are: the ids from first_id on, one after the other. By
-- it a record that comes again is held against the one that is there; audit.call has no index on numbers, because
-- every index makes each insert dearer. Goes with the partition of its ids.
CREATE TABLE audit.run (
	gateway  text   NOT NULL,
	epoch    bigint NOT NULL,
	first_n  bigint NOT NULL,
	last_n   bigint NOT NULL,
	first_id bigint NOT NULL
);
-- Not unique: nothing that is kept for comparing should ever keep a record out.
CREATE INDEX run_last ON audit.run (gateway, epoch, last_n);

-- Records that came with the number of another one, whose id is kept. One of the two is not what its gateway did.
CREATE TABLE audit.conflict (
	gateway text        NOT NULL,
	epoch   bigint      NOT NULL,
	n       bigint      NOT NULL,
	hash    bytea       NOT NULL,
	kept    bigint      NOT NULL,
	record  jsonb       NOT NULL,
	at      timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (gateway, epoch, n, hash)
);
COMMENT ON COLUMN audit.conflict.record IS 'As in proto/audit/v1: time in nanoseconds since 1970.';
