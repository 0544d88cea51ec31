package secret

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"sync"
	"time"

	"filippo.io/age"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

// MaxBytes is the largest secret, long enough for a 16,384-bit private key in PEM.
const MaxBytes = 16 << 10

// EnvPrefix begins every variable an {env: NAME} may name, so that a configuration cannot read others.
const EnvPrefix = "GATEHOUSE_SECRET_"

// ErrAway says that a sealed secret could not be read or stored because NATS is away: it may work later.
var ErrAway = errors.New("the bucket of sealed secrets cannot be reached")

// patience is how long the bucket may take to answer whoever brings no deadline.
const patience = 5 * time.Second

// errAbsent says that the bucket does not hold a key.
var errAbsent = errors.New("not in the bucket of sealed secrets")

// Sealer seals secrets; it cannot open them.
type Sealer struct {
	js         jetstream.JetStream
	recipients map[Owner][]age.Recipient
	names      map[Owner]string // of the owners' own recipients
}

// NewSealer reads the recipients in a keys folder.
func NewSealer(js jetstream.JetStream, keysDir string) (*Sealer, error) {
	recovery, err := readRecipient(keysDir, Recovery)
	if err != nil {
		return nil, err
	}
	s := &Sealer{js: js, recipients: map[Owner][]age.Recipient{}, names: map[Owner]string{}}
	all := []age.Recipient{recovery}
	names := ""
	for _, owner := range []Owner{Introspection, Gateway} {
		r, err := readRecipient(keysDir, owner)
		if err != nil {
			return nil, err
		}
		s.recipients[owner] = []age.Recipient{r, recovery}
		s.names[owner] = nameOf(r.String())
		all, names = append(all, r), names+r.String()
	}
	s.recipients[Both], s.names[Both] = all, nameOf(names)
	return s, nil
}

func nameOf(recipient string) string {
	sum := sha256.Sum256([]byte(recipient))
	return hex.EncodeToString(sum[:8])
}

// Recipient names the key of an owner that Seal seals to: another name is another key.
func (s *Sealer) Recipient(owner Owner) string { return s.names[owner] }

// Holds tells whether the bucket holds a key. The error is ErrAway.
func (s *Sealer) Holds(ctx context.Context, key string) (bool, error) {
	_, err := readLeader(ctx, s.js, key)
	if errors.Is(err, ErrAway) {
		return false, fmt.Errorf("look for secret %s: %w", key, err)
	}
	return err == nil, nil
}

// Seal stores a secret for its owner under "ref.version". A key that is taken is an error, jetstream.ErrKeyExists:
// nothing is ever overwritten. So is a secret that Open would not take: none, or more than MaxBytes.
func (s *Sealer) Seal(ctx context.Context, owner Owner, key, value string) error {
	sealed, err := s.Encrypt(owner, value)
	if err != nil {
		return fmt.Errorf("seal %s: %w", key, err)
	}
	bucket, err := s.js.KeyValue(ctx, topology.BucketSecrets)
	if err != nil {
		return fmt.Errorf("seal %s: %w: %w", key, ErrAway, err)
	}
	if _, err := bucket.Create(ctx, key, sealed); err != nil {
		if errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrInvalidKey) {
			return fmt.Errorf("seal %s: %w", key, err)
		}
		return fmt.Errorf("seal %s: %w: %w", key, ErrAway, err)
	}
	return nil
}

// Encrypt seals a secret for its owner and stores it nowhere.
func (s *Sealer) Encrypt(owner Owner, value string) ([]byte, error) {
	if value == "" || len(value) > MaxBytes {
		return nil, fmt.Errorf("a secret has 1 to %d bytes", MaxBytes)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, s.recipients[owner]...)
	if err == nil {
		_, err = io.WriteString(w, value)
	}
	if err == nil {
		err = w.Close()
	}
	return sealed.Bytes(), err
}

// Opener opens the secrets of one owner. It remembers the sealed form of what it has opened, so that it can
// open it again while NATS is away. It is safe for concurrent use.
type Opener struct {
	js       jetstream.JetStream
	identity age.Identity
	environ  func(string) (string, bool)
	filesDir string

	mu     sync.Mutex
	sealed map[string][]byte // by key
}

// NewOpener gives the opener of whoever holds identity. environ looks up {env: NAME}, filesDir is the only
// folder {file: PATH} may read; empty: no file may be named.
func NewOpener(js jetstream.JetStream, identity age.Identity, environ func(string) (string, bool), filesDir string) *Opener {
	return &Opener{js: js, identity: identity, environ: environ, filesDir: filesDir, sealed: map[string][]byte{}}
}

