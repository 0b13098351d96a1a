// Package hsmwire is what the signing service and its HSM worker processes
// (cmd/signpath-hsm) say to each other over their inherited socket.
//
// What enters and leaves are frames:
//
//	length   4 bytes, big-endian, of everything after it
//	version  1 byte, 1
//	id       8 bytes, big-endian; an answer has the id of its request
//	body     JSON: a Request or an Answer
//
// Many requests may be under way; answers come in any order. The first request
// is "open", which carries the PIN; after its answer the worker knows the PIN
// no more. Frames are bounded, and a frame of another version ends the
// connection: service and worker are built and shipped together. The package
// holds no state and never prints what it carries.
package hsmwire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// Version is the version of frames and bodies.
const Version = 1

// MaxBody bounds the JSON of one frame, in bytes. The longest is a list of keys.
const MaxBody = 8 << 20

// MaxKeys bounds a list of keys; a longer one is cut and says so.
const MaxKeys = 10000

const headerSize = 4 + 1 + 8

// Op is what a request asks for.
type Op string

// The requests, with the member of Request that each needs.
const (
	OpOpen        Op = "open"        // Open: loads the module, finds the token, logs in; first and once
	OpDescribe    Op = "describe"    // the token
	OpList        Op = "list"        // its private keys
	OpGenerate    Op = "generate"    // Generate
	OpFind        Op = "find"        // Key: public key and properties
	OpAttestation Op = "attestation" // Key: what the token says about it
	OpSign        Op = "sign"        // Sign
	OpDestroy     Op = "destroy"     // Key: deletes private and public object
	OpPing        Op = "ping"        // keeps idle sessions alive
)

// Request is the body of a request.
type Request struct {
	Op       Op        `json:"op"`
	Open     *Open     `json:"open,omitempty"`
	Generate *Generate `json:"generate,omitempty"`
	Key      *KeyRef   `json:"key,omitempty"`
	Sign     *Sign     `json:"sign,omitempty"`
}

// Open says which token to work with. One of Label and Serial may be empty.
type Open struct {
	Module   string `json:"module"` // path of the vendor's PKCS #11 module
	Label    string `json:"label,omitempty"`
	Serial   string `json:"serial,omitempty"`
	PIN      []byte `json:"pin"`
	Sessions int    `json:"sessions"` // how many to keep open
	// Attributes are vendor-defined attribute types to read for attestations.
	Attributes []uint64 `json:"attributes,omitempty"`
}

// KeyRef names a key on the token. With an ID the label only decides between
// several keys with that ID.
type KeyRef struct {
	ID    []byte `json:"id,omitempty"`    // CKA_ID
	Label string `json:"label,omitempty"` // CKA_LABEL
}

// The types of keys.
const (
	RSA     = "rsa"
	ECDSA   = "ecdsa"
	Ed25519 = "ed25519"
)

// Generate asks for a new key pair.
type Generate struct {
	KeyRef
	Type string `json:"type"` // RSA, ECDSA or Ed25519
	Bits int    `json:"bits"` // modulus or curve size
}

// Mechanisms of Sign.
const (
	// MechanismPKCS1: CKM_RSA_PKCS; Data is the DER DigestInfo.
	MechanismPKCS1 = "CKM_RSA_PKCS"
	// MechanismPSS: CKM_RSA_PKCS_PSS; Data is the digest of Hash, the salt is as long, MGF1 uses Hash.
	MechanismPSS = "CKM_RSA_PKCS_PSS"
	// MechanismECDSA: CKM_ECDSA; Data is the digest, no longer than the curve's order. The answer is r‖s.
	MechanismECDSA = "CKM_ECDSA"
	// MechanismEdDSA: CKM_EDDSA without a parameter (pure Ed25519); Data is the message. The answer is R‖S.
	MechanismEdDSA = "CKM_EDDSA"
)

// Sign asks for a signature.
type Sign struct {
	Key       KeyRef `json:"key"`
	Mechanism string `json:"mechanism"`
	Hash      string `json:"hash,omitempty"` // PSS only: SHA-1, SHA-256, SHA-384, SHA-512
	Data      []byte `json:"data"`
}

// Answer is the body of an answer: Error, or the member that the request asks for.
type Answer struct {
	Error       *Error       `json:"error,omitempty"`
	Token       *Token       `json:"token,omitempty"`
	Keys        []Key        `json:"keys,omitempty"`
	More        bool         `json:"more,omitempty"` // Keys was cut
	Key         *Key         `json:"key,omitempty"`
	Attestation *Attestation `json:"attestation,omitempty"`
	Signature   []byte       `json:"signature,omitempty"`
}

