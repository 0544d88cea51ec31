-- A second copy of the log of API tokens, like that of the configuration (0008).
CREATE TABLE audit.token_log (LIKE audit.config_log INCLUDING ALL);
CREATE TABLE audit.token_commit (LIKE audit.config_commit INCLUDING ALL);
ALTER TABLE audit.token_commit ADD FOREIGN KEY (epoch) REFERENCES audit.token_log;

CREATE VIEW audit.token_restore AS
SELECT epoch, seq, encode(hash, 'hex') AS msg_id, encode(prev_hash, 'hex') AS prev_hash, translate(encode(data, 'base64'), E'\n', '') AS body
FROM audit.token_commit WHERE epoch = (SELECT epoch FROM audit.token_log ORDER BY since DESC, epoch DESC LIMIT 1) ORDER BY seq;
COMMENT ON VIEW audit.token_restore IS 'The commits of the history that holds, as messages of stream TOKENS. See docs/runbook.md.';

-- Whose id it is when a token was issued or revoked.
CREATE OR REPLACE VIEW audit.actions AS
SELECT id, time, kind, "user", decision, reason, detail, change, request_id, site, config_version, method, path, query, status,
       client_ip, user_agent, gateway AS source, epoch, n, token_id
FROM audit.records WHERE kind <> 'call';

COMMENT ON COLUMN audit.actions.source IS 'which service recorded it: config, config-log, token-log, audit, or the id of a gateway';
COMMENT ON COLUMN audit.actions.token_id IS 'id of the API token, of the call or that was issued or revoked';
COMMENT ON COLUMN audit.events.token_id IS 'id of the API token, of the call or that was issued or revoked';
COMMENT ON COLUMN audit.records.token_id IS 'id of the API token, of the call or that was issued or revoked';
