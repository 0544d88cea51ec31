package presets_test

import (
	"fmt"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/presets"
)

func Example() {
	trusted := []configlog.Provider{{ID: "corp", Kind: "okta", Issuer: "https://corp.okta.com", ClientID: "gatehouse"}, {ID: "google", Kind: "google"}}
	var issuers []presets.Issuer
	for i := range trusted {
		fmt.Println(trusted[i].ID, "by", presets.ValidationOf(&trusted[i]))
		issuers = append(issuers, presets.IssuerOf(&trusted[i]))
	}
	for _, i := range presets.Issuers(issuers, presets.Look("ya29.a0AfH6")) {
		fmt.Println("a token of", trusted[i].ID)
	}
	// Output:
	// corp by introspection
	// google by tokeninfo
	// a token of google
}
