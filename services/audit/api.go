package audit

import (
	"net/http"

	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/web"
	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-suite/gatehouse/services/audit/reading"
	"github.com/gatehouse-suite/gatehouse/services/audit/retention"
)

// routes is what admins and auditors ask over HTTP.
func routes(auth *adminauth.Auth, reader *reading.Reader, keeper *retention.Keeper) http.Handler {
	r := chi.NewRouter()
	r.NotFound(func(w http.ResponseWriter, _ *http.Request) {
		web.Fault(w, 0, fault.New(fault.NotFound, "there is nothing here"))
	})
	r.MethodNotAllowed(func(w http.ResponseWriter, _ *http.Request) {
		web.Fault(w, http.StatusMethodNotAllowed, fault.New(fault.Invalid, "not with this method"))
	})
	readers, admins := auth.Middleware(adminauth.RoleAdmin, adminauth.RoleAuditor), auth.Middleware(adminauth.RoleAdmin)
	r.Route("/api/v1/audit", func(r chi.Router) {
		reader.Routes(r, readers)
		keeper.Routes(r, readers, admins)
	})
	return r
}

// requestID gives the id that whoever handed a request on has given it, such as config; there may be none.
func requestID(r *http.Request) string { return r.Header.Get("X-Request-Id") }
