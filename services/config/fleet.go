package config

import (
	"net/http"
	"time"

	"github.com/gatehouse-suite/gatehouse/services/config/gateways"
)

// getGateways answers which gateways there are and what each decides under.
func (a *api) getGateways(w http.ResponseWriter, r *http.Request) {
	if _, err := query(r); err != nil {
		a.fail(w, r, err)
		return
	}
	s, err := a.loaded()
	if err != nil {
		a.fail(w, r, err)
		return
	}
	tokens, _ := a.tokens.State()
	a.reply(w, r, http.StatusOK, struct {
		Version  uint64             `json:"version"` // what they should have
		Complete bool               `json:"complete"`
		Gateways []gateways.Gateway `json:"gateways"`
	}{s.State.Seq, a.gateways.Loaded(), a.gateways.List(time.Now(), s.State, tokens)})
}
