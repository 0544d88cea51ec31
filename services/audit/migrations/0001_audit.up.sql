-- What is kept of every call, and how far the stream AUDIT has been read. See doc.go for what may be read by others.

-- The highest id given. Ids are dense: a transaction takes the next ones under this row's lock, so they become
-- visible in their order and a reader who goes on from the last id it saw misses nothing.
CREATE TABLE audit.head (
	one     boolean PRIMARY KEY DEFAULT true CHECK (one),
	last_id bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO audit.head (last_id) VALUES (0);

-- How far each incarnation of a stream has been read; an incarnation is the time the stream was made.
CREATE TABLE audit.cursor (
	stream      text        NOT NULL,
	incarnation timestamptz NOT NULL,
	last_seq    bigint      NOT NULL,
	updated_at  timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (stream, incarnation)
) WITH (fillfactor = 10);

-- What is there of each gateway and epoch: the records 1 to last_n but the holes.
CREATE TABLE audit.source (
	gateway    text        NOT NULL,
	epoch      bigint      NOT NULL,
	last_n     bigint      NOT NULL,
	updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (gateway, epoch)
) WITH (fillfactor = 50);

-- Records first_n to last_n never came although later ones did. lost: the gateway no longer has them.
CREATE TABLE audit.hole (
	gateway  text        NOT NULL,
	epoch    bigint      NOT NULL,
	first_n  bigint      NOT NULL,
	last_n   bigint      NOT NULL CHECK (last_n >= first_n),
	lost     boolean     NOT NULL DEFAULT false,
	found_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (gateway, epoch, first_n)
);

-- Messages that are no batch of records, as they came.
CREATE TABLE audit.rejected (
	stream      text        NOT NULL,
	incarnation timestamptz NOT NULL,
	seq         bigint      NOT NULL,
	subject     text        NOT NULL,
	reason      text        NOT NULL,
	data        bytea       NOT NULL,
	at          timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (stream, incarnation, seq)
);

-- One row a record, in partitions of ids that the service makes ahead. Texts are never null; '' is none.
CREATE TABLE audit.call (
	id                     bigint      NOT NULL,
	time                   timestamptz NOT NULL,
	epoch                  bigint      NOT NULL,
	n                      bigint      NOT NULL,
	opened                 bigint      NOT NULL,
	config_version         bigint      NOT NULL,
	bytes_in               bigint      NOT NULL,
	bytes_out              bigint      NOT NULL,
	duration_ns            bigint      NOT NULL,
	upstream_duration_ns   bigint      NOT NULL,
	status                 integer     NOT NULL,
	client_ip              inet,
	gateway                text        NOT NULL,
	request_id             text        NOT NULL,
	site                   text        NOT NULL,
	node                   text        NOT NULL,
	credential             text        NOT NULL,
	provider               text        NOT NULL,
	client_id              text        NOT NULL,
	credential_fingerprint text        NOT NULL,
	username               text        NOT NULL,
	decision               text        NOT NULL,
	reason                 text        NOT NULL,
	detail                 text        NOT NULL,
	observed               text        NOT NULL,
	outcome                text        NOT NULL,
	method                 text        NOT NULL,
	path                   text        NOT NULL,
	query                  text        NOT NULL,
	user_agent             text        NOT NULL,
	trace_id               text        NOT NULL,
	PRIMARY KEY (id)
) PARTITION BY RANGE (id);
-- Every index makes each insert dearer, those on scattered values most, so a partition that is being filled has these
-- two only. It gets the others once it is full, when they are built in one go for a fraction of the work.
CREATE INDEX call_time ON audit.call USING brin (time) WITH (pages_per_range = 32, autosummarize = on);

-- The partitions of audit.call: ids lo to hi-1, what times their calls have, when they were stored, and whether they
-- are full and have all their indexes.
CREATE TABLE audit.part (
	name        text PRIMARY KEY,
	lo          bigint NOT NULL UNIQUE,
	hi          bigint NOT NULL CHECK (hi > lo),
	rows        bigint NOT NULL DEFAULT 0,
	sealed      boolean NOT NULL DEFAULT false,
	min_time    timestamptz,
	max_time    timestamptz,
	stored_from timestamptz,
	stored_to   timestamptz
) WITH (fillfactor = 50);

-- Records with outcome open that a later record of the same call has replaced; id is the later one's.
CREATE TABLE audit.replaced (
	gateway text   NOT NULL,
	epoch   bigint NOT NULL,
	n       bigint NOT NULL,
	id      bigint NOT NULL,
	PRIMARY KEY (gateway, epoch, n)
);

CREATE VIEW audit.events AS
SELECT c.id, c.time, c.request_id, c.site, c.gateway, c.node, c.config_version,
       c.credential, c.provider, c.client_id, c.credential_fingerprint, c.username AS "user",
       c.decision, c.reason, c.detail, c.observed, c.status, c.outcome,
       c.method, c.path, c.query, c.client_ip, c.user_agent,
       c.bytes_in, c.bytes_out, c.duration_ns, c.upstream_duration_ns, c.trace_id, c.epoch, c.n
FROM audit.call c
WHERE c.outcome <> 'open'
   OR NOT EXISTS (SELECT FROM audit.replaced r WHERE r.gateway = c.gateway AND r.epoch = c.epoch AND r.n = c.n);

COMMENT ON VIEW audit.events IS
	'One row a call. user is a word of SQL: write "user". Times are UTC to the microsecond, durations nanoseconds.';
