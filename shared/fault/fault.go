package fault

import (
	"errors"
	"fmt"
	"net/http"
)

// Code says what kind of failure it is, in one word that is the same on every wire.
type Code string

// The codes, each with what the caller can do about it.
const (
	Invalid         Code = "invalid"         // mend the request
	Unauthenticated Code = "unauthenticated" // say who you are
	Forbidden       Code = "forbidden"       // you may not
	NotFound        Code = "not_found"       // it is not there
	Conflict        Code = "conflict"        // it has changed meanwhile: read it again
	Limited         Code = "limited"         // later, or less
	Unavailable     Code = "unavailable"     // something this service needs is away: later
	Internal        Code = "internal"        // ours to mend
)

// Problem is one thing wrong in a document, at a path such as sites[0].nodes[1].url.
type Problem struct {
	Path    string `json:"path"`
	Message string `json:"message"`
}

// Error is a failure with a code and a text that may be shown to whoever asked.
type Error struct {
	Code     Code
	Message  string
	Problems []Problem
	cause    error
}

// New makes a fault whose text may leave the process.
func New(code Code, message string) *Error {
	return &Error{Code: code, Message: message}
}

// Newf is New with a format; %w is not understood, see Wrap.
func Newf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap classifies cause: message may leave the process, the cause's own text goes to the log only.
func Wrap(code Code, message string, cause error) *Error {
	return &Error{Code: code, Message: message, cause: cause}
}

// WithProblems adds what is wrong, by path.
func (e *Error) WithProblems(problems ...Problem) *Error {
	e.Problems = append(e.Problems, problems...)
	return e
}

// Error gives the text for the log, cause included.
func (e *Error) Error() string {
	if e.cause != nil {
		return e.Message + ": " + e.cause.Error()
	}
	return e.Message
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.cause }

// Is makes errors.Is(err, fault.New(code, "")) true for every fault of that code.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Code == e.Code && other.Message == ""
}

// From gives the fault in err, or an internal one that says nothing of err's text; nil for nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var f *Error
	if errors.As(err, &f) {
		return f
	}
	return &Error{Code: Internal, Message: "internal error", cause: err}
}

// CodeOf gives the code of err; Internal for what was never classified, "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	return From(err).Code
}

// HTTPStatus gives the status of RFC 9110 that says the same.
func (c Code) HTTPStatus() int {
	switch c {
	case Invalid:
		return http.StatusBadRequest
	case Unauthenticated:
		return http.StatusUnauthorized
	case Forbidden:
		return http.StatusForbidden
	case NotFound:
		return http.StatusNotFound
	case Conflict:
		return http.StatusConflict
	case Limited:
		return http.StatusTooManyRequests
	case Unavailable:
		return http.StatusServiceUnavailable
	case Internal:
		return http.StatusInternalServerError
	default:
		return http.StatusInternalServerError
	}
}

// Known tells whether c is one of the codes above, for what arrives over a wire.
func (c Code) Known() bool {
	switch c {
	case Invalid, Unauthenticated, Forbidden, NotFound, Conflict, Limited, Unavailable, Internal:
		return true
	default:
		return false
	}
}
