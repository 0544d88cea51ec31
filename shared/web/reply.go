package web

import (
	"encoding/json"
	"net/http"

	"github.com/gatehouse-suite/gatehouse/shared/fault"
)

// JSON answers with a status and a body.
func JSON(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n'))
}

// problem is the body of every refusal.
type problem struct {
	Code     string          `json:"code"`
	Message  string          `json:"message"`
	Problems []fault.Problem `json:"problems,omitempty"`
}

// Fault answers with a fault. status 0 means the code's own.
func Fault(w http.ResponseWriter, status int, err error) {
	f := fault.From(err)
	if status == 0 {
		status = f.Code.HTTPStatus()
	}
	JSON(w, status, problem{Code: string(f.Code), Message: f.Message, Problems: f.Problems})
}
