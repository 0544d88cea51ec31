// Package ask is request and reply over NATS between services: protobuf bodies, a deadline that travels with
// the request, the trace context, and faults with their codes and problems.
//
// # When something is gone
//
//	nobody answers the subject   asked again for a second, then fault unavailable
//	no answer in time            fault unavailable, when the context ends
//	NATS away                    fault unavailable, at once; when it goes while we wait, as no answer in time
//	the handler fails            its fault; what it did not classify arrives as internal, without its text
//	the handler panics           as above; the stack is in the log, the process goes on
//	the asker no longer waits    the request is dropped before the handler sees it, the handler's context ends
//	more requests than workers   they wait as long as their askers do; beyond Settings.Waiting: unavailable, at once
//	the answer is too large      fault internal; the size is in the log
package ask
