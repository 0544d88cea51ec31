package logcopy

import (
	"strings"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	tokenv1 "github.com/gatehouse-suite/gatehouse/proto/token/v1"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Log is a log of which a second copy is kept.
type Log struct {
	eventlog.Stream
	name    string // in what is said of it
	source  string // of its records in the trail
	kind    string // of its records
	facts   protoreflect.FileDescriptor
	tables  *strings.Replacer // names them in a query: {log} its histories, {commit} their commits
	lock    int64             // advisory, of whoever writes to the copy
	secrets bool              // the sealed secrets are copied with it
	// about fills in what else a record says of a commit's one fact; nil: nothing.
	about func(*auditv1.Record, protoreflect.ProtoMessage)
}

// Config is the configuration's log.
func Config() Log {
	return Log{
		Stream: topology.ConfigLog(), name: "configuration", source: audittrail.FromLog, kind: audittrail.ConfigCommitted, secrets: true,
		facts: configv1.File_config_v1_facts_proto, tables: tables("config"), lock: 0x67617465636f7079, // "gatecopy"
	}
}

// Tokens is the log of API tokens.
func Tokens() Log {
	return Log{
		Stream: topology.TokenLog(), name: "tokens", source: audittrail.FromTokenLog, kind: audittrail.TokenCommitted, about: aboutToken,
		facts: tokenv1.File_token_v1_facts_proto, tables: tables("token"), lock: 0x67617465746f6b65, // "gatetoke"
	}
}

func tables(of string) *strings.Replacer {
	return strings.NewReplacer("{log}", "audit."+of+"_log", "{commit}", "audit."+of+"_commit")
}

// sql gives a query about this log's tables.
func (l *Log) sql(query string) string { return l.tables.Replace(query) }
