// Package introspection says who a credential belongs to.
package introspection
