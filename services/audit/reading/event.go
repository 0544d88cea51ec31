package reading

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Event is one record as it is answered; the names are those of the view audit.records.
type Event struct {
	ID                    int64     `json:"id"`
	Time                  time.Time `json:"time"` // UTC, to the microsecond
	RequestID             string    `json:"request_id"`
	Site                  string    `json:"site"`
	Gateway               string    `json:"gateway"`
	Node                  string    `json:"node"`
	ConfigVersion         int64     `json:"config_version"`
	Credential            string    `json:"credential"`
	Provider              string    `json:"provider"`
	ClientID              string    `json:"client_id"`
	CredentialFingerprint string    `json:"credential_fingerprint"`
	User                  string    `json:"user"`
	Decision              string    `json:"decision"`
	Reason                string    `json:"reason"`
	Detail                string    `json:"detail"`
	Observed              string    `json:"observed"`
	Status                int32     `json:"status"`
	Outcome               string    `json:"outcome"`
	Method                string    `json:"method"`
	Path                  string    `json:"path"`
	Query                 string    `json:"query"`
	ClientIP              string    `json:"client_ip"`
	UserAgent             string    `json:"user_agent"`
	BytesIn               int64     `json:"bytes_in"`
	BytesOut              int64     `json:"bytes_out"`
	DurationNS            int64     `json:"duration_ns"`
	UpstreamDurationNS    int64     `json:"upstream_duration_ns"`
	TraceID               string    `json:"trace_id"`
	Epoch                 int64     `json:"epoch,string"` // above what JavaScript counts to
	N                     int64     `json:"n"`
	// Kind is call, or what somebody did to the installation.
	Kind           string          `json:"kind"`
	Access         string          `json:"access"`
	ClientIPSource string          `json:"client_ip_source"`
	TokenID        string          `json:"token_id"`
	Groups         []string        `json:"groups"`
	Change         json.RawMessage `json:"change,omitempty"`
}

// selectEvents is what scanEvent reads.
func selectEvents() string {
	return "SELECT " + strings.Join([]string{
		"id", "time", "request_id", "site", "gateway", "node", "config_version", "credential", "provider", "client_id",
		"credential_fingerprint", `"user"`, "decision", "reason", "detail", "observed", "status", "outcome",
		"method", "path", "query", "coalesce(host(client_ip), '')", "user_agent",
		"bytes_in", "bytes_out", "duration_ns", "upstream_duration_ns", "trace_id", "epoch", "n",
		"kind", "access", "client_ip_source", "token_id", "groups", "change",
	}, ", ") + " FROM audit.records"
}

func scanEvent(row pgx.CollectableRow) (e Event, err error) {
	err = row.Scan(&e.ID, &e.Time, &e.RequestID, &e.Site, &e.Gateway, &e.Node, &e.ConfigVersion, &e.Credential, &e.Provider, &e.ClientID,
		&e.CredentialFingerprint, &e.User, &e.Decision, &e.Reason, &e.Detail, &e.Observed, &e.Status, &e.Outcome,
		&e.Method, &e.Path, &e.Query, &e.ClientIP, &e.UserAgent,
		&e.BytesIn, &e.BytesOut, &e.DurationNS, &e.UpstreamDurationNS, &e.TraceID, &e.Epoch, &e.N,
		&e.Kind, &e.Access, &e.ClientIPSource, &e.TokenID, &e.Groups, &e.Change)
	e.Time = e.Time.UTC()
	return e, err
}