// Token describes a token (PKCS #11 v2.40 section 3.2, CK_TOKEN_INFO).
type Token struct {
	Label           string `json:"label"`
	Manufacturer    string `json:"manufacturer,omitempty"`
	Model           string `json:"model,omitempty"`
	Serial          string `json:"serialNumber,omitempty"`
	HardwareVersion string `json:"hardwareVersion,omitempty"`
	FirmwareVersion string `json:"firmwareVersion,omitempty"`
	Library         string `json:"library,omitempty"`  // description and version of the module
	Sessions        int    `json:"sessions,omitempty"` // how many the worker keeps open
}

// Key describes a private key on the token. The flags are what the token
// claims (PKCS #11 v2.40 section 4.9); absent ones are false.
type Key struct {
	KeyRef
	Public             []byte `json:"public,omitempty"` // SubjectPublicKeyInfo, DER; absent in lists when it cannot be read
	CanSign            bool   `json:"canSign"`
	Sensitive          bool   `json:"sensitive"`
	Extractable        bool   `json:"extractable"`
	AlwaysSensitive    bool   `json:"alwaysSensitive"`
	NeverExtractable   bool   `json:"neverExtractable"`
	Local              bool   `json:"local"`              // made on the token
	AlwaysAuthenticate bool   `json:"alwaysAuthenticate"` // wants the PIN for each signature
}

// Attestation is what a token says about a key; only certificates and vendor
// attributes can prove anything, and to those who know the vendor's root.
type Attestation struct {
	Token        Token             `json:"token"`
	Key          Key               `json:"key"`
	Certificates [][]byte          `json:"certificates,omitempty"` // DER
	Attributes   map[string][]byte `json:"attributes,omitempty"`   // by attribute type, "0x80000001"
}

// Class says what an error means for the service.
type Class string

// The classes.
const (
	ClassPIN     Class = "pin"     // the token refused the PIN, or it must not be tried
	ClassAbsent  Class = "absent"  // the token is not there
	ClassSetup   Class = "setup"   // the module or the token cannot be used as configured
	ClassDevice  Class = "device"  // the connection to the token is broken; a new process may help
	ClassFailed  Class = "failed"  // the operation failed, the token works
	ClassKey     Class = "key"     // the key is missing, ambiguous or not usable
	ClassRefused Class = "refused" // the token does not do this; repeating does not help
)

// Error is a failure.
type Error struct {
	Class Class `json:"class"`
	// Before is true when the private key was certainly not used.
	Before bool `json:"before,omitempty"`
	// Code is the CKR_ value of the token, 0 when there is none.
	Code uint64 `json:"code,omitempty"`
	Text string `json:"text"`
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// ErrFrame refuses what is no frame of this version.
var ErrFrame = errors.New("the other side of the HSM worker's socket does not speak this protocol")

// Conn is one side of the socket. Send may be called by many goroutines,
// Receive by one.
type Conn struct {
	net.Conn
	mu sync.Mutex
}

// NewConn wraps a stream.
func NewConn(c net.Conn) *Conn { return &Conn{Conn: c} }

// Send writes one frame.
func (c *Conn) Send(id uint64, body any) error {
	frame, err := Encode(id, body)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer clear(frame) // the first one holds the PIN
	_, err = c.Write(frame)
	return err
}

// Receive reads one frame into body, a *Request or *Answer. io.EOF: the other
// side is gone. Any error ends the connection.
func (c *Conn) Receive(body any) (id uint64, err error) { return Decode(c.Conn, body) }

// Encode makes a frame.
func Encode(id uint64, body any) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, headerSize))
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		return nil, fmt.Errorf("encoding a message of the HSM worker: %w", err)
	}
	frame := b.Bytes()
	if len(frame)-headerSize > MaxBody {
		return nil, fmt.Errorf("a message of the HSM worker has %d bytes; the limit is %d", len(frame)-headerSize, MaxBody)
	}
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4)) //nolint:gosec // bounded by MaxBody
	frame[4] = Version
	binary.BigEndian.PutUint64(frame[5:], id)
	return frame, nil
}

// Decode reads a frame. A half one answers io.ErrUnexpectedEOF.
func Decode(r io.Reader, body any) (id uint64, err error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, err
	}
	n := int64(binary.BigEndian.Uint32(header[:])) - (headerSize - 4)
	if header[4] != Version || n < 2 || n > MaxBody {
		return 0, ErrFrame
	}
	// Grows with what arrives: a length alone takes no memory.
	var b bytes.Buffer
	if copied, err := io.CopyN(&b, r, n); err != nil {
		if copied < n && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}
	data := b.Bytes()
	defer clear(data)
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(body); err != nil {
		return 0, fmt.Errorf("%w: %v", ErrFrame, err)
	}
	if d.More() {
		return 0, ErrFrame
	}
	return binary.BigEndian.Uint64(header[5:]), nil
}
