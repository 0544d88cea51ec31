package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
)

// files are the entries of the spool, one behind the other. The place of an entry is how many bytes were ever written
// before it, counted from 1; each file is named by the place of its first entry, and entries do not span files. So a
// place is found without an index, and the oldest files can go while the newest are written.
//
// An entry is its length, 4 bytes big-endian, and what was written.
type files struct {
	dir    string
	most   int64 // bytes of a file before the next one is begun
	firsts []uint64
	tail   *os.File
	end    uint64 // where the next entry goes
	torn   bool   // a write has failed, and what it left could not be cut off
	fresh  bool   // there is a file whose name is not synced
}

// lengthSize is the room before an entry.
const lengthSize = 4

// maxEntry bounds what is taken for an entry; a record has 450 KiB at the most.
const maxEntry = 16 << 20

func (f *files) path(first uint64) string { return filepath.Join(f.dir, fmt.Sprintf("%020d", first)) }

// openFiles opens what is in a folder.
func openFiles(dir string, most int64) (*files, error) {
	f := &files{dir: dir, most: most}
	entries, err := os.ReadDir(dir) // sorted by name, and the names are numbers of 20 digits
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if first, err := strconv.ParseUint(e.Name(), 10, 64); err == nil && len(e.Name()) == 20 {
			f.firsts = append(f.firsts, first)
		}
	}
	if len(f.firsts) == 0 {
		f.end = 1
		return f, f.begin()
	}
	last := f.firsts[len(f.firsts)-1]
	if f.tail, err = os.OpenFile(f.path(last), os.O_WRONLY|os.O_APPEND, 0); err != nil {
		return nil, err
	}
	info, err := f.tail.Stat()
	if err != nil {
		return nil, err
	}
	f.end = last + uint64(info.Size()) //nolint:gosec // never negative
	return f, nil
}

// begin begins a file for the next entry.
func (f *files) begin() error {
	next, err := os.OpenFile(f.path(f.end), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if f.tail != nil {
		_ = f.tail.Close() // it is synced by its name
	}
	f.tail, f.firsts, f.fresh = next, append(f.firsts, f.end), true
	return nil
}

// append writes an entry that has room for its length before it, with one call to the system. When that fails, nothing
// of it stays.
func (f *files) append(data []byte) (at uint64, err error) {
	if f.torn {
		return 0, errors.New("what a write has left cannot be cut off")
	}
	if int64(f.end-f.firsts[len(f.firsts)-1]) >= f.most { //nolint:gosec // the length of a file
		if err := f.begin(); err != nil {
			return 0, err
		}
	}
	binary.BigEndian.PutUint32(data, uint32(len(data)-lengthSize)) //nolint:gosec // at most maxEntry
	if _, err := f.tail.Write(data); err != nil {
		f.torn = true
		return 0, errors.Join(err, f.mend())
	}
	at = f.end
	f.end += uint64(len(data))
	return at, nil
}

// mend cuts off what a write that failed has left.
func (f *files) mend() error {
	if !f.torn {
		return nil
	}
	err := f.tail.Truncate(int64(f.end - f.firsts[len(f.firsts)-1])) //nolint:gosec // the length of a file
	f.torn = err != nil
	return err
}

// cutOff takes everything from a place in the last file on away: it was not wholly written.
func (f *files) cutOff(at uint64) error {
	f.end, f.torn = at, true
	return f.mend()
}

// size is how many bytes there are.
func (f *files) size() int64 { return int64(f.end - f.firsts[0]) } //nolint:gosec // never negative

// last tells whether a place is in the last file.
func (f *files) last(at uint64) bool { return at >= f.firsts[len(f.firsts)-1] }

// of gives the file that a place is in: its first place, and that of the file behind it.
func (f *files) of(at uint64) (first, next uint64) {
	i := sort.Search(len(f.firsts), func(i int) bool { return f.firsts[i] > at })
	if i == len(f.firsts) {
		return f.firsts[i-1], f.end
	}
	return f.firsts[max(i-1, 0)], f.firsts[i]
}

// cut removes the files that end before a place; the last one stays.
func (f *files) cut(needed uint64) error {
	for len(f.firsts) > 1 && f.firsts[1] <= needed {
		if err := os.Remove(f.path(f.firsts[0])); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		f.firsts = f.firsts[1:]
	}
	return nil
}

// clear removes everything; places go on behind it.
func (f *files) clear() error {
	if newest := f.firsts[len(f.firsts)-1]; newest < f.end { // an empty one stays
		if err := f.begin(); err != nil {
			return err
		}
	}
	return f.cut(f.end)
}

// unsynced lists the files with something in them from a place on.
func (f *files) unsynced(from uint64) (paths []string) {
	first, _ := f.of(from)
	for _, start := range f.firsts {
		if start >= first {
			paths = append(paths, f.path(start))
		}
	}
	return paths
}

// reader reads entries, best one behind the other.
type reader struct {
	file  *os.File
	first uint64 // of the file
	at    uint64 // of what is in buf
	buf   []byte
}

const readAhead = 64 << 10

// entry gives the entry at a place in a file, which ends at next. It is good until the next call.
func (r *reader) entry(f *files, at uint64) (data []byte, next uint64, err error) {
	first, end := f.of(at)
	head, err := r.bytes(f, first, at, end, lengthSize)
	if err != nil {
		return nil, 0, err
	}
	length := uint64(binary.BigEndian.Uint32(head))
	if length == 0 || length > maxEntry {
		return nil, 0, errDamaged
	}
	data, err = r.bytes(f, first, at+lengthSize, end, length)
	return data, at + lengthSize + length, err
}

// bytes gives n bytes from a place on.
func (r *reader) bytes(f *files, first, at, end, n uint64) ([]byte, error) {
	if at+n > end {
		return nil, errDamaged // cut off
	}
	if r.file == nil || r.first != first {
		r.close()
		file, err := os.Open(f.path(first))
		if err != nil {
			return nil, err
		}
		r.file, r.first, r.buf = file, first, r.buf[:0]
	}
	if at < r.at || at+n > r.at+uint64(len(r.buf)) {
		want := min(max(n, readAhead), end-at)
		r.buf = slices.Grow(r.buf[:0], int(want))[:want]                 //nolint:gosec // at most maxEntry
		if _, err := r.file.ReadAt(r.buf, int64(at-first)); err != nil { //nolint:gosec // the length of a file
			r.buf = r.buf[:0]
			if errors.Is(err, io.EOF) {
				err = errDamaged
			}
			return nil, err
		}
		r.at = at
	}
	return r.buf[at-r.at : at-r.at+n], nil
}

func (r *reader) close() {
	if r.file != nil {
		_ = r.file.Close()
		r.file = nil
	}
}
