package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// account is who the server runs as. PostgreSQL refuses to run as root.
type account struct {
	name     string
	uid, gid uint32
	change   bool // from root
}

// chooseAccount returns the account for the server with the given folders, existing or not. Without root that is
// whoever we are. With root it is the one who owns them already (folders made by a user stay that user's), else name,
// else postgres or nobody.
func chooseAccount(name string, folders ...string) (account, error) {
	if os.Geteuid() != 0 {
		return account{name: strconv.Itoa(os.Geteuid())}, nil
	}
	for _, folder := range folders {
		if uid, gid, ok := owner(folder); ok && uid != 0 {
			return account{name: accountName(uid), uid: uid, gid: gid, change: true}, nil
		}
	}
	names := []string{"postgres", "nobody"}
	if name != "" {
		names = []string{name}
	}
	for _, name := range names {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(found.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(found.Gid, 10, 32)
		if errUID == nil && errGID == nil && uid != 0 {
			return account{name: name, uid: uint32(uid), gid: uint32(gid), change: true}, nil
		}
	}
	return account{}, fmt.Errorf("PostgreSQL does not run as root, and there is no account %s to run it as",
		strings.Join(names, " or "))
}

func owner(path string) (uid, gid uint32, ok bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return stat.Uid, stat.Gid, true
}

func accountName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if found, err := user.LookupId(id); err == nil {
		return found.Username
	}
	return id
}

// sys makes a process this account's, in a session of its own: Ctrl-C at the terminal reaches us and not the database,
// which we stop when we no longer need it.
func (a account) sys() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if a.change {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// own gives a file or folder of ours to the account.
func (a account) own(path string) error {
	if !a.change {
		return nil
	}
	return os.Lchown(path, int(a.uid), int(a.gid))
}

// explain finds the folder which shuts the account out, when that is why one of its processes did not start.
func (a account) explain(err error, paths ...string) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	for _, path := range paths {
		for _, folder := range ancestors(path) {
			if !a.mayEnter(folder) {
				return fmt.Errorf("PostgreSQL runs as user %s, who cannot enter %s on the way to %s: chmod a+x %[2]s,"+
					" or choose another folder: %[4]w", a.name, folder, path, err)
			}
		}
	}
	return err
}

// ancestors are the folders from the root to path, path included.
func ancestors(path string) []string {
	all := []string{path}
	for parent := filepath.Dir(path); parent != path; path, parent = parent, filepath.Dir(parent) {
		all = append([]string{parent}, all...)
	}
	return all
}

// mayEnter reads the permission bits. It only words an error: whether an account may enter is for the kernel to say.
func (a account) mayEnter(folder string) bool {
	info, err := os.Stat(folder)
	if err != nil {
		return !errors.Is(err, fs.ErrPermission)
	}
	uid, gid, ok := owner(folder)
	switch mode := info.Mode().Perm(); {
	case !ok || !a.change:
		return true
	case uid == a.uid:
		return mode&0o100 != 0
	case gid == a.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}
