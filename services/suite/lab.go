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
	var document struct {
		Sites []json.RawMessage `json:"sites"`
	}
	if err := json.Unmarshal(current.body, &document); err != nil {
		return fmt.Errorf("configure the lab's sites: %w", err)
	}
	if current.version == "0" {
		answer, err := u.admin(ctx, http.MethodPut, "/api/v1/config?wait=applied&why=first+start+of+the+lab", current.etag, LabDocument(u.Lab, u.Gateway.String()))
		if err != nil {
			return fmt.Errorf("configure the lab's sites: %w", err)
		}
		if answer.status != http.StatusOK {
			return fmt.Errorf("configure the lab's sites: %d %s", answer.status, answer.body)
		}
	}
	return nil
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
		var nodes []map[string]any
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
