-- What retention has to know, and what it has done. See retention/doc.go.

-- Where a partition stands. kept: in audit.call. leaving: on its way out of audit.call, or out of it already. gone: its
-- table is dropped; what belongs to its records goes next, and this row last.
ALTER TABLE audit.part ADD COLUMN state text NOT NULL DEFAULT 'kept' CHECK (state IN ('kept', 'leaving', 'gone'));

-- What belongs to a record goes with it, and is found by its id.
CREATE INDEX run_id ON audit.run (first_id);
CREATE INDEX replaced_id ON audit.replaced (id);
CREATE INDEX conflict_kept ON audit.conflict (kept);

-- Legal holds: what matches one that is not lifted is kept. null: whatever it is. Rows stay for good.
CREATE TABLE audit.hold (
	id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	from_time timestamptz, -- included
	to_time   timestamptz, -- not included
	username  text,
	client_id text,
	site      text,
	reason    text        NOT NULL,
	set_by    text        NOT NULL,
	set_at    timestamptz NOT NULL DEFAULT now(),
	lifted_by text,
	lifted_at timestamptz,
	CHECK (from_time < to_time),
	CHECK ((lifted_by IS NULL) = (lifted_at IS NULL))
);

-- The latest runs of retention. One without an end runs, or was interrupted.
CREATE TABLE audit.retention_run (
	id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	began       timestamptz NOT NULL DEFAULT clock_timestamp(),
	ended       timestamptz,
	asked_by    text        NOT NULL, -- '': nobody, it was time
	request_id  text        NOT NULL,
	client_ip   text        NOT NULL,
	max_days    bigint      NOT NULL, -- 0: without that bound
	max_entries bigint      NOT NULL,
	before      timestamptz,          -- what is older was to go
	up_to       bigint      NOT NULL, -- and what has this id or a lower one
	records     bigint      NOT NULL DEFAULT 0,
	partitions  bigint      NOT NULL DEFAULT 0, -- of the records, dropped whole
	rejected    bigint      NOT NULL DEFAULT 0, -- messages of audit.rejected
	held        bigint      NOT NULL DEFAULT 0, -- records that stay for a hold alone
	oldest      timestamptz, -- of the records that went
	newest      timestamptz,
	error       text        NOT NULL DEFAULT ''
);

-- What was done here and the trail is still to be told.
CREATE TABLE audit.unrecorded (
	id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at         timestamptz NOT NULL DEFAULT clock_timestamp(),
	kind       text        NOT NULL,
	username   text        NOT NULL,
	request_id text        NOT NULL,
	client_ip  text        NOT NULL,
	change     json        NOT NULL
);
