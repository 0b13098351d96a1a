package ctk

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"signpath/internal/provider/ctkchannel"
	"signpath/internal/provider/keyring"
)

// Token is what macOS gets to know about one signing policy.
type Token struct {
	Instance     string   // TKTokenInstanceID: the policy's ID
	Object       string   // objectID of certificate and key: project/policy
	Label        string   // the certificate's common name, by which tools choose
	Certificate  []byte   // DER
	Issuers      [][]byte // DER, intermediate certificates, next issuer first; never a root
	NotAfter     time.Time
	Algorithms   []byte                   // numbers of the table
	Channel      ctkchannel.Configuration // set before the token is registered
	registered   bool                     // macOS has it with this Channel
	key          *keyring.Key
	chainProblem string // why Issuers is shorter than it could be
}

// IssuerObject is the objectID of an issuer, from 0.
func (t *Token) IssuerObject(i int) string { return t.Object + "#" + strconv.Itoa(i+1) }

// equal tells whether macOS need not be told anew.
func (t *Token) equal(o *Token) bool {
	return t.Instance == o.Instance && t.Object == o.Object && bytes.Equal(t.Certificate, o.Certificate) &&
		slices.EqualFunc(t.Issuers, o.Issuers, bytes.Equal) && bytes.Equal(t.Algorithms, o.Algorithms)
}

// logger is what the package logs through.
type logger interface {
	Debug(msg string, args ...any)
	Info(msg string, args ...any)
	Warning(msg string, args ...any)
	Error(msg string, args ...any)
}

// tokensOf makes the tokens of the keys, in their order. Keys without a
// certificate and keys that CryptoTokenKit has no algorithms for are left out.
func tokensOf(keys *keyring.Snapshot, now time.Time, log logger) []*Token {
	var tokens []*Token
	taken := map[string]bool{}
	leaves := map[string]string{}
	for _, k := range keys.Keys() {
		if k.IsGPG() || len(k.Certificate()) == 0 {
			log.Info("a signing policy without an X.509 certificate is left out: the keychain cannot hold it", "key", k.Name())
			continue
		}
		ids := algorithmsOf(k)
		if len(ids) == 0 {
			log.Info("a signing policy is left out: macOS tools have no algorithm for its key", "key", k.Name(), "keyType", string(k.Type()))
			continue
		}
		leaf, err := x509.ParseCertificate(k.Certificate())
		if err != nil {
			log.Warning("a signing policy is left out: its certificate cannot be read", "key", k.Name(), "cause", err.Error())
			continue
		}
		t := &Token{Instance: instanceOf(k, taken), Object: k.Name(), Label: labelOf(leaf, k), Certificate: leaf.Raw, NotAfter: leaf.NotAfter, Algorithms: ids, key: k}
		t.addIssuers(k, leaf)
		if t.chainProblem != "" {
			log.Warning("an issuer of a certificate was left out", "key", k.Name(), "cause", t.chainProblem)
		}
		if now.After(leaf.NotAfter) {
			log.Warning("the certificate has expired; codesign refuses it", "key", k.Name(), "commonName", t.Label, "notAfter", leaf.NotAfter.UTC().Format(time.DateOnly))
		}
		if other, twice := leaves[string(leaf.Raw)]; twice {
			log.Warning("two signing policies have the same certificate: tools call its name ambiguous; start the app with --project-slug and --signing-policy-slug to choose one", "key", k.Name(), "other", other)
		}
		leaves[string(leaf.Raw)] = k.Name()
		tokens = append(tokens, t)
	}
	return tokens
}

// instanceOf is the policy's ID, or what stands for it when it is of no use as a
// part of a token's name.
func instanceOf(k *keyring.Key, taken map[string]bool) string {
	id := k.PolicyID()
	good := id != "" && len(id) <= 64 && !taken[id]
	for _, c := range id {
		good = good && (c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '.' || c == '_')
	}
	if !good {
		sum := sha256.Sum256([]byte(k.Name()))
		id = hex.EncodeToString(sum[:16])
	}
	taken[id] = true
	return id
}

func labelOf(leaf *x509.Certificate, k *keyring.Key) string {
	if leaf.Subject.CommonName != "" {
		return leaf.Subject.CommonName
	}
	return k.Name()
}

// addIssuers follows the chain from the leaf; what does not belong to it and
// roots stay out.
func (t *Token) addIssuers(k *keyring.Key, leaf *x509.Certificate) {
	at := leaf
	for i, der := range k.Chain() {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.chainProblem = "certificate " + strconv.Itoa(i+1) + " of the chain cannot be read: " + err.Error()
			return
		}
		if !bytes.Equal(at.RawIssuer, c.RawSubject) || bytes.Equal(c.RawSubject, c.RawIssuer) {
			continue
		}
		t.Issuers = append(t.Issuers, c.Raw)
		at = c
	}
}
