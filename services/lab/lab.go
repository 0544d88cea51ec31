package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// Settings say where the lab listens. The zero value of a context path is the root.
type Settings struct {
	ProviderListen        string   // host:port of the OAuth provider
	JiraListen            []string // host:port of every Jira node; their ids are n1, n2, ...
	ConfluenceListen      string   // host:port of the one Confluence node
	BitbucketListen       string   // host:port of the one Bitbucket node; empty: none
	JiraContextPath       string   // "" or "/jira"
	ConfluenceContextPath string   // "" or "/wiki"
}

// Fixed are the ports the documentation names.
func Fixed() Settings {
	return Settings{
		ProviderListen:   "127.0.0.1:9000",
		JiraListen:       []string{"127.0.0.1:9101", "127.0.0.1:9102"},
		ConfluenceListen: "127.0.0.1:9103",
	}
}

// Free puts every node on a free loopback port, and the provider at
// providerListen ("" or "127.0.0.1:0": a free port as well).
func Free(providerListen string) Settings {
	const free = "127.0.0.1:0"
	if providerListen == "" {
		providerListen = free
	}
	return Settings{
		ProviderListen:   providerListen,
		JiraListen:       []string{free, free},
		ConfluenceListen: free,
		BitbucketListen:  free,
	}
}

// Lab is a running provider and running products.
type Lab struct {
	Provider   *Provider
	Jira       *Product
	Confluence *Product
	Bitbucket  *Product // without a node unless one was asked for
}

// Start listens, serves and returns; ctx bounds the start only. What could not
// be started leaves nothing behind.
func Start(ctx context.Context, log *slog.Logger, s Settings) (*Lab, error) {
	if len(s.JiraListen) == 0 {
		return nil, errors.New("lab: at least one Jira node is needed")
	}
	l := &Lab{
		Jira:       newJira(log, s.JiraContextPath),
		Confluence: newConfluence(log, s.ConfluenceContextPath),
		Bitbucket:  newBitbucket(log),
	}
	if err := l.start(ctx, log, s); err != nil {
		return nil, errors.Join(err, l.Close(ctx))
	}
	log.Debug("lab is up",
		slog.String("provider", l.Provider.Issuer()),
		slog.Int("jira_nodes", len(l.Jira.Nodes())),
		slog.Int("confluence_nodes", len(l.Confluence.Nodes())))
	return l, nil
}

func (l *Lab) start(ctx context.Context, log *slog.Logger, s Settings) error {
	var err error
	if l.Provider, err = startProvider(ctx, log, s.ProviderListen); err != nil {
		return fmt.Errorf("lab provider: %w", err)
	}
	for _, addr := range s.JiraListen {
		if err := l.Jira.addNode(ctx, addr); err != nil {
			return fmt.Errorf("lab jira: %w", err)
		}
	}
	if err := l.Confluence.addNode(ctx, s.ConfluenceListen); err != nil {
		return fmt.Errorf("lab confluence: %w", err)
	}
	if s.BitbucketListen != "" {
		if err := l.Bitbucket.addNode(ctx, s.BitbucketListen); err != nil {
			return fmt.Errorf("lab bitbucket: %w", err)
		}
	}
	return nil
}

// Close ends streams and websockets, lets short calls finish until ctx is done,
// and closes every listener.
func (l *Lab) Close(ctx context.Context) error {
	var errs []error
	if l.Provider != nil {
		errs = append(errs, l.Provider.srv.drain(ctx))
	}
	for _, p := range []*Product{l.Jira, l.Confluence, l.Bitbucket} {
		for _, n := range p.Nodes() {
			errs = append(errs, n.srv.drain(ctx))
		}
	}
	return errors.Join(errs...)
}
