package lab

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"time"
)

const (
	typeJSON = "application/json;charset=UTF-8"
	typeHTML = "text/html;charset=UTF-8"
	maxJSON  = 5 << 20 // atlassian.rest.request.maxsize
)

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// readJSON decodes a body of the products' maximum size; false means it was answered.
func readJSON(w http.ResponseWriter, r *http.Request, v any) bool {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxJSON))
	if err != nil {
		writeJSON(w, http.StatusRequestEntityTooLarge, map[string]any{
			"statusCode": http.StatusRequestEntityTooLarge,
			"message":    fmt.Sprintf("Request too large. Requests for this resource can be at most %d bytes", maxJSON),
		})
		return false
	}
	if err := json.Unmarshal(body, v); err != nil {
		jiraError(w, http.StatusBadRequest, "Can not deserialize the request body: "+err.Error())
		return false
	}
	return true
}

// restMessage is an error of the products' REST framework.
func restMessage(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]any{"message": message, "status-code": status})
}

// jiraError is Jira's ErrorCollection.
func jiraError(w http.ResponseWriter, status int, messages ...string) {
	writeJSON(w, status, map[string]any{"errorMessages": messages, "errors": map[string]string{}})
}

func jiraFieldError(w http.ResponseWriter, field, message string) {
	writeJSON(w, http.StatusBadRequest, map[string]any{
		"errorMessages": []string{}, "errors": map[string]string{field: message},
	})
}

// confluenceError is Confluence's RestError.
func confluenceError(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]any{
		"statusCode": status,
		"data":       map[string]any{"authorized": status != http.StatusForbidden, "valid": true, "errors": []any{}, "successful": false},
		"message":    message,
		"reason":     http.StatusText(status),
	})
}

// patError is what /rest/pat answers.
func patError(w http.ResponseWriter, status int, class, message string) {
	writeJSON(w, status, map[string]any{"exception": "com.atlassian.pats.exception." + class, "error": message})
}

func writePage(w http.ResponseWriter, status int, title, body string) {
	w.Header().Set("Content-Type", typeHTML)
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<!doctype html>\n<html lang=\"en\"><head><title>%s</title></head><body>\n<h1>%[1]s</h1>\n%s</body></html>\n",
		html.EscapeString(title), body)
}

// containerError is a page of Tomcat itself.
func containerError(w http.ResponseWriter, status int, message string) {
	writePage(w, status, fmt.Sprintf("HTTP Status %d - %s", status, http.StatusText(status)),
		"<p><b>Message</b> "+html.EscapeString(message)+"</p>\n")
}

// stamp is a time as Jira writes it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000-0700") }

// isoStamp is a time as Confluence and /rest/pat write it.
func isoStamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000+00:00") }
