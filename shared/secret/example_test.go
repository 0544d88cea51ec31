package secret_test

import (
	"fmt"
	"os"

	"github.com/gatehouse-suite/gatehouse/shared/secret"
)

// The folder of keys is made once; what config learns from it tells secrets apart without keeping them.
func Example() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := secret.Init(dir); err != nil {
		panic(err)
	}
	prints, err := secret.ReadFingerprinter(dir)
	if err != nil {
		panic(err)
	}
	stored := prints.Of("s3cr3t")
	fmt.Println(len(stored), stored == prints.Of("s3cr3t"), stored == prints.Of("other"))
	// Output: 32 true false
}
