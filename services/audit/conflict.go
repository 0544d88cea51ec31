package audit

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// conflict is a record that came with the number of another one.
type conflict struct {
	sourceKey
	n      int64
	kept   int64 // the other one's id
	record *auditv1.Record
}

// place is where the records of a span are.
type place struct {
	of *run // the ones that came again
	span
	firstID int64
}

// contradictions gives those of the records that came again which are not the ones that are there. It looks inside
// the transaction, so the other one may be as new. What is there no longer is not known to differ.
func contradictions(ctx context.Context, tx pgx.Tx, again []run) ([]conflict, error) {
	places, err := locate(ctx, tx, again)
	if err != nil {
		return nil, fmt.Errorf("look for records that came again: %w", err)
	}
	var all []conflict
	var b pgx.Batch
	for _, p := range places {
		b.Queue(`SELECT `+strings.Join(columns(), ", ")+` FROM audit.call WHERE id BETWEEN $1 AND $2`,
			p.firstID, p.firstID+small(p.last-p.first)).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				have, err := rows.Values()
				if err != nil {
					return err
				}
				if c, differs := p.compare(have); differs {
					all = append(all, c)
				}
			}
			return rows.Err()
		})
	}
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return nil, fmt.Errorf("read records that came again: %w", err)
	}
	return all, nil
}

// locate finds out where the records that came again are.
func locate(ctx context.Context, tx pgx.Tx, again []run) (places []place, err error) {
	// Runs do not overlap: behind the first one that ends at the last number or later nothing of interest comes.
	const overlapping = `SELECT first_n, last_n, first_id FROM (
			(SELECT * FROM audit.run WHERE gateway = $1 AND epoch = $2 AND last_n >= $3 AND last_n < $4)
			UNION ALL
			(SELECT * FROM audit.run WHERE gateway = $1 AND epoch = $2 AND last_n >= $4 ORDER BY last_n LIMIT 1)) r
		WHERE first_n <= $4`
	var b pgx.Batch
	for i := range again {
		of := &again[i]
		wanted := span{of.n, of.n + uint64(len(of.records)) - 1}
		b.Queue(overlapping, of.gateway, small(of.epoch), small(wanted.first), small(wanted.last)).Query(func(rows pgx.Rows) error {
			var there span
			var firstID int64
			_, err := pgx.ForEachRow(rows, []any{&there.first, &there.last, &firstID}, func() error {
				part := span{max(there.first, wanted.first), min(there.last, wanted.last)}
				places = append(places, place{of, part, firstID + small(part.first-there.first)})
				return nil
			})
			return err
		})
	}
	return places, tx.SendBatch(ctx, &b).Close()
}

// compare holds a row of audit.call, in the order of columns, against the record that came again.
func (p *place) compare(have []any) (c conflict, differs bool) {
	id, _ := have[0].(int64)
	i := int(p.first-p.of.n) + int(id-p.firstID) //nolint:gosec // an index
	want := rowOf(nil, p.of, i, id)
	return conflict{p.of.sourceKey, small(p.of.n) + int64(i), id, p.of.records[i]}, !slices.EqualFunc(have, want, equal)
}

// equal compares a value as Postgres gives it with the one it was given.
func equal(have, want any) bool {
	switch want := want.(type) {
	case time.Time:
		have, ok := have.(time.Time)
		return ok && have.Equal(want.Truncate(time.Microsecond))
	case netip.Addr:
		have, ok := have.(netip.Prefix)
		return ok && have.Addr() == want
	case []string:
		have, ok := have.([]any)
		return ok && slices.EqualFunc(have, want, func(h any, w string) bool { return h == w })
	case change:
		var parsed any
		return json.Unmarshal([]byte(want), &parsed) == nil && reflect.DeepEqual(have, parsed)
	}
	return have == want
}

// keep puts conflicts where they can be looked at, and gives those that were not there yet.
func keep(ctx context.Context, tx pgx.Tx, all []conflict) (fresh []conflict, err error) {
	var b pgx.Batch
	for _, c := range all {
		binary, err := proto.MarshalOptions{Deterministic: true}.Marshal(c.record)
		if err != nil {
			return nil, err
		}
		text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(c.record)
		if err != nil {
			return nil, err
		}
		hash := sha256.Sum256(binary)
		b.Queue(`INSERT INTO audit.conflict (gateway, epoch, n, hash, kept, record) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
			c.gateway, small(c.epoch), c.n, hash[:], c.kept, text).Exec(func(done pgconn.CommandTag) error {
			if done.RowsAffected() > 0 {
				fresh = append(fresh, c)
			}
			return nil
		})
	}
	return fresh, tx.SendBatch(ctx, &b).Close()
}
