package audit

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"google.golang.org/protobuf/proto"
)

func FuzzDecode(f *testing.F) {
	for _, b := range []*auditv1.Batch{{}, batch("gw1", 1, 1, 2), batch("gw1", 1<<63-1, 1<<63-3, 1<<63-2), {Gateway: "gw1", Epoch: 1, First: 1<<64 - 1}} {
		body, err := proto.Marshal(b)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
		f.Add([]byte(strings.ReplaceAll(string(body), "curl", "c\xffrl")))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m := decode(7, time.Time{}, "audit.in.gw1", data)
		if m.poison != "" {
			if m.batch != nil {
				t.Fatal("poison, and yet a batch")
			}
			return
		}
		if s := m.span(); s.first == 0 || s.last < s.first || s.last > 1<<63-1 {
			t.Fatalf("numbers %v", s)
		}
		for _, r := range m.batch.GetRecords() {
			for _, text := range []string{r.GetPath(), r.GetUser(), r.GetUserAgent(), r.GetDetail()} {
				if !utf8.ValidString(text) || strings.ContainsRune(text, 0) || len(text) > 4096 {
					t.Fatalf("not to be stored: %q", text)
				}
			}
			if audittrail.Clean(r) {
				t.Fatal("what is clean is not")
			}
		}
	})
}
