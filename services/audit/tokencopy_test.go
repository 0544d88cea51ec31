package audit

import (
	"strings"
	"testing"

	tokenv1 "github.com/gatehouse-suite/gatehouse/proto/token/v1"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/opaque"
	"github.com/gatehouse-suite/gatehouse/shared/tokenlog"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// TestEveryTokenIsInTheTrailAndCopied: who issued and revoked it is found by its id, beside the commits of the configuration,
// and the log can be restored.
func TestEveryTokenIsInTheTrailAndCopied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.writer(t)
	desk := &writer{t: t, log: eventlog.New(w.nats.JetStream(t, topology.Config), topology.TokenLog(), eventlog.Options{})}
	c.some(3, "before")
	sum := opaque.Hash("ght_x")
	id := tokenlog.IDOf(sum)
	desk.commit("for the backup", &tokenv1.TokenIssued{Sha256: sum[:], Name: "backup", Owner: "svc-api", Site: "jira"})
	in := w.start(t)
	desk.commit("it leaked", &tokenv1.TokenRevoked{Id: uint64(id)})
	c.some(2, "after")
	w.awaitCommits(t, 5)
	await(t, "both in the trail", func() bool {
		return row[int](t, w.url, `SELECT count(*) FROM audit.actions WHERE kind = 'token.committed' AND token_id = '`+id.String()+`'`) == 2
	})
	w.wantChained(t)
	found := in.search(t, "order=asc&kind=token.committed&token_id="+id.String()).Events
	if len(found) != 2 || found[0].User != "alice" || found[0].Detail != "for the backup" || found[0].Site != "jira" || found[1].Detail != "it leaked" ||
		found[0].Gateway != audittrail.FromTokenLog || found[0].ConfigVersion != 0 || found[0].Decision != "allow" {
		t.Errorf("%+v", found)
	}
	if !strings.Contains(string(found[0].Change), `"TokenIssued"`) || !strings.Contains(string(found[0].Change), `"owner":"svc-api"`) {
		t.Errorf("%s", found[0].Change)
	}
	if ends := row[string](t, w.url, `SELECT coalesce(max(msg_id) FILTER (WHERE seq = 2), '') FROM audit.token_restore`); ends != desk.at.Hash.String() {
		t.Errorf("the copy ends with %s", ends)
	}
	await(t, "nothing waits", func() bool { return row[int](t, w.url, `SELECT count(record) FROM audit.token_commit`) == 0 })
	if _, d := in.health(t); d.TokenCopy.Sequence != 2 || d.TokenCopy.Trouble != "" || d.ConfigCopy.Sequence != 5 || in.metric(t, "gatehouse_audit_token_copy_ok") != 1 {
		t.Errorf("%+v", d)
	}
}
