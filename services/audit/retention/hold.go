package retention

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Hold keeps what matches it: the records with all that it names. One that names nothing keeps everything.
type Hold struct {
	ID       int64      `json:"id"`
	From     *time.Time `json:"from,omitempty"` // included
	To       *time.Time `json:"to,omitempty"`   // not included
	User     string     `json:"user,omitempty"`
	ClientID string     `json:"client_id,omitempty"`
	Site     string     `json:"site,omitempty"`
	Reason   string     `json:"reason"`
	SetBy    string     `json:"set_by"`
	SetAt    time.Time  `json:"set_at"`
	LiftedBy string     `json:"lifted_by,omitempty"`
	LiftedAt *time.Time `json:"lifted_at,omitempty"`
}

const (
	holdColumns = `id, from_time, to_time, coalesce(username, ''), coalesce(client_id, ''), coalesce(site, ''), reason,
		set_by, set_at, coalesce(lifted_by, ''), lifted_at`
	selectHolds = `SELECT ` + holdColumns + ` FROM audit.hold`
)

func scanHold(row pgx.CollectableRow) (h Hold, err error) {
	err = row.Scan(&h.ID, &h.From, &h.To, &h.User, &h.ClientID, &h.Site, &h.Reason, &h.SetBy, &h.SetAt, &h.LiftedBy, &h.LiftedAt)
	h.SetAt = h.SetAt.UTC()
	for _, at := range []*time.Time{h.From, h.To, h.LiftedAt} {
		if at != nil {
			*at = at.UTC()
		}
	}
	return h, err
}

// querier is a pool, a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// standing reads the holds that are not lifted.
func standing(ctx context.Context, q querier) ([]Hold, error) {
	rows, err := q.Query(ctx, selectHolds+` WHERE lifted_at IS NULL ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("read the holds: %w", err)
	}
	return pgx.CollectRows(rows, scanHold)
}

// names are expressions for what a hold looks at.
type names struct{ time, user, clientID, site string }

// ofCall are those of audit.call, ofConflict those of audit.conflict, whose records are JSON.
func ofCall() names { return names{"time", "username", "client_id", "site"} }

func ofConflict() names {
	return names{
		"to_timestamp((record->>'time')::numeric / 1000000000)", "record->>'user'", "record->>'client_id'", "record->>'site'",
	}
}

// matching gives the condition under which one of the holds matches, and args with its values.
func matching(holds []Hold, n names, args []any) (string, []any) {
	if len(holds) == 0 {
		return "false", args
	}
	var some []string
	for _, h := range holds {
		all := []string{"true"}
		add := func(sql string, value any, given bool) {
			if given {
				args = append(args, value)
				all = append(all, fmt.Sprintf("%s $%d", sql, len(args)))
			}
		}
		add(n.time+" >=", h.From, h.From != nil)
		add(n.time+" <", h.To, h.To != nil)
		add(n.user+" =", h.User, h.User != "")
		add(n.clientID+" =", h.ClientID, h.ClientID != "")
		add(n.site+" =", h.Site, h.Site != "")
		some = append(some, "("+strings.Join(all, " AND ")+")")
	}
	return "(" + strings.Join(some, " OR ") + ")", args
}

// covers tells whether the hold keeps everything of these times, so that nobody need look.
func (h *Hold) covers(earliest, latest time.Time) bool {
	return h.User == "" && h.ClientID == "" && h.Site == "" &&
		(h.From == nil || !h.From.After(earliest)) && (h.To == nil || h.To.After(latest))
}

// touches tells whether the hold may keep something of these times, whoever it is about.
func (h *Hold) touches(earliest, latest time.Time) bool {
	return (h.From == nil || !h.From.After(latest)) && (h.To == nil || h.To.After(earliest))
}
