package wire

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
)

// maxChainRefs bounds the issuers of one policy in the compact form, where a few
// bytes name a whole certificate.
const maxChainRefs = 16

// ParseSigningPolicies reads the answer of MySigningPolicies in the order of
// the document, in the documented form or in the compact one. Unknown members
// are ignored and entries with unknown key types or curves left out. Entries
// that are malformed (bad base64, no slugs, keys that contradict each other) are
// left out as well and reported by a *MalformedPoliciesError beside the good
// ones; any other error means that there is no list at all. The policies keep
// their public keys, so they must not be changed; equal issuers share their bytes.
func ParseSigningPolicies(data []byte) ([]SigningPolicy, error) {
	s, ok := scanPolicies(data)
	if !ok {
		var err error
		if s, err = decodePolicies(data); err != nil {
			return nil, err
		}
	}
	return s.read()
}

// read makes policies of the texts.
func (s *policyScan) read() ([]SigningPolicy, error) {
	r := policyReader{shared: s.shared, issuers: map[string]*issuer{}}
	results := make([]policyResult, len(s.list))
	for i := range s.list {
		r.prepare(&s.list[i], &results[i])
	}
	inParallel(len(results), func(i int) { results[i].finish(&s.list[i]) })

	policies := make([]SigningPolicy, 0, len(results))
	var malformed []MalformedPolicy
	for i := range results {
		p, err := &results[i].policy, results[i].err
		switch {
		case err == nil:
			policies = append(policies, *p)
		case errors.Is(err, errUnknownKeyType) || errors.Is(err, errUnknownCurve):
		default:
			name := oneLine(p.Name())
			if p.ProjectSlug == "" || p.SigningPolicySlug == "" {
				name = fmt.Sprintf("#%d", i+1)
			}
			malformed = append(malformed, MalformedPolicy{Name: name, Err: err})
		}
	}
	if malformed != nil {
		return policies, &MalformedPoliciesError{Entries: malformed}
	}
	return policies, nil
}

// decodePolicies takes a list apart the slow way, which decides what is a list.
func decodePolicies(data []byte) (*policyScan, error) {
	var list struct {
		SigningPolicies    []json.RawMessage `json:"signingPolicies"`
		SharedCertificates []string          `json:"sharedCertificates"`
	}
	if err := DecodeJSON(data, &list); err != nil {
		return nil, fmt.Errorf("the answer is not a list of signing policies: %w", err)
	}
	if list.SigningPolicies == nil {
		return nil, errors.New("the answer holds no signingPolicies")
	}
	s := &policyScan{shared: textsOf(list.SharedCertificates), list: make([]policyText, len(list.SigningPolicies))}
	for i, raw := range list.SigningPolicies {
		s.list[i].json = raw
	}
	return s, nil
}

// inParallel calls f for 0 to n-1, on all processors when that pays. A panic in f
// comes out of this call: it must not end the program.
func inParallel(n int, f func(int)) {
	const few = 256
	workers := min(runtime.GOMAXPROCS(0), n/few)
	if workers < 2 {
		for i := range n {
			f(i)
		}
		return
	}
	var wg sync.WaitGroup
	panics := make([]any, workers)
	for w := range workers {
		wg.Go(func() {
			defer func() { panics[w] = recover() }()
			for i := n * w / workers; i < n*(w+1)/workers; i++ {
				f(i)
			}
		})
	}
	wg.Wait()
	for _, p := range panics {
		if p != nil {
			panic(p)
		}
	}
}

var errUnknownKeyType = errors.New("the keyType is unknown")

// policyResult is what became of one entry.
type policyResult struct {
	policy SigningPolicy
	chain  []*issuer
	err    error
}

// issuer is one certificate of a chain; most policies share a few.
type issuer struct {
	der      []byte
	base64   error // it is not base64
	unusable error // it is not a certificate
}

type policyReader struct {
	shared  [][]byte
	issuers map[string]*issuer // by base64 text
}

func (r *policyReader) issuer(text []byte) *issuer {
	c := r.issuers[string(text)]
	if c == nil {
		c = &issuer{}
		r.issuers[string(text)] = c
		if len(text) > 0 {
			c.der, c.base64 = decodeBase64(text)
		}
		if c.base64 == nil {
			_, c.unusable = x509.ParseCertificate(c.der)
		}
	}
	return c
}

// prepare reads name, type and issuers of an entry.
func (r *policyReader) prepare(t *policyText, to *policyResult) {
	if t.json != nil {
		if to.err = t.decode(&to.policy); to.err != nil {
			return
		}
	}
	to.policy.ProjectSlug, to.policy.SigningPolicySlug = string(t.project), string(t.policy)
	if to.err = checkHead(&to.policy, string(t.keyType)); to.err != nil {
		return
	}
	if t.chain == nil && len(t.chainRefs) > 0 {
		if len(t.chainRefs) > maxChainRefs {
			to.err = fmt.Errorf("certificateChainRefs names %d certificates; %d are possible", len(t.chainRefs), maxChainRefs)
			return
		}
		for _, n := range t.chainRefs {
			if n < 0 || n >= len(r.shared) {
				to.err = fmt.Errorf("certificateChainRefs names certificate %d of %d", n, len(r.shared))
				return
			}
			to.chain = append(to.chain, r.issuer(r.shared[n]))
		}
		return
	}
	for _, text := range t.chain {
		to.chain = append(to.chain, r.issuer(text))
	}
}

