package tokenlog_test

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	tokenv1 "github.com/gatehouse-suite/gatehouse/proto/token/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gatehouse-suite/gatehouse/shared/factlog"
	"github.com/gatehouse-suite/gatehouse/shared/opaque"
	"github.com/gatehouse-suite/gatehouse/shared/tokenlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Unix(1_800_000_000, 0)

// digest gives the SHA-256 of the n-th token, as far as anybody can tell.
func digest(n uint64) opaque.Digest {
	return opaque.Hash("ght_" + strconv.FormatUint(n, 10))
}

func issued(n uint64) *tokenv1.TokenIssued {
	d := digest(n)
	return &tokenv1.TokenIssued{
		Sha256: d[:], Name: fmt.Sprintf("build agent %d", n), Owner: fmt.Sprintf("user%d", n%5000), Site: "jira", ExpiresAt: timestamppb.New(epoch.Add(time.Hour)),
	}
}

func revoked(n uint64) *tokenv1.TokenRevoked {
	d := digest(n)
	return &tokenv1.TokenRevoked{Id: binary.BigEndian.Uint64(d[:])}
}

// encode gives a commit of facts; id makes its bytes unlike any other's.
func encode(t testing.TB, id uint64, facts ...proto.Message) []byte {
	t.Helper()
	data, err := factlog.Encode(&configv1.Commit{RequestId: strconv.FormatUint(id, 10), At: timestamppb.New(epoch)}, facts)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func fold(t testing.TB, r *tokenlog.Registry, facts ...proto.Message) {
	t.Helper()
	if err := r.Fold(facts, epoch); err != nil {
		t.Fatal(err)
	}
}
