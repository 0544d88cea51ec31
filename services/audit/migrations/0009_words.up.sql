-- What the columns of the views mean, for tools that show it; docs/reference/audit-database.md has the same words.
DO $$
DECLARE word record;
BEGIN
	FOR word IN
		SELECT v.name AS view, w.name AS column, w.says
		FROM (VALUES
			('id', 'order in the trail; dense, given when the record is stored, never given twice'),
			('time', 'when the call was received, or when it was done; UTC, to the microsecond'),
			('kind', 'call, or what was done to the installation'),
			('request_id', 'X-Gatehouse-Request-Id of the reply; the node got it too'),
			('site', 'id of the site in the configuration; empty: the call was for none'),
			('gateway', 'id of the gateway'),
			('source', 'which service recorded it: config, config-log, audit, or the id of a gateway'),
			('node', 'id of the node that the call was sent to; empty: to none'),
			('config_version', 'sequence of the configuration that decided, or of the commit; 0: before there was one'),
			('credential', 'none, basic, pat, oauth, api_token, link, session or admin_token'),
			('provider', 'id of the identity provider whose token it was'),
			('client_id', 'OAuth 2.0 client the token was issued to'),
			('credential_fingerprint', 'keyed fingerprint of the credential, the same on every gateway; never the credential'),
			('token_id', 'id of the API token'),
			('user', 'the user acted as; of other kinds: who did it'),
			('groups', 'groups of the user that a rule named'),
			('decision', 'allow (forwarded as a user that Gatehouse vouches for), deny, or pass (forwarded as it came, with what it brought)'),
			('reason', 'reason code, see policy.md and audit-actions.md'),
			('detail', 'more about the reason, for a human'),
			('observed', 'reason that would have refused the call if its site did not only observe'),
			('access', 'READ or WRITE; empty: the call was not judged as either'),
			('status', 'HTTP status of the reply; 499: the client was gone before it; 0: none yet'),
			('outcome', 'completed, open (it still runs) or interrupted (by its client, its node or the death of its gateway)'),
			('method', 'HTTP method'),
			('path', 'canonical path; of a call that was refused as ambiguous, the path as it came'),
			('query', 'query string, with the values of secrets removed'),
			('client_ip', 'address of the client'),
			('client_ip_source', 'how client_ip was found: peer, or the header that said it'),
			('user_agent', 'User-Agent header'),
			('bytes_in', 'bytes of the request''s body that were read'),
			('bytes_out', 'bytes of the reply''s body that were sent'),
			('duration_ns', 'nanoseconds from the request''s header to the end of the reply'),
			('upstream_duration_ns', 'nanoseconds of them from sending it to the node to the end of the node''s reply; 0: not sent'),
			('trace_id', 'W3C trace id, hexadecimal; empty: not traced'),
			('change', 'JSON: what is different now, or what was asked for'),
			('epoch', 'start of the gateway that numbered the record; later starts have higher ones'),
			('n', 'number of the record among those of its gateway and epoch, from 1 without a gap')
		) AS w (name, says)
		JOIN (VALUES ('events'), ('actions'), ('records')) AS v (name)
		ON EXISTS (SELECT FROM information_schema.columns c
			WHERE c.table_schema = 'audit' AND c.table_name = v.name AND c.column_name = w.name)
	LOOP
		EXECUTE format('COMMENT ON COLUMN audit.%I.%I IS %L', word.view, word.column, word.says);
	END LOOP;
END
$$;
