package settings

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Prefix of every variable.
const Prefix = "GATEHOUSE_"

// Load reads the settings T from environment variables given as os.Environ gives them. Fields are tagged as
// github.com/caarlos0/env/v11 wants, without the prefix. The error names every variable that is wrong.
func Load[T any](environ []string) (T, error) {
	values := make(map[string]string, len(environ))
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok && strings.HasPrefix(name, Prefix) && value != "" {
			values[name] = value
		}
	}
	var s T
	err := env.ParseWithOptions(&s, env.Options{Environment: values, Prefix: Prefix})
	if err == nil {
		return s, nil
	}
	var all env.AggregateError
	if !errors.As(err, &all) {
		return s, fmt.Errorf("settings: %w", err)
	}
	for i := range all.Errors {
		all.Errors[i] = named[T](all.Errors[i], values)
	}
	return s, fmt.Errorf("settings: %w", errors.Join(all.Errors...))
}

// named gives an error about a field as one about its variable, which is what an operator knows.
func named[T any](err error, values map[string]string) error {
	var parse env.ParseError
	if !errors.As(err, &parse) {
		return err
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[T]()) {
		key, _, _ := strings.Cut(f.Tag.Get("env"), ",")
		if f.Name == parse.Name && f.Type == parse.Type && values[Prefix+key] != "" {
			return fmt.Errorf("%s%s: %w", Prefix, key, parse.Err)
		}
	}
	return err
}
