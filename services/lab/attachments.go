package lab

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"
)

// A file is kept whole up to maxKept, and all kept files together up to
// maxKeptTotal; of the rest only length and hash are known.
const (
	maxKept      = 1 << 20
	maxKeptTotal = 32 << 20
	maxFiles     = 10_000 // then the oldest is forgotten
)

// Attachment is one uploaded file.
type Attachment struct {
	ID, Name, MimeType, Author string
	Size                       int64
	SHA256                     string // hex
	Kept                       bool   // it can be downloaded again
	Created                    time.Time

	content []byte
}

// files are the attachments of a product.
type files struct {
	mu    sync.Mutex
	next  int
	kept  int
	byID  map[string]Attachment
	order []string
}

func newFiles() *files { return &files{next: 10000, byID: map[string]Attachment{}} }

// add reads a file to its end in constant memory.
func (s *files) add(name, mimeType, author string, body io.Reader) (Attachment, error) {
	hash := sha256.New()
	var head bytes.Buffer
	size, err := io.Copy(io.MultiWriter(hash, &capped{buffer: &head, left: maxKept + 1}), body)
	if err != nil {
		return Attachment{}, err
	}
	f := Attachment{
		Name: name, MimeType: mimeType, Author: author, Size: size,
		SHA256: hex.EncodeToString(hash.Sum(nil)), Created: time.Now(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if size <= maxKept && s.kept+int(size) <= maxKeptTotal {
		f.Kept, f.content = true, head.Bytes()
		s.kept += int(size)
	}
	f.ID = strconv.Itoa(s.next)
	s.next++
	s.byID[f.ID] = f
	s.order = append(s.order, f.ID)
	if len(s.order) > maxFiles {
		s.drop(s.order[0])
		s.order = s.order[1:]
	}
	return f, nil
}

func (s *files) find(id string) (Attachment, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.byID[id]
	return f, ok
}

func (s *files) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(id)
}

func (s *files) drop(id string) {
	s.kept -= len(s.byID[id].content)
	delete(s.byID, id)
}

func (s *files) list() []Attachment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.byID), func(a, b Attachment) int { return a.Created.Compare(b.Created) })
}

// capped keeps the beginning of what is written to it.
type capped struct {
	buffer *bytes.Buffer
	left   int
}

// Write keeps what still fits, and never fails.
func (c *capped) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	c.buffer.Write(p[:n])
	c.left -= n
	return len(p), nil
}
