-- Calls by minute, counted in the transaction that stores them. A call is counted once, when its outcome is stored.
CREATE TABLE audit.stat (
	minute               timestamptz NOT NULL,
	site                 text   NOT NULL,
	gateway              text   NOT NULL,
	decision             text   NOT NULL,
	reason               text   NOT NULL,
	access               text   NOT NULL,
	status_class         integer NOT NULL, -- 4 is 4xx, 0 no reply
	calls                bigint NOT NULL,
	bytes_in             numeric NOT NULL,
	bytes_out            numeric NOT NULL,
	duration_ns          numeric NOT NULL,
	upstream_duration_ns numeric NOT NULL,
	within_10ms          bigint NOT NULL,
	within_50ms          bigint NOT NULL,
	within_100ms         bigint NOT NULL,
	within_500ms         bigint NOT NULL,
	within_1s            bigint NOT NULL,
	within_5s            bigint NOT NULL,
	PRIMARY KEY (minute, site, gateway, decision, reason, access, status_class)
) WITH (fillfactor = 70);

INSERT INTO audit.stat
SELECT date_trunc('minute', time, 'UTC'), site, gateway, decision, reason, access, status / 100, count(*), sum(bytes_in), sum(bytes_out), sum(duration_ns),
       sum(upstream_duration_ns), count(*) FILTER (WHERE duration_ns <= 10000000), count(*) FILTER (WHERE duration_ns <= 50000000),
       count(*) FILTER (WHERE duration_ns <= 100000000), count(*) FILTER (WHERE duration_ns <= 500000000),
       count(*) FILTER (WHERE duration_ns <= 1000000000), count(*) FILTER (WHERE duration_ns <= 5000000000)
FROM audit.call WHERE kind = 'call' AND outcome <> 'open' GROUP BY 1, 2, 3, 4, 5, 6, 7;
