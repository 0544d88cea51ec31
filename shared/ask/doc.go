// Package ask is request and reply over NATS between services: protobuf bodies, a deadline that travels with
// the request, the trace context, and faults with their codes.
//
// # When something is gone
//
//	nobody answers the subject  fault unavailable, at once
//	no answer in time           fault unavailable, when the context ends
//	NATS away                   fault unavailable, at once
//	the handler fails           its fault; what it did not classify arrives as internal, without its text
//	the asker's deadline passed the request is dropped unanswered before the handler sees it
package ask
