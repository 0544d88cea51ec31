package config

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/presets"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/gatehouse-suite/gatehouse/services/config/document"
	"github.com/gatehouse-suite/gatehouse/services/config/tokens"
)

// described is what of the description the tests look at.
type described struct {
	Paths      map[string]map[string]any
	Components struct {
		Schemas map[string]schema
	}
}

type schema struct {
	Ref        string `yaml:"$ref"`
	Enum       []string
	Properties map[string]schema
	Items      *schema
}

func describe(t *testing.T) described {
	t.Helper()
	var d described
	if err := yaml.Load(openAPI, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestEveryRouteIsDescribed(t *testing.T) {
	t.Parallel()
	var want []string
	for path, operations := range describe(t).Paths {
		for method := range operations {
			want = append(want, strings.ToUpper(method)+" "+path)
		}
	}
	a := &api{auth: adminauth.New(testkit.Logger(t), adminauth.Digest{}, nil, nil)}
	router := chi.NewRouter()
	a.routes(router)
	var got []string
	err := chi.Walk(router, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		got = append(got, method+" "+route)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("described and routed differ: %s", diff)
	}
}

// TestEveryFieldIsDescribed holds the schema of the document against the type it is read into.
func TestEveryFieldIsDescribed(t *testing.T) {
	t.Parallel()
	d := describe(t)
	d.compare(t, "Document", d.Components.Schemas["Document"], reflect.TypeFor[configlog.Config]())
	d.compare(t, "Attempt", d.Components.Schemas["Attempt"], reflect.TypeFor[struct {
		attempt
		Document configlog.Config `json:"document"`
	}]())
	d.compare(t, "Trial", d.Components.Schemas["Trial"], reflect.TypeFor[trialAnswer]())
	d.compare(t, "Token", d.Components.Schemas["Token"], reflect.TypeFor[apiToken]())
	d.compare(t, "TokenRequest", d.Components.Schemas["TokenRequest"], reflect.TypeFor[tokens.Wanted]())
	if diff := cmp.Diff(document.Types(), d.Components.Schemas["CredentialType"].Enum); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(presets.Kinds(), d.Components.Schemas["Provider"].Properties["kind"].Enum); diff != "" {
		t.Error(diff)
	}
}

func (d described) compare(t *testing.T, path string, s schema, typ reflect.Type) {
	t.Helper()
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		s = d.Components.Schemas[name]
	}
	if typ.Kind() == reflect.Slice && s.Items != nil {
		d.compare(t, path+"[]", *s.Items, typ.Elem())
		return
	}
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[time.Time]() {
		return
	}
	want := map[string]bool{}
	if typ == reflect.TypeFor[configlog.Secret]() {
		want["value"] = true
	}
	for _, field := range reflect.VisibleFields(typ) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" {
			continue
		}
		want[name] = true
		d.compare(t, path+"."+name, s.Properties[name], field.Type)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(s.Properties))); diff != "" {
		t.Errorf("%s: %s", path, diff)
	}
}
