package pages

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the templates
	"encoding/base64"
	"fmt"
	"html/template"
	"time"
)

//go:embed token.html
var tokenHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

// Pages are the pages, ready to be filled in. They are safe for concurrent use.
type Pages struct {
	token  *template.Template
	policy string
}

// New makes the pages ready.
func New() (*Pages, error) {
	token, err := template.New("token").Parse(tokenHTML)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return &Pages{token: token, policy: "default-src 'none'; style-src " + hash(pageCSS) + "; script-src " + hash(pageJS) +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}, nil
}

// hash names what may be inline (Content Security Policy Level 3 §6.7.3.1).
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Policy is the Content-Security-Policy of every page.
func (p *Pages) Policy() string { return p.policy }

// Token is what the page says on which people get tokens.
type Token struct {
	Site string
	// Here is the page itself.
	Here      string
	Providers []Provider
	// Instead is said where there are none.
	Instead string
	// Problem is why the last try has failed.
	Problem string
	Issued  *Issued
}

// Provider is one to sign in at.
type Provider struct{ Name, URL string }

// Issued is a token, shown this once.
type Issued struct {
	Token, Provider, Scope string
	Until                  time.Time // zero: not said
	// User is whom it acts as; Refused why it does not.
	User, Refused string
	// Example is a URL to call.
	Example string
}

// Token renders the page on which people get tokens.
func (p *Pages) Token(t Token) ([]byte, error) {
	var out bytes.Buffer
	err := p.token.Execute(&out, struct {
		Token
		Style  template.CSS
		Script template.JS
	}{t, template.CSS(pageCSS), template.JS(pageJS)}) //nolint:gosec // our own
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return out.Bytes(), nil
}
