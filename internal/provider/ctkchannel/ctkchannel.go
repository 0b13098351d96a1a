// Package ctkchannel is the way from the CryptoTokenKit extension, which macOS
// runs in a sandbox, to the app that holds the API token: the extension asks for
// a signature, the app answers.
//
// What enters are the number of an algorithm and a digest, what leaves is a
// signature or a refusal (a TKError code and a sentence). The channel is TCP on
// 127.0.0.1, one connection per signature. Both sides prove that they know a key
// of 32 random bytes that the app made for this run and this token; the key
// itself never travels. Every message is covered by a MAC, so whoever listens on
// the app's port after its end, and other users of the machine who connect to
// it, learn and change nothing. The API token never crosses the channel, and
// nothing here leaves the machine.
//
// The messages, integers big-endian; C is the extension, S is the app:
//
//	1  C→S  "SPC1", length of the token's instance ID (1 byte, not 0), ID in UTF-8, nonce (32 bytes)
//	2  S→C  nonce (32), MAC("app")
//	3  C→S  algorithm (1), length of the digest (1, at most 64), digest, MAC("request")
//	4  S→C  code (1, signed; 0: signed), length (2, at most 4096), signature or sentence, MAC("answer")
//
// MAC(name) is HMAC-SHA-256 (RFC 2104) with the key over name, padded with zero
// bytes to 8, and everything that went over the connection so far without the
// MACs, the message itself included. What the extension gets to know is in
// Configuration.
package ctkchannel

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Sizes in bytes.
const (
	KeySize   = 32
	nonceSize = 32
	macSize   = sha256.Size
	maxDigest = 64
	maxBody   = 4096
	maxID     = 255
)

const hello = "SPC1"

// What each message's MAC begins with.
const (
	labelApp     = "app"
	labelRequest = "request"
	labelAnswer  = "answer"
)

// Key is what app and extension share about one token for one run.
type Key [KeySize]byte

// String hides the key.
func (Key) String() string { return "[redacted]" }

// GoString hides the key.
func (Key) GoString() string { return "[redacted]" }

// newKey makes a key of the system's random bytes.
func newKey() (k Key) {
	_, _ = rand.Read(k[:]) // it never fails: crypto/rand ends the process instead
	return k
}

// Configuration is what the extension is told about its token: the port and the
// key of the app, and the algorithms that the token's key can sign with.
type Configuration struct {
	Port       uint16
	Key        Key
	Algorithms []byte // numbers of the app's table, at most 255
}

const configurationMagic = "SPTK1"

// Bytes is the configuration as it stands in TKTokenConfiguration's
// configurationData: "SPTK1", port (2 bytes, big-endian), key (32), number of
// algorithms (1), algorithms (1 each).
func (c Configuration) Bytes() []byte {
	b := append([]byte(configurationMagic), byte(c.Port>>8), byte(c.Port))
	b = append(b, c.Key[:]...)
	n := min(len(c.Algorithms), 255)
	b = append(b, byte(n))
	return append(b, c.Algorithms[:n]...)
}

// ParseConfiguration reads what Bytes wrote.
func ParseConfiguration(b []byte) (Configuration, error) {
	const head = len(configurationMagic) + 2 + KeySize + 1
	if len(b) < head || string(b[:len(configurationMagic)]) != configurationMagic || len(b) != head+int(b[head-1]) {
		return Configuration{}, errors.New("the token's configuration is not one of this version")
	}
	c := Configuration{Port: binary.BigEndian.Uint16(b[len(configurationMagic):]), Algorithms: append([]byte(nil), b[head:]...)}
	copy(c.Key[:], b[len(configurationMagic)+2:])
	return c, nil
}

// Refusal is an answer that holds no signature.
type Refusal struct {
	Code    int8   // a TKError code, below 0
	Message string // one sentence for a log
}

// Error is the sentence.
func (r *Refusal) Error() string { return r.Message }

// talk is everything said on a connection, without the MACs.
type talk struct {
	key  Key
	said []byte
}

func (t *talk) add(b ...byte) { t.said = append(t.said, b...) }

// mac is the MAC of the message that was added last.
func (t *talk) mac(label string) []byte {
	var name [8]byte
	copy(name[:], label)
	h := hmac.New(sha256.New, t.key[:])
	h.Write(name[:])
	h.Write(t.said)
	return h.Sum(nil)
}

// proves compares a MAC in constant time.
func (t *talk) proves(label string, mac []byte) bool { return hmac.Equal(t.mac(label), mac) }

// readHello reads message 1 and gives the instance ID.
func readHello(r io.Reader, t *talk) (id string, err error) {
	var head [len(hello) + 1]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return "", err
	}
	n := int(head[len(hello)])
	if string(head[:len(hello)]) != hello || n == 0 {
		return "", errors.New("the first message is not one of this protocol")
	}
	rest := make([]byte, n+nonceSize)
	if _, err := io.ReadFull(r, rest); err != nil {
		return "", err
	}
	t.add(head[:]...)
	t.add(rest...)
	return string(rest[:n]), nil
}

// readRequest reads message 3.
func readRequest(r io.Reader, t *talk) (algorithm byte, digest []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(head[1])
	if n == 0 || n > maxDigest {
		return 0, nil, fmt.Errorf("a digest of %d bytes", n)
	}
	rest := make([]byte, n+macSize)
	if _, err := io.ReadFull(r, rest); err != nil {
		return 0, nil, err
	}
	t.add(head[:]...)
	t.add(rest[:n]...)
	if !t.proves(labelRequest, rest[n:]) {
		return 0, nil, errUnknown
	}
	return head[0], rest[:n], nil
}

// answer is message 4.
func (t *talk) answer(code int8, body []byte) []byte {
	if len(body) > maxBody {
		body = body[:maxBody]
	}
	m := append([]byte{byte(code), byte(len(body) >> 8), byte(len(body))}, body...)
	t.add(m...)
	return append(m, t.mac(labelAnswer)...)
}

// errUnknown is what a peer without the key gets nothing for.
var errUnknown = errors.New("the other side does not know the token's key")
