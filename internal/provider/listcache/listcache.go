// Package listcache keeps lists of signing policies on disk for a short time, so
// that a process that signs one file need not fetch the list that the process
// before it has just fetched.
//
// What enters are answers of MySigningPolicies, what leaves are the same bytes
// again, or nothing. An entry grants nothing: it tells which keys there are, and
// the service decides on every signature as if there were no cache. It holds no
// secret: slugs, public keys and certificates only.
//
// Entries belong to one address, organization, token and filter. A name is a
// hash of these, and a MAC whose key comes from the token covers the content, so
// that only somebody who has the token can make an entry: a file that was
// damaged, cut, copied from elsewhere or written by somebody else is no entry.
// The folder must be one that only the user can write to. Files are replaced as
// a whole. Every failure (no rights, no space, no folder) means that nothing is
// kept; none of them ever fails a call.
package listcache

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"signpath/internal/secret"
)

const (
	maxEntry = 32 << 20  // bytes of one file
	maxTotal = 128 << 20 // bytes of all files
	maxFiles = 64
	keep     = 24 * time.Hour  // entries that nobody used for so long are removed
	abandon  = 5 * time.Minute // after which an unfinished file is removed
	magic    = "SignPath list of signing policies 1\n"
	suffix   = ".list"
	tempMark = ".part"
)

// ID names one list.
type ID struct {
	URL, Organization              string
	ProjectSlug, SigningPolicySlug string // the filter; "" for all
	Token                          secret.Secret
}

// file is the entry's name: SHA-256 over all members, the token hashed before.
func (id ID) file() string {
	token := sha256.Sum256([]byte(id.Token.Reveal()))
	h := sha256.New()
	for _, part := range []string{magic, id.URL, strings.ToLower(id.Organization), id.ProjectSlug, id.SigningPolicySlug, string(token[:])} {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil)) + suffix
}

// mac covers an entry with a key made of the token.
func (id ID) mac(content []byte) []byte {
	key := hmac.New(sha256.New, []byte(id.Token.Reveal()))
	key.Write([]byte(magic))
	m := hmac.New(sha256.New, key.Sum(nil))
	m.Write([]byte(id.file()))
	m.Write(content)
	return m.Sum(nil)
}

// Entry is a list as the service sent it.
type Entry struct {
	Body []byte
	Tag  string    // the service's name for this state; "" when it gave none
	At   time.Time // when the service last said that it is so
}

// Age is how long ago the service said so; negative when the clock was put back.
func (e Entry) Age(now time.Time) time.Duration { return now.Round(0).Sub(e.At) }

// Store is a folder of entries. It is safe for use by many threads and processes.
type Store struct{ dir string }

// At is the store in a folder, which is made when the first entry is kept.
func At(dir string) *Store { return &Store{dir} }

var (
	errUnsafe   = errors.New("the folder is not one that this user alone can write to")
	errNotPlain = errors.New("the file is not a plain one of this user alone")
)

// open opens the folder if it is safe.
func (s *Store) open() (*os.Root, error) {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, err
	}
	// Looked at when it is open: nobody can exchange it any more.
	info, err := root.Stat(".")
	if err == nil && !private(info) {
		err = errUnsafe
	}
	if err != nil {
		_ = root.Close()
		return nil, err
	}
	return root, nil
}

// Get gives an entry. Without one the error says why, for the log.
func (s *Store) Get(id ID) (Entry, error) {
	root, err := s.open()
	if err != nil {
		return Entry{}, err
	}
	defer root.Close()
	// os.Root follows links that stay inside the folder; no entry is a link.
	if info, err := root.Lstat(id.file()); err != nil {
		return Entry{}, err
	} else if !info.Mode().IsRegular() {
		return Entry{}, errNotPlain
	}
	f, err := root.OpenFile(id.file(), os.O_RDONLY|noFollow, 0)
	if err != nil {
		return Entry{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return Entry{}, err
	case !info.Mode().IsRegular() || !private(info):
		return Entry{}, errNotPlain
	case info.Size() > maxEntry:
		return Entry{}, errors.New("the file is too long")
	}
	content := make([]byte, info.Size())
	if _, err := io.ReadFull(f, content); err != nil {
		return Entry{}, err
	}
	return decode(id, content)
}

// Put keeps an entry. An error means that it is not kept.
func (s *Store) Put(id ID, e Entry) error {
	content := encode(id, e)
	if len(content) > maxEntry {
		return fmt.Errorf("the list is longer than %d MiB", maxEntry>>20)
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	root, err := s.open()
	if err != nil {
		return err
	}
	defer root.Close()
	clean(root, int64(len(content)), time.Now())
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	temp := hex.EncodeToString(random[:]) + tempMark
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|noFollow, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	// Not flushed to the disk: what a crash leaves behind has no valid MAC.
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(temp, id.file())
	}
	if err != nil {
		_ = root.Remove(temp)
	}
	return err
}

// Drop removes an entry that turned out to be wrong.
func (s *Store) Drop(id ID) {
	if root, err := s.open(); err == nil {
		_ = root.Remove(id.file())
		_ = root.Close()
	}
}

// clean makes room for an entry of that many bytes: unfinished and unused files
// first, then the oldest ones. Files that are not the cache's stay.
func clean(root *os.Root, room int64, now time.Time) {
	dir, err := root.Open(".")
	if err != nil {
		return
	}
	entries, err := dir.ReadDir(16 * maxFiles)
	_ = dir.Close()
	if err != nil && !errors.Is(err, io.EOF) {
		return
	}
	var files []fs.FileInfo
	var total int64
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		age := now.Sub(info.ModTime())
		switch {
		case strings.HasSuffix(info.Name(), tempMark) && age > abandon, strings.HasSuffix(info.Name(), suffix) && age > keep:
			_ = root.Remove(info.Name())
		case strings.HasSuffix(info.Name(), suffix):
			files, total = append(files, info), total+info.Size()
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for len(files) > 0 && (len(files) >= maxFiles || total+room > maxTotal) {
		_ = root.Remove(files[0].Name())
		files, total = files[1:], total-files[0].Size()
	}
}

// encode writes magic, MAC (32 bytes), time (Unix nanoseconds, 8 bytes
// big-endian), length of the tag (2 bytes big-endian), tag, body.
func encode(id ID, e Entry) []byte {
	head := len(magic) + sha256.Size
	b := make([]byte, head, head+10+len(e.Tag)+len(e.Body))
	copy(b, magic)
	b = binary.BigEndian.AppendUint64(b, uint64(e.At.UnixNano()))
	b = binary.BigEndian.AppendUint16(b, uint16(min(len(e.Tag), 1<<16-1)))
	b = append(append(b, e.Tag...), e.Body...)
	copy(b[len(magic):], id.mac(b[head:]))
	return b
}

// decode is the way back. The MAC is checked before anything is read.
func decode(id ID, b []byte) (Entry, error) {
	rest, ok := strings.CutPrefix(string(b[:min(len(b), len(magic))]), magic)
	head := len(magic) + sha256.Size
	if !ok || rest != "" || len(b) < head+10 {
		return Entry{}, errors.New("the file is none of this version")
	}
	content := b[head:]
	if !hmac.Equal(b[len(magic):head], id.mac(content)) {
		return Entry{}, errors.New("the file is damaged, or another token made it")
	}
	at, tag, body := int64(binary.BigEndian.Uint64(content)), int(binary.BigEndian.Uint16(content[8:])), content[10:]
	if tag > len(body) {
		return Entry{}, errors.New("the file is malformed")
	}
	return Entry{At: time.Unix(0, at), Tag: string(body[:tag]), Body: body[tag:]}, nil
}
