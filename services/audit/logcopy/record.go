package logcopy

import (
	"bytes"
	"encoding/json"
	"errors"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	tokenv1 "github.com/gatehouse-suite/gatehouse/proto/token/v1"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/opaque"
	"github.com/gatehouse-suite/gatehouse/shared/tokenlog"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// recordOf gives the record of a commit, cleaned, and the commit as far as it can be read. It never fails: what this
// program cannot read is in the trail all the same.
func (l *Log) recordOf(commit eventlog.Commit) (*auditv1.Record, *configv1.Commit) {
	meta := &configv1.Commit{}
	r := &auditv1.Record{
		Kind: l.kind, Decision: "allow", Outcome: "completed", Time: uint64(max(commit.StoredAt.UnixNano(), 0)),
	}
	if l.kind == audittrail.ConfigCommitted {
		r.ConfigVersion = commit.Seq
	}
	if err := proto.Unmarshal(commit.Data, meta); err != nil {
		meta = &configv1.Commit{}
		r.Detail = "this version cannot read the commit"
	}
	if at := meta.GetAt(); at != nil && at.IsValid() {
		r.Time = uint64(max(at.AsTime().UnixNano(), 0))
	} else {
		meta.At = nil
	}
	r.User, r.RequestId = meta.GetWho().GetName(), meta.GetRequestId()
	if r.ClientIp = meta.GetWho().GetAddress(); r.GetClientIp() != "" {
		r.ClientIpSource = "peer"
	}
	if meta.GetWhy() != "" {
		r.Detail = meta.GetWhy()
	}
	r.Change = l.changeOf(meta.GetFacts())
	if all := meta.GetFacts(); l.about != nil && len(all) == 1 {
		if fact, err := l.fact(all[0]); err == nil {
			l.about(r, fact)
		}
	}
	audittrail.Clean(r)
	return r, meta
}

// changeOf lists facts as JSON, [{"type": …, "data": {…}}, …]; what has become too long as types and how many of each.
func (l *Log) changeOf(packed []*anypb.Any) string {
	type fact struct {
		Type string          `json:"type"`
		Data json.RawMessage `json:"data,omitempty"` // none: this program does not know the type
	}
	all := make([]fact, 0, len(packed))
	for _, p := range packed {
		data, err := l.factJSON(p)
		if err != nil {
			data = nil
		}
		all = append(all, fact{string(p.MessageName().Name()), data})
	}
	text, err := json.Marshal(all)
	if err == nil && len(text) <= audittrail.MaxChange {
		return string(text)
	}
	return countsOf(packed)
}

// fact reads a fact of a kind that this program knows.
func (l *Log) fact(packed *anypb.Any) (proto.Message, error) {
	if l.facts.Messages().ByName(packed.MessageName().Name()) == nil {
		return nil, errors.New("unknown fact")
	}
	return packed.UnmarshalNew()
}

func (l *Log) factJSON(packed *anypb.Any) (json.RawMessage, error) {
	f, err := l.fact(packed)
	if err != nil {
		return nil, err
	}
	loose, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(f)
	if err != nil {
		return nil, err
	}
	var data bytes.Buffer // protojson puts blanks where it likes
	err = json.Compact(&data, loose)
	return data.Bytes(), err
}

// aboutToken says which token a fact is about.
func aboutToken(r *auditv1.Record, fact proto.Message) {
	switch m := fact.(type) {
	case *tokenv1.TokenIssued:
		if sum := m.GetSha256(); len(sum) == len(opaque.Digest{}) {
			r.TokenId = tokenlog.IDOf(opaque.Digest(sum)).String()
		}
		r.Site = m.GetSite()
	case *tokenv1.TokenRevoked:
		r.TokenId = tokenlog.ID(m.GetId()).String()
	}
}

// countsOf lists the types of facts in the order they first come, and how many there are of each.
func countsOf(packed []*anypb.Any) string {
	type counted struct {
		Type  string `json:"type"`
		Count int    `json:"count"`
	}
	var all []*counted
	byType := map[string]*counted{}
	for _, p := range packed {
		name := string(p.MessageName().Name())
		if byType[name] == nil {
			byType[name] = &counted{Type: name}
			all = append(all, byType[name])
		}
		byType[name].Count++
	}
	text, err := json.Marshal(all)
	if err != nil {
		return ""
	}
	return string(text)
}
