package settings

import "os"

// SecretEnv gives the look-up of the variables that a configuration's {env: NAME} names: given, or the
// process's own environment. They are read when they are named, not at the start.
func SecretEnv(given func(string) (string, bool)) func(string) (string, bool) {
	if given != nil {
		return given
	}
	return os.LookupEnv //nolint:forbidigo // this is where the environment is read
}
