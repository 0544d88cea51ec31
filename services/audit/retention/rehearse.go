package retention

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
)

// rehearse finds out what a run would do now, and does nothing. It has no lock: a run that is under way goes on, and
// what comes meanwhile may be counted or not.
func (k *Keeper) rehearse(ctx context.Context, by string, policy configlog.Retention) (Outcome, error) {
	pooled, err := k.Pool.Acquire(ctx)
	if err != nil {
		return Outcome{}, err
	}
	defer k.release(pooled)
	r := &run{Keeper: k, conn: pooled.Conn(), dry: true, done: Outcome{
		DryRun: true, Began: time.Now().UTC(), AskedBy: by, Policy: limits(policy), Stays: &Rest{},
	}}
	_, err = r.conn.Exec(ctx, `SELECT set_config('statement_timeout', '30000', false), set_config('lock_timeout', '2000', false),
		set_config('plan_cache_mode', 'force_custom_plan', false), set_config('max_parallel_workers_per_gather', '0', false),
		set_config('default_transaction_read_only', 'on', false)`)
	if err != nil {
		return Outcome{}, err
	}
	if r.bounds, err = bound(ctx, r.conn, policy); err != nil {
		return Outcome{}, err
	}
	if r.holds, err = standing(ctx, r.conn); err != nil {
		return Outcome{}, err
	}
	parts, _, err := readParts(ctx, r.conn)
	if err != nil {
		return Outcome{}, err
	}
	for i := range parts {
		r.done.Stays.Records += parts[i].rows
	}
	for i := range parts {
		if err := r.weigh(ctx, &parts[i]); err != nil {
			return Outcome{}, err
		}
	}
	r.done.Stays.Records -= r.done.Records
	r.done.Before, r.done.UpTo = none(r.before), r.upTo
	ended := time.Now().UTC()
	r.done.Ended = &ended
	return r.done, nil
}

func limits(policy configlog.Retention) Limits { return Limits{policy.MaxDays, policy.MaxEntries} }

// weigh counts what would go of a partition.
func (r *run) weigh(ctx context.Context, p *part) error {
	if p.state == stateGone || p.rows == 0 {
		return nil
	}
	r.counted = span{p.lo, p.hi - 1}
	if r.whole(p) {
		held, err := r.held(ctx, r.conn, p, r.holds)
		if err != nil {
			return err
		}
		apart := p.state == stateLeaving
		if !held && !apart {
			if apart, err = r.apart(ctx, p); err != nil {
				return err
			}
		}
		if !held && apart {
			r.done.Partitions++
			r.done.Records += p.rows
			r.went(p.minTime, p.maxTime)
			return nil
		}
	}
	if r.some(p) {
		return r.trim(ctx, p)
	}
	r.stay(p.minTime)
	return nil
}

// apart tells whether a run that this partition shares with a neighbour goes too, if there is one.
func (r *run) apart(ctx context.Context, p *part) (bool, error) {
	for _, id := range []int64{p.lo, p.hi} {
		shared, err := r.shared(ctx, id)
		if err != nil {
			return false, err
		}
		if !shared {
			continue
		}
		if v, _, err := r.judge(ctx, r.conn, r.holds, id, id); err != nil || len(v.runs) == 0 {
			return false, err
		}
	}
	return true, nil
}

// count adds what a step has done, or would do.
func (r *run) count(v verdict) {
	if !r.dry {
		r.meters.records.Add(float64(len(v.records)))
		return
	}
	r.done.Records += int64(len(v.records))
	r.done.Held += v.held
	r.went(v.oldest, v.newest)
	r.stay(v.earlier)
}

// heldWhole counts a partition that a hold keeps as it is.
func (r *run) heldWhole(p *part) {
	if r.dry {
		r.done.Held += p.rows
		r.stay(p.minTime)
	}
}

func (r *run) went(oldest, newest time.Time) {
	r.done.Oldest, r.done.Newest = pick(r.done.Oldest, oldest, earliest), pick(r.done.Newest, newest, latest)
}

func (r *run) stay(oldest time.Time) {
	r.done.Stays.Oldest = pick(r.done.Stays.Oldest, oldest, earliest)
}

// pick gives one of two times; nil and the zero time are none.
func pick(a *time.Time, b time.Time, choose func(a, b time.Time) time.Time) *time.Time {
	if a != nil {
		b = choose(*a, b)
	}
	return none(b.UTC())
}

// staying looks for the earliest time of what is not due in a partition.
func (r *run) staying(ctx context.Context, p *part) error {
	var first *time.Time
	err := r.conn.QueryRow(ctx, `SELECT min(time) FROM audit.call WHERE id >= $1 AND id < $2 AND id > $3 AND ($4::timestamptz IS NULL OR time >= $4)`,
		p.lo, p.hi, r.upTo, none(r.before)).Scan(&first)
	if err != nil {
		return fmt.Errorf("look for what stays of partition %s: %w", p.name, err)
	}
	if first != nil {
		r.stay(*first)
	}
	return nil
}
