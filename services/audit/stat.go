package audit

import (
	"time"

	"github.com/jackc/pgx/v5"
)

// statKey is what calls are alike in that are counted together.
type statKey struct {
	minute                                  int64 // since 1970
	site, gateway, decision, reason, access string
	class                                   int32 // of the status
}

// stat counts calls.
type stat struct {
	calls                    int64
	in, out, total, upstream float64
	within                   [6]int64
}

// withins are the durations up to which calls are counted, as in the columns of audit.stat.
func withins() [6]time.Duration {
	return [6]time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, time.Second, 5 * time.Second}
}

// statsOf counts the calls of some runs that have ended. One that was stored as open counts when its outcome is stored.
func statsOf(runs []run) map[statKey]*stat {
	all, bounds := map[statKey]*stat{}, withins()
	var last statKey
	var s *stat
	for i := range runs {
		for _, c := range runs[i].records {
			if c.GetKind() != "" || c.GetOutcome() == "open" {
				continue
			}
			key := statKey{
				small(c.GetTime()) / int64(time.Minute), c.GetSite(), runs[i].gateway, c.GetDecision(), c.GetReason(), c.GetAccess(),
				int32(min(c.GetStatus(), 9999) / 100),
			}
			if s == nil || key != last {
				if s = all[key]; s == nil {
					s = &stat{}
					all[key] = s
				}
				last = key
			}
			s.calls++
			s.in, s.out = s.in+float64(c.GetBytesIn()), s.out+float64(c.GetBytesOut())
			s.total, s.upstream = s.total+float64(c.GetDuration()), s.upstream+float64(c.GetUpstreamDuration())
			for k, bound := range bounds {
				if small(c.GetDuration()) <= int64(bound) {
					s.within[k]++
				}
			}
		}
	}
	return all
}

// noteStats adds what was counted.
func noteStats(b *pgx.Batch, all map[statKey]*stat) {
	if len(all) == 0 {
		return
	}
	var minutes []time.Time
	var sites, gateways, decisions, reasons, accesses []string
	var classes []int32
	var calls []int64
	var in, out, total, upstream []float64
	var within [6][]int64
	for key, s := range all {
		minutes, classes = append(minutes, time.Unix(key.minute*60, 0).UTC()), append(classes, key.class)
		sites, gateways, decisions = append(sites, key.site), append(gateways, key.gateway), append(decisions, key.decision)
		reasons, accesses, calls = append(reasons, key.reason), append(accesses, key.access), append(calls, s.calls)
		in, out, total, upstream = append(in, s.in), append(out, s.out), append(total, s.total), append(upstream, s.upstream)
		for k := range within {
			within[k] = append(within[k], s.within[k])
		}
	}
	b.Queue(`INSERT INTO audit.stat AS s SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[],
			$8::bigint[], $9::float8[]::numeric[], $10::float8[]::numeric[], $11::float8[]::numeric[], $12::float8[]::numeric[],
			$13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[])
		ON CONFLICT (minute, site, gateway, decision, reason, access, status_class) DO UPDATE SET calls = s.calls + excluded.calls,
			bytes_in = s.bytes_in + excluded.bytes_in, bytes_out = s.bytes_out + excluded.bytes_out,
			duration_ns = s.duration_ns + excluded.duration_ns, upstream_duration_ns = s.upstream_duration_ns + excluded.upstream_duration_ns,
			within_10ms = s.within_10ms + excluded.within_10ms, within_50ms = s.within_50ms + excluded.within_50ms,
			within_100ms = s.within_100ms + excluded.within_100ms, within_500ms = s.within_500ms + excluded.within_500ms,
			within_1s = s.within_1s + excluded.within_1s, within_5s = s.within_5s + excluded.within_5s`,
		minutes, sites, gateways, decisions, reasons, accesses, classes, calls, in, out, total, upstream,
		within[0], within[1], within[2], within[3], within[4], within[5])
}
