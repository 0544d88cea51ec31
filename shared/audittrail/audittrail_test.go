package audittrail_test

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
)

// full gives a record in which every field is set, also those that are added one day.
func full(t *testing.T) *auditv1.Record {
	t.Helper()
	r := new(auditv1.Record)
	m := r.ProtoReflect()
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		switch {
		case f.IsList():
			m.Mutable(f).List().Append(protoreflect.ValueOfString("x"))
		case f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString("x"))
		case f.Kind() == protoreflect.Uint32Kind:
			m.Set(f, protoreflect.ValueOfUint32(7))
		default:
			m.Set(f, protoreflect.ValueOfUint64(7000))
		}
	}
	return r
}

// TestEncodeIsCanonical: whoever checks the chain without this program relies on the order of the fields.
func TestEncodeIsCanonical(t *testing.T) {
	r := full(t)
	data, err := audittrail.Encode(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	var numbers []protowire.Number
	for rest := data; len(rest) > 0; {
		number, _, n := protowire.ConsumeField(rest)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		numbers, rest = append(numbers, number), rest[n:]
	}
	if !slices.IsSorted(numbers) || len(numbers) != r.ProtoReflect().Descriptor().Fields().Len() {
		t.Errorf("fields %v", numbers)
	}
}

// TestChainStays: the hashes of records that are in somebody's database must never change.
func TestChainStays(t *testing.T) {
	h := audittrail.Genesis(audittrail.Hash{}, "gw1", 7)
	if got := hex.EncodeToString(h[:]); got != genesis {
		t.Errorf("before the first record stands %s", got)
	}
	data, err := audittrail.Encode(nil, &auditv1.Record{Time: 1_700_000_000_000_000_000, RequestId: "r1", User: "alice", Status: 200})
	if err != nil {
		t.Fatal(err)
	}
	h = audittrail.Next(h, data)
	if got := hex.EncodeToString(h[:]); got != first {
		t.Errorf("the first record's hash is %s", got)
	}
}

const (
	genesis = "8451369a7ce38a4070ff01a3758abf5290c57d022ba747099b14d171d087a379"
	first   = "0a480e67cbadb8f294dda10f0ade9bebb1b88a8c585579dfe907c145d3966b60"
)

// TestCleanOnce: what was cleaned is clean, whatever was in it, and every text of a record is looked at.
func TestCleanOnce(t *testing.T) {
	for _, text := range []string{
		"", "x", "a\x00b", "\xff\xfe", strings.Repeat("é", 200_000), "\xed\xa0\x80", strings.Repeat("\x00", 300), "\x1b[31m\r\n",
	} {
		r := full(t)
		m := r.ProtoReflect()
		for i := range m.Descriptor().Fields().Len() {
			switch f := m.Descriptor().Fields().Get(i); {
			case f.IsList():
				list := m.Mutable(f).List()
				for range 100 {
					list.Append(protoreflect.ValueOfString(text))
				}
			case f.Kind() == protoreflect.StringKind:
				m.Set(f, protoreflect.ValueOfString(text))
			}
		}
		audittrail.Clean(r)
		once := proto.Clone(r)
		if audittrail.Clean(r) || !proto.Equal(once, r) {
			t.Errorf("%.20q is cleaned twice", text)
		}
		data, err := audittrail.Encode(nil, r)
		if err != nil || len(data) > 450<<10 {
			t.Errorf("%.20q: %d bytes, %v", text, len(data), err)
		}
		if strings.Contains(r.GetUserAgent(), "�") == utf8.ValidString(text) {
			t.Errorf("%.20q: bytes that are no text are not told", text)
		}
		if c := r.GetChange(); c != "" && !json.Valid([]byte(c)) {
			t.Errorf("%.20q: change is no JSON", text)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                     "",
		"plain":                "plain",
		"nul\x00":              "nul␀",
		"\xff\xfe":             "��",
		"0123456789ab":         "0123456789ab",
		"0123456789abc":        "012345678…",
		"0123456ä9abc":         "0123456ä…",
		"01234567ä9abc":        "01234567…",
		"\x00\x00\x00\x00\x00": "␀␀␀…",
	} {
		if got, same := audittrail.Text(text, 12); got != want || same != (text == want) || len(got) > 12 {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestReserved(t *testing.T) {
	for name, want := range map[string]bool{"config": true, "audit": true, "config-log": true, "gw-1": false, "": false} {
		if audittrail.Reserved(name) != want {
			t.Errorf("%q", name)
		}
	}
}
