//go:build race

package introspection

const raceEnabled = true // sync.Pool drops at random then
