package testkit

import (
	"os/exec"
	"runtime"
)

// StartChild starts a process that dies with the test's own process, however that ends. ended is closed once it has
// ended and cmd.ProcessState says how.
func StartChild(cmd *exec.Cmd) (ended <-chan struct{}, err error) {
	dieWithParent(cmd)
	started, gone := make(chan error), make(chan struct{})
	go func() { // keeps the thread that the child's life hangs on
		runtime.LockOSThread()
		defer close(gone)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	return gone, <-started
}
