package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/gatehouse-suite/gatehouse/services/lab"
)

// startLab runs the lab and, when there is no configuration yet, sets up its two sites as an admin would:
// through the admin API.
func (u *Suite) startLab(ctx context.Context) error {
	if !u.settings.Lab {
		return nil
	}
	where := lab.Fixed()
	if u.settings.LabListen != "" {
		where = lab.Free(u.settings.LabListen)
	}
	l, err := lab.Start(ctx, u.log, where)
	if err != nil {
		return fmt.Errorf("lab (GATEHOUSE_LAB_LISTEN): %w", err)
	}
	u.Lab = l
	u.parts = append(u.parts, part{name: "lab", stop: func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return l.Close(ctx)
	}})
	return u.configureLab(ctx)
}

func (u *Suite) configureLab(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	current, err := u.awaitConfig(ctx)
	if err != nil {
		return fmt.Errorf("configure the lab's sites: %w", err)
	}
	wanted, why := LabDocument(u.Lab, u.Gateway.String()), "first start of the lab"
	if current.version != "0" {
		if wanted, err = movedLab(current.body, wanted); err != nil {
			return fmt.Errorf("configure the lab's sites: %w", err)
		}
		why = "the lab listens elsewhere"
	}
	if wanted == nil {
		return nil
	}
	answer, err := u.admin(ctx, http.MethodPut, "/api/v1/config?wait=applied&why="+url.QueryEscape(why), current.etag, wanted)
	if err != nil {
		return fmt.Errorf("configure the lab's sites: %w", err)
	}
	if answer.status != http.StatusOK {
		return u.refused(answer)
	}
	return nil
}

// refused says why the lab's sites were not taken. A gateway that remembers a configuration which NATS has lost is
// the suite's own: what it remembers is one file.
func (u *Suite) refused(answer adminAnswer) error {
	var why struct{ Code, Message string }
	if json.Unmarshal(answer.body, &why) != nil || why.Code != "another_history" {
		return fmt.Errorf("configure the lab's sites: %d %s", answer.status, answer.body)
	}
	return fmt.Errorf("configure the lab's sites: %s\nHere: put %s back, or remove %s to begin anew", why.Message,
		filepath.Join(u.DataDir(), "nats"), filepath.Join(u.DataDir(), "gateway", "snapshot"))
}

// movedLab gives a kept configuration with the lab's nodes and provider where they listen now, and all else as
// it was; nil when they have not moved. Sites that an admin has removed or renamed stay away.
func movedLab(kept []byte, lab map[string]any) (map[string]any, error) {
	var document map[string]any
	if err := json.Unmarshal(kept, &document); err != nil {
		return nil, err
	}
	moved := false
	each(document["sites"], lab["sites"], func(site, now map[string]any) {
		each(site["nodes"], now["nodes"], func(node, now map[string]any) { moved = move(node, now, "url") || moved })
		each(site["providers"], now["providers"], func(provider, now map[string]any) {
			moved = move(provider, now, "issuer", "introspection_endpoint") || moved
		})
	})
	if !moved {
		return nil, nil
	}
	return document, nil
}

// each pairs the entries of two lists that have the same id.
func each(list, others any, use func(entry, other map[string]any)) {
	entries, _ := list.([]any)
	candidates, _ := others.([]any)
	for _, e := range entries {
		for _, c := range candidates {
			entry, _ := e.(map[string]any)
			other, _ := c.(map[string]any)
			if entry != nil && other != nil && entry["id"] == other["id"] {
				use(entry, other)
			}
		}
	}
}

// move copies fields and tells whether one was different.
func move(entry, now map[string]any, fields ...string) bool {
	moved := false
	for _, f := range fields {
		moved = moved || entry[f] != now[f]
		entry[f] = now[f]
	}
	return moved
}

// awaitConfig waits until the admin API answers with the configuration.
func (u *Suite) awaitConfig(ctx context.Context) (adminAnswer, error) {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		answer, err := u.admin(ctx, http.MethodGet, "/api/v1/config", "", nil)
		if err == nil && answer.status == http.StatusOK {
			return answer, nil
		}
		if err == nil {
			err = fmt.Errorf("admin API answers %d %s", answer.status, answer.body)
		}
		select {
		case <-ctx.Done():
			return answer, err
		case <-u.ended:
			return answer, errors.New("a service has ended")
		case <-again.C:
		}
	}
}

type adminAnswer struct {
	status        int
	etag, version string
	body          []byte
}

// admin asks the admin API as the first admin.
func (u *Suite) admin(ctx context.Context, method, path, ifMatch string, body any) (adminAnswer, error) {
	var payload bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&payload).Encode(body); err != nil {
			return adminAnswer{}, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+u.Admin.String()+path, &payload)
	if err != nil {
		return adminAnswer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+u.AdminToken)
	request.Header.Set("Content-Type", "application/json")
	if ifMatch != "" {
		request.Header.Set("If-Match", ifMatch)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return adminAnswer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return adminAnswer{
		status: response.StatusCode, etag: response.Header.Get("ETag"),
		version: response.Header.Get("X-Gatehouse-Config-Version"), body: text,
	}, err
}

// LabDocument is the configuration of the lab's two sites behind a gateway at that address.
func LabDocument(l *lab.Lab, gateway string) map[string]any {
	provider := map[string]any{
		"id": "lab", "name": "Lab provider", "kind": "custom",
		"issuer": l.Provider.Issuer(), "introspection_endpoint": l.Provider.IntrospectionEndpoint(),
		"client_id": lab.ResourceID, "client_secret": map[string]any{"value": lab.ResourceSecret},
		"required_scopes": []string{"read"}, "service_account": "svc-api",
	}
	_, port, _ := net.SplitHostPort(gateway)
	site := func(id, baseURL string, hosts []string, p *lab.Product) map[string]any {
		var nodes []any
		for _, n := range p.Nodes() {
			nodes = append(nodes, map[string]any{"id": n.ID(), "url": n.URL()})
		}
		return map[string]any{
			"id": id, "product": id, "hosts": hosts, "context_path": p.ContextPath(), "base_url": baseURL + p.ContextPath(), "nodes": nodes,
			"providers": []any{provider},
			"upstream":  map[string]any{"driver": "pat", "accounts": map[string]any{"svc-api": map[string]any{"value": p.PAT("svc-api")}}},
		}
	}
	return map[string]any{"sites": []any{
		site("jira", "http://"+gateway, nil, l.Jira),
		site("confluence", "http://confluence.localhost:"+port, []string{"confluence.localhost"}, l.Confluence),
	}}
}