// With gives an opener that knows some more sealed secrets, by key, beside those that this one knows. What it opens this one
// does not remember.
func (o *Opener) With(sealed map[string][]byte) *Opener {
	all := o.Sealed()
	maps.Copy(all, sealed)
	return &Opener{js: o.js, identity: o.identity, environ: o.environ, filesDir: o.filesDir, sealed: all}
}

// Open gives the secret. The error names the reference, the variable or the file, never the value.
func (o *Opener) Open(ctx context.Context, s configlog.Secret) (string, error) {
	switch {
	case s.Env != "":
		return o.openEnv(s.Env)
	case s.File != "":
		return o.openFile(s.File)
	case s.Ref == "":
		return "", errors.New("no secret is named")
	}
	key := s.Key()
	sealed, err := o.fetch(ctx, key)
	if err != nil {
		return "", err
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), o.identity)
	if err != nil {
		return "", fmt.Errorf("open secret %s: sealed to another key, or damaged: %w", key, err)
	}
	value, err := read(r)
	if err != nil {
		return "", fmt.Errorf("open secret %s: %w", key, err)
	}
	return value, nil
}

func (o *Opener) openEnv(name string) (string, error) {
	if !strings.HasPrefix(name, EnvPrefix) {
		return "", fmt.Errorf("secret from variable %s: its name does not begin with %s", name, EnvPrefix)
	}
	value, ok := o.environ(name)
	if !ok || value == "" {
		return "", fmt.Errorf("secret from variable %s: not set", name)
	}
	return value, nil
}

func (o *Opener) openFile(name string) (string, error) {
	if o.filesDir == "" {
		return "", fmt.Errorf("secret from file %s: GATEHOUSE_SECRETS_DIR is not set", name)
	}
	root, err := os.OpenRoot(o.filesDir)
	if err != nil {
		return "", fmt.Errorf("secret from file %s: %w", name, err)
	}
	defer func() { _ = root.Close() }()
	if info, err := root.Stat(name); err == nil && !info.Mode().IsRegular() { // opening a pipe would wait for a writer
		return "", fmt.Errorf("secret from file %s: not a regular file", name)
	}
	f, err := root.Open(name)
	if err != nil {
		return "", fmt.Errorf("secret from file %s: %w", name, err)
	}
	defer func() { _ = f.Close() }()
	value, err := read(f)
	if err != nil {
		return "", fmt.Errorf("secret from file %s: %w", name, err)
	}
	if value = strings.TrimRight(value, "\r\n"); value == "" {
		return "", fmt.Errorf("secret from file %s: it is empty", name)
	}
	return value, nil
}

// read reads a secret to its end.
func read(r io.Reader) (string, error) {
	value, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err == nil && len(value) > MaxBytes {
		err = fmt.Errorf("larger than %d bytes", MaxBytes)
	}
	return string(value), err
}

func (o *Opener) fetch(ctx context.Context, key string) ([]byte, error) {
	o.mu.Lock()
	sealed := o.sealed[key]
	o.mu.Unlock()
	if sealed != nil {
		return sealed, nil
	}
	sealed, err := readLeader(ctx, o.js, key)
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", key, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sealed[key] = sealed
	return sealed, nil
}

// readLeader reads a key of the bucket from the leader of its stream. A replica, which would answer a direct get,
// need not have seen yet what was sealed just before the commit that names it; what the leader does not have is
// not there.
func readLeader(ctx context.Context, js jetstream.JetStream, key string) ([]byte, error) {
	if strings.ContainsAny(key, "*> \t\r\n") { // it would name others too
		return nil, errors.New("not a reference")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	question, err := json.Marshal(map[string]string{"last_by_subj": "$KV." + topology.BucketSecrets + "." + key})
	if err != nil {
		return nil, err
	}
	reply, err := js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET.KV_"+topology.BucketSecrets, question)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAway, err)
	}
	var found struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Data []byte `json:"data"`
		} `json:"message"`
	}
	switch err := json.Unmarshal(reply.Data, &found); {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrAway, err)
	case found.Error != nil && found.Error.ErrorCode != jetstream.JSErrCodeMessageNotFound:
		return nil, fmt.Errorf("%w: %w", ErrAway, found.Error)
	case len(found.Message.Data) == 0: // or deleted
		return nil, errAbsent
	}
	return found.Message.Data, nil
}

// Sealed gives the sealed form of everything opened so far, for a file that survives a restart.
func (o *Opener) Sealed() map[string][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.sealed)
}

// Remember takes what Sealed gave.
func (o *Opener) Remember(sealed map[string][]byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.Copy(o.sealed, sealed)
}

// Keep forgets every sealed secret whose key keep does not want.
func (o *Opener) Keep(keep func(key string) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.DeleteFunc(o.sealed, func(key string, _ []byte) bool { return !keep(key) })
}
