// Package audittrail is what all who write or read the audit trail agree on: what a record may hold (Clean), its
// place in the hash chain of its source (Genesis, Next), and the kinds of record beside calls.
package audittrail
