package suite

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
)

// openData makes the data folder, takes it for this process, and finds or makes the first admin's token.
func (u *Suite) openData() error {
	dir, err := filepath.Abs(u.settings.DataDir)
	if err != nil {
		return fmt.Errorf("GATEHOUSE_DATA_DIR: %w", err)
	}
	u.settings.DataDir = dir
	// Others may pass through, not look: Postgres runs as a user of its own below it.
	if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // what is below is private
		return fmt.Errorf("GATEHOUSE_DATA_DIR: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the data folder is the operator's
	if err != nil {
		return fmt.Errorf("GATEHOUSE_DATA_DIR: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(lock.Name())
		_ = lock.Close()
		return fmt.Errorf("GATEHOUSE_DATA_DIR %s is in use by process %s", dir, strings.TrimSpace(string(holder)))
	}
	u.parts = append(u.parts, part{name: "data folder", stop: lock.Close})
	if err := lock.Truncate(0); err != nil {
		return fmt.Errorf("GATEHOUSE_DATA_DIR: %w", err)
	}
	if _, err := fmt.Fprintln(lock, os.Getpid()); err != nil {
		return fmt.Errorf("GATEHOUSE_DATA_DIR: %w", err)
	}
	if u.AdminToken = u.settings.AdminToken; u.AdminToken != "" {
		return nil
	}
	u.AdminToken, u.tokenIsNew, err = adminauth.FirstToken(u.tokenFile())
	return err
}

// tokenFile is where the first admin's token is kept when it was made here.
func (u *Suite) tokenFile() string { return filepath.Join(u.settings.DataDir, "admin-token") }
