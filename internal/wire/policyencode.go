package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
)

// PreferCompact is a preference (RFC 7240) that a client may send with
// MySigningPolicies in the header field Prefer. A service that knows it answers
// in the compact form and says so in Preference-Applied; every other service
// ignores it, and a client that does not send it gets the documented form.
//
// The compact form differs in two things: certificates of issuers stand once in
// the document's member sharedCertificates, and each policy names them by their
// positions there, from 0, in certificateChainRefs in place of certificateChain;
// and of the members that tell the public key there is one alone:
// certificateBytes, or publicKeyBytes where there is no certificate.
const PreferCompact = "compact-signing-policies"

// EncodeSigningPolicies writes the answer of MySigningPolicies, as encoding/json
// would without its escapes for HTML, in a fraction of the time.
func EncodeSigningPolicies(list []SigningPolicy, compact bool) ([]byte, error) {
	e := policyEncoder{b: make([]byte, 0, 64+1024*len(list)), shared: map[string]int{}}
	e.b = append(e.b, `{"signingPolicies":[`...)
	for i := range list {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		if e.policy(&list[i], compact); e.err != nil {
			return nil, e.err
		}
	}
	e.b = append(e.b, ']')
	if compact {
		e.b = append(e.b, `,"sharedCertificates":[`...)
		for i, der := range e.order {
			if i > 0 {
				e.b = append(e.b, ',')
			}
			e.base64(der)
		}
		e.b = append(e.b, ']')
	}
	return append(e.b, "}\n"...), nil
}

type policyEncoder struct {
	b      []byte
	shared map[string]int // DER to position
	order  [][]byte
	err    error
}

func (e *policyEncoder) policy(p *SigningPolicy, compact bool) {
	e.b = append(e.b, `{"signingPolicyId":`...)
	e.string(p.SigningPolicyID)
	e.b = append(e.b, `,"projectSlug":`...)
	e.string(p.ProjectSlug)
	e.b = append(e.b, `,"signingPolicySlug":`...)
	e.string(p.SigningPolicySlug)
	if p.CertificateType != "" {
		e.b = append(e.b, `,"certificateType":`...)
		e.string(string(p.CertificateType))
	}
	e.b = append(e.b, `,"keyType":`...)
	e.string(string(p.KeyType))
	e.b = append(e.b, `,"keySizeInBits":`...)
	e.b = strconv.AppendInt(e.b, int64(p.KeySizeInBits), 10)
	if p.RSAParameters != nil && !compact {
		e.b = append(e.b, `,"rsaParameters":{"publicExponent":`...)
		e.base64(p.RSAParameters.PublicExponent)
		e.b = append(e.b, `,"modulus":`...)
		e.base64(p.RSAParameters.Modulus)
		e.b = append(e.b, '}')
	}
	if p.ECParameters != nil && !compact {
		e.b = append(e.b, `,"ecParameters":{"curveOid":`...)
		e.string(p.ECParameters.CurveOID)
		e.b = append(e.b, `,"point":`...)
		e.base64(p.ECParameters.Point)
		e.b = append(e.b, '}')
	}
	if len(p.PublicKeyBytes) > 0 && (!compact || len(p.CertificateBytes) == 0) {
		e.b = append(e.b, `,"publicKeyBytes":`...)
		e.base64(p.PublicKeyBytes)
	}
	if len(p.CertificateBytes) > 0 {
		e.b = append(e.b, `,"certificateBytes":`...)
		e.base64(p.CertificateBytes)
	}
	if len(p.CertificateChain) > 0 {
		e.chain(p.CertificateChain, compact && len(p.CertificateChain) <= maxChainRefs)
	}
	e.b = append(e.b, '}')
}

func (e *policyEncoder) chain(chain [][]byte, refs bool) {
	if refs {
		e.b = append(e.b, `,"certificateChainRefs":[`...)
	} else {
		e.b = append(e.b, `,"certificateChain":[`...)
	}
	for i, der := range chain {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		if !refs {
			e.base64(der)
			continue
		}
		n, known := e.shared[string(der)]
		if !known {
			n = len(e.order)
			e.shared[string(der)], e.order = n, append(e.order, der)
		}
		e.b = strconv.AppendInt(e.b, int64(n), 10)
	}
	e.b = append(e.b, ']')
}

func (e *policyEncoder) base64(b []byte) {
	if b == nil {
		e.b = append(e.b, "null"...)
		return
	}
	e.b = append(e.b, '"')
	e.b = base64.StdEncoding.AppendEncode(e.b, b)
	e.b = append(e.b, '"')
}

// string writes a text; those of slugs need no escapes.
func (e *policyEncoder) string(s string) {
	if isASCII(s) && unescaped([]byte(s)) && !strings.Contains(s, `"`) {
		e.b = append(e.b, '"')
		e.b = append(e.b, s...)
		e.b = append(e.b, '"')
		return
	}
	var text bytes.Buffer
	j := json.NewEncoder(&text)
	j.SetEscapeHTML(false)
	if err := j.Encode(s); err != nil {
		e.err = err // not reached: every string can be written
	}
	e.b = append(e.b, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
}
