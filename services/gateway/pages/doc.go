// Package pages renders the gateway's own pages for people: no script but its own, nothing from elsewhere, nothing that may be
// kept. They work without scripts, with a keyboard, and with a screen reader.
package pages
