package testkit

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// FreeAddress gives a loopback address with a port nobody listens on, for a server that is not started yet or that
// stops and starts again. No other test is given it before this one ends, in whichever process.
func FreeAddress(t testing.TB) string {
	t.Helper()
	// Below those that the system hands out by itself: one of these could be taken by a client's end while its server
	// is killed.
	const lowest, many = 20000, 12000
	for range many {
		port := lowest + rand.N(many) //nolint:gosec // no secret
		if takePort(t, port) {
			return fmt.Sprintf("127.0.0.1:%d", port)
		}
	}
	t.Fatal("no free port")
	return ""
}

// takePort tells whether a port is free, and takes it until the test ends: by a lock that ends with the process, because
// the port itself must stay free for its server, and packages are tested by processes that know nothing of each other.
func takePort(t testing.TB, port int) bool {
	t.Helper()
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("gatehouse-test-ports-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(port)), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // our own folder
	if err != nil {
		t.Fatal(err)
	}
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		_ = lock.Close()
		return false
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // nothing to cancel
	if err != nil {
		_ = lock.Close()
		return false
	}
	_ = l.Close()
	t.Cleanup(func() { _ = lock.Close() })
	return true
}
