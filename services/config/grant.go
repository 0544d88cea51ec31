package config

import (
	"net/http"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"

	"github.com/gatehouse-suite/gatehouse/services/config/document"
)

// codeGrantSwitch is a change that makes the tokens of a site stop working, and was not confirmed.
const codeGrantSwitch fault.Code = "grant_switch"

// switches refuses a change of a site's grant that was not confirmed (?confirm=grant), and names what would stop working.
func (w *wish) switches(from, to *configlog.Config) error {
	if w.confirmsGrant {
		return nil
	}
	stops := document.GrantSwitches(from, to)
	if len(stops) == 0 {
		return nil
	}
	return refuse(http.StatusConflict, fault.New(codeGrantSwitch,
		"the grant of a site is switched, and tokens in use would stop working; nothing was changed: confirm with ?confirm=grant").WithProblems(stops...))
}
