//go:build !linux

package testkit

import "os/exec"

// dieWithParent is left to Kill where the kernel does not offer it.
func dieWithParent(*exec.Cmd) {}
