-- What else a record holds. Other kinds than call are not calls, but what somebody did to the installation.
ALTER TABLE audit.call
	ADD COLUMN kind             text NOT NULL DEFAULT 'call',
	ADD COLUMN access           text NOT NULL DEFAULT '',
	ADD COLUMN client_ip_source text NOT NULL DEFAULT '',
	ADD COLUMN token_id         text NOT NULL DEFAULT '',
	ADD COLUMN groups           text[],
	ADD COLUMN change           json; -- as it came: the hash is of its bytes

-- The hash chain before the first and behind the last record of a run, as its gateway said; null: it did not.
ALTER TABLE audit.run ADD COLUMN prev_hash bytea, ADD COLUMN hash bytea;

-- Everything there is, but for open calls that a later record has replaced. A call is open while it runs; one whose
-- gateway has started anew since will never end.
CREATE VIEW audit.records AS
SELECT c.id, c.time, c.request_id, c.site, c.gateway, c.node, c.config_version,
       c.credential, c.provider, c.client_id, c.credential_fingerprint, c.username AS "user",
       c.decision, c.reason, c.detail, c.observed, c.status,
       CASE WHEN c.outcome = 'open' AND EXISTS (SELECT FROM audit.source s WHERE s.gateway = c.gateway AND s.epoch > c.epoch)
            THEN 'interrupted' ELSE c.outcome END AS outcome,
       c.method, c.path, c.query, c.client_ip, c.user_agent,
       c.bytes_in, c.bytes_out, c.duration_ns, c.upstream_duration_ns, c.trace_id, c.epoch, c.n,
       c.kind, c.access, c.client_ip_source, c.token_id, coalesce(c.groups, '{}') AS groups, c.change
FROM audit.call c
WHERE c.outcome <> 'open'
   OR NOT EXISTS (SELECT FROM audit.replaced r WHERE r.gateway = c.gateway AND r.epoch = c.epoch AND r.n = c.n);
COMMENT ON VIEW audit.records IS 'Calls and everything else that is kept, by kind.';

CREATE OR REPLACE VIEW audit.events AS
SELECT id, time, request_id, site, gateway, node, config_version, credential, provider, client_id, credential_fingerprint,
       "user", decision, reason, detail, observed, status, outcome, method, path, query, client_ip, user_agent,
       bytes_in, bytes_out, duration_ns, upstream_duration_ns, trace_id, epoch, n, access, client_ip_source, token_id, groups
FROM audit.records WHERE kind = 'call';

CREATE VIEW audit.actions AS
SELECT id, time, kind, "user", decision, reason, detail, change, request_id, site, config_version, method, path, query, status,
       client_ip, user_agent, gateway AS source, epoch, n
FROM audit.records WHERE kind <> 'call';
COMMENT ON VIEW audit.actions IS
	'One row for each thing that was done to the installation: kind says what, user who, change what is different.';
