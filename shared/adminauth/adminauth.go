package adminauth

import (
	"context"
	"crypto/subtle"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/opaque"
	"github.com/gatehouse-suite/gatehouse/shared/web"
)

// The roles of admin tokens.
const (
	RoleAdmin        = "admin"         // everything
	RoleAuditor      = "auditor"       // reads everything, changes nothing
	RoleTokenManager = "token-manager" // API tokens, revocations, and reading the configuration
)

// Bootstrap is the name of the first admin, whose token the process was given.
const Bootstrap = "bootstrap"

// Roles gives all of them.
func Roles() []string { return []string{RoleAdmin, RoleAuditor, RoleTokenManager} }

// Admin is who calls.
type Admin struct {
	Name    string
	Role    string
	Address string // the peer's, without port
}

// Auth tells admins apart. It is safe for concurrent use.
type Auth struct {
	log       *slog.Logger
	bootstrap Digest
	snapshot  func() *configlog.Snapshot
	guesses   *guesses
	journal   *Journal
}

// New gives the admins of an installation. bootstrap is the Hash of the first admin's token, zero for none;
// snapshot gives the configuration now, or nil when it was never loaded. journal is told who came and who was refused;
// nil: nobody is.
func New(log *slog.Logger, bootstrap Digest, snapshot func() *configlog.Snapshot, journal *Journal) *Auth {
	return &Auth{log: log, bootstrap: bootstrap, snapshot: snapshot, guesses: newGuesses(), journal: journal}
}

// Middleware lets through who has one of the roles (none named: any role) and puts them into the request's
// context; see From.
func (a *Auth) Middleware(roles ...string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			who, err := a.authenticate(r)
			if err == nil && len(roles) > 0 && !slices.Contains(roles, who.Role) {
				err = fault.Newf(fault.Forbidden, "the role %s may not do this", who.Role)
			}
			if err != nil {
				a.journal.turnedAway(r, who, err)
				refuse(w, err)
				return
			}
			a.journal.came(r, who)
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, who)))
		})
	}
}

type contextKey struct{}

// From gives who calls, in a handler behind Middleware; the zero Admin elsewhere.
func From(ctx context.Context) Admin {
	who, _ := ctx.Value(contextKey{}).(Admin)
	return who
}

func refuse(w http.ResponseWriter, err error) {
	switch fault.CodeOf(err) { //nolint:exhaustive // only these carry a header
	case fault.Unauthenticated:
		w.Header().Set("WWW-Authenticate", `Bearer realm="gatehouse admin"`)
	case fault.Limited, fault.Unavailable:
		w.Header().Set("Retry-After", "1")
	}
	web.Fault(w, 0, err)
}

// authenticate finds out who sent r; the error is a fault.
func (a *Auth) authenticate(r *http.Request) (Admin, error) {
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	token := bearer(r)
	if token == "" {
		return Admin{Address: address}, fault.New(fault.Unauthenticated, "an admin token is wanted: Authorization: Bearer …")
	}
	now := time.Now()
	if !opaque.WellFormed(Prefix, token) && a.guesses.spent(address, now) {
		return Admin{Address: address}, fault.New(fault.Limited, "too many wrong tokens from this address")
	}
	who, err := a.lookup(Hash(token), now)
	who.Address = address
	if fault.CodeOf(err) == fault.Unauthenticated && a.guesses.note(address, now) {
		a.log.LogAttrs(r.Context(), slog.LevelWarn, "admin refused", slog.String("address", address),
			slog.String("method", r.Method), slog.String("path", r.URL.Path))
	}
	return who, err
}

// bearer gives the token of a request; none: empty.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// lookup compares with every token there is, so that the time taken does not depend on which one it is.
func (a *Auth) lookup(hash Digest, now time.Time) (Admin, error) {
	if subtle.ConstantTimeCompare(hash[:], a.bootstrap[:]) == 1 {
		return Admin{Name: Bootstrap, Role: RoleAdmin}, nil
	}
	s := a.snapshot()
	if s == nil {
		return Admin{}, fault.New(fault.Unavailable, "the configuration is not loaded yet")
	}
	var found configlog.AdminToken
	for _, t := range s.AdminTokens {
		if subtle.ConstantTimeCompare(hash[:], t.SHA256[:]) == 1 {
			found = t
		}
	}
	if found.Name == "" || (!found.ExpiresAt.IsZero() && !now.Before(found.ExpiresAt)) {
		return Admin{}, fault.New(fault.Unauthenticated, "no such admin token, or it is revoked or expired")
	}
	return Admin{Name: found.Name, Role: found.Role}, nil
}
