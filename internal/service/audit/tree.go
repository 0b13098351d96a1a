package audit

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"signpath/internal/secret"
	"signpath/internal/service/store"
)

// extend appends a leaf hash to the tree (RFC 9162 section 2.1.1): two perfect
// subtrees of the same size at the end become one.
func extend(head *store.AuditHead, leafHash [32]byte) error {
	if len(head.Frontier) != bits.OnesCount64(head.Size) {
		return fmt.Errorf("the end of the audit log is damaged: %d subtrees cannot hold %d entries; restore a backup and check it with 'signpath audit verify'", len(head.Frontier), head.Size)
	}
	// A new slice: the caller's head may share the old one.
	f := append(make([][32]byte, 0, len(head.Frontier)+1), head.Frontier...)
	node := leafHash
	for n := head.Size; n&1 == 1; n >>= 1 {
		left := f[len(f)-1]
		f = f[:len(f)-1]
		node = tlog.NodeHash(left, node)
	}
	head.Frontier = append(f, node)
	head.Size++
	head.LastHash = leafHash
	return nil
}

// Root is the root of the Merkle tree over the log that ends with head
// (RFC 9162 section 2.1.1); of the empty log it is SHA-256 of nothing.
func Root(head store.AuditHead) [32]byte {
	n := len(head.Frontier)
	if n == 0 {
		return sha256.Sum256(nil)
	}
	root := tlog.Hash(head.Frontier[n-1])
	for i := n - 2; i >= 0; i-- {
		root = tlog.NodeHash(head.Frontier[i], root)
	}
	return root
}

// GenerateKey makes a key that signs checkpoints of the log called origin, e.g.
// "signpath.example.com/audit" (no spaces, no plus signs). The signer key is
// secret; verifierKey is the text "origin+hash+key" that verifiers need.
func GenerateKey(origin string) (signerKey secret.Secret, verifierKey string, err error) {
	s, v, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return secret.Secret{}, "", fmt.Errorf("making the audit log's key: %w", err)
	}
	if _, err := note.NewVerifier(v); err != nil {
		return secret.Secret{}, "", fmt.Errorf("the audit log cannot be called %q: a name has no spaces and no plus signs", origin)
	}
	return secret.New(s), v, nil
}

// NewSigner reads the signer key that GenerateKey made.
func NewSigner(signerKey secret.Secret) (note.Signer, error) {
	s, err := note.NewSigner(signerKey.Reveal())
	if err != nil {
		return nil, errors.New("the audit log's signer key is damaged") // never the key itself
	}
	return s, nil
}

// SignCheckpoint writes the signed checkpoint of the log that ends with head.
func SignCheckpoint(head store.AuditHead, signer note.Signer) ([]byte, error) {
	root := Root(head)
	text := fmt.Sprintf("%s\n%d\n%s\n", signer.Name(), head.Size, base64.StdEncoding.EncodeToString(root[:]))
	return note.Sign(&note.Note{Text: text}, signer)
}

// checkpoint is what an anchor says.
type checkpoint struct {
	size uint64
	root [32]byte
}

// openCheckpoint checks a signed checkpoint. Every error wraps ErrCheckpoint.
func openCheckpoint(signed []byte, verifierKey string) (checkpoint, error) {
	fail := func(format string, args ...any) (checkpoint, error) {
		return checkpoint{}, fmt.Errorf("%w: %s", ErrCheckpoint, fmt.Sprintf(format, args...))
	}
	v, err := note.NewVerifier(strings.TrimSpace(verifierKey))
	if err != nil {
		return fail("the verifier key is not of the form name+hash+key")
	}
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		var unverified *note.UnverifiedNoteError
		if errors.As(err, &unverified) {
			return fail("it is not signed with the key %s", v.Name())
		}
		return fail("%v", err)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 4 { // origin, size, root, and the empty piece behind the last line feed
		return fail("it does not have the three lines origin, size and root")
	}
	if lines[0] != v.Name() {
		return fail("it belongs to the log %q, the verifier key to %q", lines[0], v.Name())
	}
	var c checkpoint
	if c.size, err = strconv.ParseUint(lines[1], 10, 64); err != nil || strconv.FormatUint(c.size, 10) != lines[1] {
		return fail("its size is not a number")
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != 32 {
		return fail("its root is not a SHA-256 hash in base64")
	}
	c.root = [32]byte(root)
	return c, nil
}
