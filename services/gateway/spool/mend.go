package spool

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// segments lists the files of the log by the index of their first entry, ascending, and how long they are together.
func segments(dir string) (firsts []uint64, size int64, err error) {
	files, err := os.ReadDir(dir) // sorted by name, and the names are numbers of 20 digits
	if err != nil {
		return nil, 0, err
	}
	for _, f := range files {
		first, err := strconv.ParseUint(f.Name(), 10, 64)
		if err != nil || len(f.Name()) != 20 {
			continue
		}
		if info, err := f.Info(); err == nil {
			size += info.Size()
		}
		firsts = append(firsts, first)
	}
	return firsts, size, nil
}

func segmentPath(dir string, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d", first))
}

// mend cuts from the last file what was not wholly written when the process was killed or the power failed: the log
// refuses to open otherwise. It gives how many bytes it cut.
func mend(dir string) (cut int64, err error) {
	firsts, _, err := segments(dir)
	if err != nil || len(firsts) == 0 {
		return 0, err
	}
	path := segmentPath(dir, firsts[len(firsts)-1])
	data, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return 0, err
	}
	good := 0
	for good < len(data) {
		size, n := binary.Uvarint(data[good:])
		if n <= 0 || size > uint64(len(data)-good-n) { //nolint:gosec // never negative
			break
		}
		end := good + n + int(size) //nolint:gosec // not beyond len(data)
		if decision, e, err := parse(data[good+n : end]); err != nil || decision == nil && !e.whole() {
			break
		}
		good = end
	}
	if good == len(data) {
		return 0, nil
	}
	return int64(len(data) - good), os.Truncate(path, int64(good))
}