// checkHead tells whether an entry has a name and a known type: an unknown type
// may use the other members in its own way.
func checkHead(p *SigningPolicy, keyType string) error {
	if keyType == "" {
		return errors.New("keyType is missing")
	}
	var known bool
	if p.KeyType, known = knownKeyType(KeyType(keyType)); !known {
		return errUnknownKeyType
	}
	if p.ProjectSlug == "" || p.SigningPolicySlug == "" {
		return errors.New("projectSlug or signingPolicySlug is missing")
	}
	return nil
}

// decode fills in the texts of an entry from its JSON.
func (t *policyText) decode(p *SigningPolicy) error {
	// Texts, not []byte: encoding/json's own base64 ignores line breaks.
	var w struct {
		SigningPolicyID   string `json:"signingPolicyId"`
		ProjectSlug       string `json:"projectSlug"`
		SigningPolicySlug string `json:"signingPolicySlug"`
		CertificateType   string `json:"certificateType"`
		KeyType           string `json:"keyType"`
		KeySizeInBits     int    `json:"keySizeInBits"`
		RSAParameters     *struct {
			PublicExponent string `json:"publicExponent"`
			Modulus        string `json:"modulus"`
		} `json:"rsaParameters"`
		ECParameters *struct {
			CurveOID string `json:"curveOid"`
			Point    string `json:"point"`
		} `json:"ecParameters"`
		PublicKeyBytes       string   `json:"publicKeyBytes"`
		CertificateBytes     string   `json:"certificateBytes"`
		CertificateChain     []string `json:"certificateChain"`
		CertificateChainRefs []int    `json:"certificateChainRefs"`
	}
	var head struct {
		ProjectSlug       string `json:"projectSlug"`
		SigningPolicySlug string `json:"signingPolicySlug"`
		KeyType           string `json:"keyType"`
	}
	if err := checkJSON(t.json, reflect.TypeOf(w)); err != nil {
		return err
	}
	if err := decodeChecked(t.json, &head); err != nil {
		return err
	}
	p.ProjectSlug, p.SigningPolicySlug = head.ProjectSlug, head.SigningPolicySlug
	if err := checkHead(p, head.KeyType); err != nil {
		return err
	}
	if err := decodeChecked(t.json, &w); err != nil {
		return err
	}
	*t = policyText{
		id: []byte(w.SigningPolicyID), project: []byte(w.ProjectSlug), policy: []byte(w.SigningPolicySlug),
		certificateType: []byte(w.CertificateType), keyType: []byte(w.KeyType), bits: w.KeySizeInBits,
		publicKey: []byte(w.PublicKeyBytes), certificate: []byte(w.CertificateBytes), chain: textsOf(w.CertificateChain), chainRefs: w.CertificateChainRefs,
	}
	if r := w.RSAParameters; r != nil {
		t.rsa = &rsaText{[]byte(r.PublicExponent), []byte(r.Modulus)}
	}
	if e := w.ECParameters; e != nil {
		t.ec = &ecText{[]byte(e.CurveOID), []byte(e.Point)}
	}
	return nil
}

func textsOf(list []string) [][]byte {
	var texts [][]byte
	for _, s := range list {
		texts = append(texts, []byte(s))
	}
	return texts
}

// finish reads the rest of a prepared entry and checks its key.
func (r *policyResult) finish(t *policyText) {
	if r.err == nil {
		r.err = r.read(t)
	}
}

func (r *policyResult) read(t *policyText) error {
	p := &r.policy
	p.SigningPolicyID, p.KeySizeInBits = string(t.id), t.bits
	p.CertificateType = CertificateType(t.certificateType)
	for _, known := range []CertificateType{CertificateX509, CertificateGPG} {
		if strings.EqualFold(string(p.CertificateType), string(known)) {
			p.CertificateType = known
		}
	}
	var d base64Decoder
	if t.rsa != nil && p.KeyType == KeyRSA {
		p.RSAParameters = &RSAParameters{
			PublicExponent: d.decode("rsaParameters.publicExponent", t.rsa.exponent),
			Modulus:        d.decode("rsaParameters.modulus", t.rsa.modulus),
		}
	}
	if t.ec != nil && p.KeyType == KeyECDSA {
		p.ECParameters = &ECParameters{CurveOID: string(t.ec.curveOID), Point: d.decode("ecParameters.point", t.ec.point)}
	}
	p.PublicKeyBytes = d.decode("publicKeyBytes", t.publicKey)
	p.CertificateBytes = d.decode("certificateBytes", t.certificate)
	if d.err != nil {
		return d.err
	}
	for i, c := range r.chain {
		if c.base64 != nil {
			return fmt.Errorf("certificateChain[%d] is %w", i, c.base64)
		}
	}
	for i, c := range r.chain {
		if c.unusable != nil {
			return fmt.Errorf("certificateChain[%d] is not an X.509 certificate: %w", i, c.unusable)
		}
		p.CertificateChain = append(p.CertificateChain, c.der)
	}
	key, err := p.PublicKey()
	p.public = key
	return err
}

// base64Decoder decodes many members and keeps the first error.
type base64Decoder struct{ err error }

func (d *base64Decoder) decode(member string, text []byte) []byte {
	if len(text) == 0 || d.err != nil {
		return nil
	}
	b, err := decodeBase64(text)
	if err != nil {
		d.err = fmt.Errorf("%s is %w", member, err)
	}
	return b
}
