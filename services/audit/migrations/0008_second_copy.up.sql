-- A second copy of the configuration: every commit of its log and every sealed secret, to look into and to restore from
-- (docs/runbook.md). Nothing here is ever changed or removed by retention.

-- The histories the log has had. There is one, unless the log was lost and begun anew, or cut and continued otherwise;
-- a stream that was made anew and holds the same commits is the same history.
CREATE TABLE audit.config_log (
	-- Names it in the trail too: when the stream was made, in nanoseconds since 1970, or later, so that it is the
	-- greatest so far.
	epoch       bigint      PRIMARY KEY,
	-- When the stream was made in which it was found first.
	incarnation timestamptz NOT NULL,
	-- Commits up to this one it shares with the history before it, in which the trail has them.
	base        bigint      NOT NULL,
	-- The hash chain of the trail before its first record.
	genesis     bytea       NOT NULL,
	-- When the log was last found to hold it although it had held another one. The greatest is the one that holds.
	since       timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE audit.config_commit (
	epoch      bigint      NOT NULL REFERENCES audit.config_log,
	seq        bigint      NOT NULL,
	hash       bytea       NOT NULL, -- SHA-256(prev_hash || data)
	prev_hash  bytea       NOT NULL, -- 32 zeros before the first
	at         timestamptz, -- what follows is in data too; null, '': data cannot be read
	who        text        NOT NULL,
	why        text        NOT NULL,
	request_id text        NOT NULL,
	data       bytea       NOT NULL,
	-- The hash chain of the trail behind its record; null: the record is one of the history before.
	chain      bytea,
	-- Its record, as it is sent to the trail; null: the trail has it.
	record     bytea,
	copied_at  timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (epoch, seq)
);
CREATE INDEX config_commit_waits ON audit.config_commit (epoch, seq) WHERE record IS NOT NULL;

-- Sealed secrets as they are in bucket SECRETS, by "ref.version". A key has one value, unless the bucket was lost.
CREATE TABLE audit.sealed_secret (
	key         text        NOT NULL,
	hash        bytea       NOT NULL, -- SHA-256(data)
	data        bytea       NOT NULL,
	created     timestamptz NOT NULL,
	incarnation timestamptz NOT NULL, -- when the bucket was made
	copied_at   timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (key, hash)
);

-- What to send to NATS to have the log again: base64, so that a shell can read it line by line.
CREATE VIEW audit.config_restore AS
SELECT epoch, seq, encode(hash, 'hex') AS msg_id, encode(prev_hash, 'hex') AS prev_hash, translate(encode(data, 'base64'), E'\n', '') AS body
FROM audit.config_commit WHERE epoch = (SELECT epoch FROM audit.config_log ORDER BY since DESC, epoch DESC LIMIT 1) ORDER BY seq;
COMMENT ON VIEW audit.config_restore IS 'The commits of the history that holds, as messages of stream CONFIG. See docs/runbook.md.';

CREATE VIEW audit.secret_restore AS
SELECT DISTINCT ON (key) key, translate(encode(data, 'base64'), E'\n', '') AS body
FROM audit.sealed_secret ORDER BY key, created DESC;
COMMENT ON VIEW audit.secret_restore IS 'The sealed secrets, as messages of bucket SECRETS. See docs/runbook.md.';
