//go:build !race

package introspection

const raceEnabled = false
