package wire

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"
	"unicode/utf8"
)

// policyScan reads a list of signing policies in one pass, without a copy of any
// text: what encoding/json and checkJSON do in seven passes takes most of the
// time of a host among ten thousand policies.
//
// It knows the form that services send and gives up on anything else (broken
// JSON, a member twice, names that only look like known ones, escapes in names,
// much nesting): then the slow way reads the document again and decides, so that
// there is one place for rules and messages. An entry alone that is unusual
// (escapes in a known text, members of other types) keeps its JSON and is read
// the slow way alone. What the scan accepts, the slow way accepts with the same
// result; a fuzz test holds the two together.
type policyScan struct {
	data []byte // all texts are parts of it
	i    int
	list []policyText
	// shared holds the texts of sharedCertificates.
	shared [][]byte
}

// policyText is one entry of the list with its values as texts.
type policyText struct {
	json []byte // the entry, for the slow way; nil when the rest is filled in

	id, project, policy, certificateType, keyType []byte
	bits                                          int
	rsa                                           *rsaText
	ec                                            *ecText
	publicKey, certificate                        []byte
	chain                                         [][]byte
	chainRefs                                     []int
}

type rsaText struct{ exponent, modulus []byte }

type ecText struct{ curveOID, point []byte }

const (
	scanDepth = 32 // levels, fewer than maxDepth: deeper documents go the slow way
	scanNames = 32 // different members of one object
)

// scanPolicies gives up with ok false.
func scanPolicies(data []byte) (s *policyScan, ok bool) {
	data = bytes.TrimPrefix(data, byteOrderMark)
	if !utf8.Valid(data) {
		return nil, false
	}
	s = &policyScan{data: data}
	s.space()
	found := false
	ok = s.object(true, func(name string) bool {
		switch {
		case name == "signingPolicies":
			found = true
			s.list = make([]policyText, 0, 1+len(data)/4096)
			return s.array(func() bool { return s.entry() })
		case name == "sharedCertificates":
			if s.peek() != '[' {
				return false
			}
			return s.array(func() bool {
				text, plain := s.string()
				s.shared = append(s.shared, text)
				return plain
			})
		case strings.EqualFold(name, "signingPolicies") || strings.EqualFold(name, "sharedCertificates"):
			return false
		}
		return s.skip(1)
	})
	s.space()
	if !ok || !found || s.i != len(data) {
		return nil, false
	}
	return s, true
}

// entryMembers are the known members of an entry.
var entryMembers = [...]string{
	"signingPolicyId", "projectSlug", "signingPolicySlug", "certificateType", "keyType", "keySizeInBits",
	"rsaParameters", "ecParameters", "publicKeyBytes", "certificateBytes", "certificateChain", "certificateChainRefs",
}

// textMember is a member of an inner object and where its text goes.
type textMember struct {
	name string
	to   *[]byte
}

// entry reads one element of signingPolicies.
func (s *policyScan) entry() bool {
	begin := s.i
	s.list = append(s.list, policyText{})
	p := &s.list[len(s.list)-1]
	plain := true
	// take reads a text, or remembers that the entry is unusual.
	take := func(to *[]byte) bool {
		switch s.peek() {
		case '"':
			text, simple := s.string()
			*to, plain = text, plain && simple
			return s.i > 0
		case 'n':
			return s.literal("null")
		}
		plain = false
		return s.skip(3)
	}
	// texts reads an object whose members are texts.
	texts := func(members ...textMember) bool {
		if s.peek() != '{' {
			plain = false
			return s.skip(3)
		}
		return s.object(true, func(name string) bool {
			for _, m := range members {
				if name == m.name {
					return take(m.to)
				}
				plain = plain && !strings.EqualFold(name, m.name)
			}
			return s.skip(4)
		})
	}
	if s.peek() != '{' {
		plain = false
		if !s.skip(2) {
			return false
		}
		p.json = s.data[begin:s.i]
		return true
	}
	ok := s.object(true, func(name string) bool {
		if s.peek() == 'n' { // as if it were absent
			return s.known(name, &plain) && s.literal("null")
		}
		switch name {
		case "signingPolicyId":
			return take(&p.id)
		case "projectSlug":
			return take(&p.project)
		case "signingPolicySlug":
			return take(&p.policy)
		case "certificateType":
			return take(&p.certificateType)
		case "keyType":
			return take(&p.keyType)
		case "publicKeyBytes":
			return take(&p.publicKey)
		case "certificateBytes":
			return take(&p.certificate)
		case "keySizeInBits":
			n, simple := s.smallNumber()
			if !simple {
				plain = false
				return s.skip(3)
			}
			p.bits = n
			return true
		case "rsaParameters":
			p.rsa = &rsaText{}
			return texts(textMember{"publicExponent", &p.rsa.exponent}, textMember{"modulus", &p.rsa.modulus})
		case "ecParameters":
			p.ec = &ecText{}
			return texts(textMember{"curveOid", &p.ec.curveOID}, textMember{"point", &p.ec.point})
		case "certificateChain":
			if s.peek() != '[' {
				plain = false
				return s.skip(3)
			}
			return s.array(func() bool {
				if s.peek() != '"' {
					plain = false
					return s.skip(4)
				}
				text, simple := s.string()
				p.chain, plain = append(p.chain, text), plain && simple
				return s.i > 0
			})
		case "certificateChainRefs":
			if s.peek() != '[' {
				plain = false
				return s.skip(3)
			}
			return s.array(func() bool {
				n, simple := s.smallNumber()
				if !simple {
					plain = false
					return s.skip(4)
				}
				p.chainRefs = append(p.chainRefs, n)
				return true
			})
		}
		return s.known(name, &plain) && s.skip(3)
	})
	if ok && !plain {
		*p = policyText{json: s.data[begin:s.i]}
	}
	return ok
}

// known takes an entry for unusual when a member has a known name in other letters.
func (s *policyScan) known(name string, plain *bool) bool {
	for _, known := range entryMembers {
		if name != known && strings.EqualFold(name, known) {
			*plain = false
		}
	}
	return true
}

// failed makes every further step give up.
func (s *policyScan) failed() bool { s.i = -1; return false }

// peek gives the next byte, 0 at the end.
func (s *policyScan) peek() byte {
	if s.i < 0 || s.i >= len(s.data) {
		return 0
	}
	return s.data[s.i]
}

func (s *policyScan) space() {
	for s.i >= 0 && s.i < len(s.data) {
		switch s.data[s.i] {
		case ' ', '\t', '\r', '\n':
			s.i++
		default:
			return
		}
	}
}

// object reads an object; member reads each value. Names that differ in case only
// are one name in what is read into a struct, and two names elsewhere.
func (s *policyScan) object(isStruct bool, member func(name string) bool) bool {
	if s.peek() != '{' {
		return s.failed()
	}
	s.i++
	s.space()
	if s.peek() == '}' {
		s.i++
		return true
	}
	var names [scanNames]string
	for n := 0; ; n++ {
		text, plain := s.string()
		name := string(text)
		if !plain || n == scanNames || !isASCII(name) {
			return s.failed()
		}
		for _, earlier := range names[:n] {
			if earlier == name || isStruct && strings.EqualFold(earlier, name) {
				return s.failed()
			}
		}
		names[n] = name
		s.space()
		if s.peek() != ':' {
			return s.failed()
		}
		s.i++
		s.space()
		if !member(name) || s.i < 0 {
			return s.failed()
		}
		s.space()
		switch s.peek() {
		case ',':
			s.i++
			s.space()
		case '}':
			s.i++
			return true
		default:
			return s.failed()
		}
	}
}

// array reads an array; element reads each value.
func (s *policyScan) array(element func() bool) bool {
	if s.peek() != '[' {
		return s.failed()
	}
	s.i++
	s.space()
	if s.peek() == ']' {
		s.i++
		return true
	}
	for {
		if !element() || s.i < 0 {
			return s.failed()
		}
		s.space()
		switch s.peek() {
		case ',':
			s.i++
			s.space()
		case ']':
			s.i++
			return true
		default:
			return s.failed()
		}
	}
}

// string reads a string. plain false: it has escapes, and the text is the raw
// one; or it is none, and the scan has failed.
func (s *policyScan) string() (text []byte, plain bool) {
	if s.peek() != '"' {
		return nil, s.failed()
	}
	begin := s.i + 1
	n := bytes.IndexByte(s.data[begin:], '"')
	if n < 0 {
		return nil, s.failed()
	}
	if unescaped(s.data[begin : begin+n]) {
		s.i = begin + n + 1
		return s.data[begin : begin+n : begin+n], true
	}
	for i := begin; i < len(s.data); i++ {
		switch c := s.data[i]; {
		case c == '"':
			s.i = i + 1
			return s.data[begin:i:i], false
		case c < ' ':
			return nil, s.failed()
		case c == '\\':
			if i++; i == len(s.data) {
				return nil, s.failed()
			}
			switch s.data[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				r, ok := escape(s.data[i-1:])
				if !ok || r >= 0xD800 && r <= 0xDFFF {
					return nil, s.failed()
				}
				i += 4
			default:
				return nil, s.failed()
			}
		}
	}
	return nil, s.failed()
}

// unescaped tells whether no byte is a control character or a backslash, eight
// bytes at a time (a byte below n: Hacker's Delight section 6-1).
func unescaped(b []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; len(b) >= 8; b = b[8:] {
		x := binary.LittleEndian.Uint64(b)
		slash := x ^ ones*'\\'
		if ((x-ones*' ')&^x|(slash-ones)&^slash)&highs != 0 {
			return false
		}
	}
	for _, c := range b {
		if c < ' ' || c == '\\' {
			return false
		}
	}
	return true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func (s *policyScan) literal(word string) bool {
	if s.i < 0 || !bytes.HasPrefix(s.data[s.i:], []byte(word)) {
		return s.failed()
	}
	s.i += len(word)
	return true
}

// smallNumber reads an integer from 0 to 99,999,999 without a sign, a fraction or
// an exponent; anything else stays unread.
func (s *policyScan) smallNumber() (int, bool) {
	i := s.i
	if i < 0 {
		return 0, false
	}
	for i < len(s.data) && s.data[i] >= '0' && s.data[i] <= '9' {
		i++
	}
	digits := string(s.data[s.i:min(i, s.i+9)])
	if digits == "" || len(digits) > 8 || digits[0] == '0' && len(digits) > 1 {
		return 0, false
	}
	if i < len(s.data) && (s.data[i] == '.' || s.data[i] == 'e' || s.data[i] == 'E') {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	s.i = i
	return n, err == nil
}

// skip reads any value; depth is how many values it stands in.
func (s *policyScan) skip(depth int) bool {
	if depth > scanDepth {
		return s.failed()
	}
	switch c := s.peek(); {
	case c == '{':
		return s.object(false, func(string) bool { return s.skip(depth + 1) })
	case c == '[':
		return s.array(func() bool { return s.skip(depth + 1) })
	case c == '"':
		s.string()
		return s.i > 0
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	}
	return s.number()
}

// number reads a number (RFC 8259 section 6).
func (s *policyScan) number() bool {
	if s.peek() == '-' {
		s.i++
	}
	switch c := s.peek(); {
	case c == '0':
		s.i++
	case c >= '1' && c <= '9':
		s.digits()
	default:
		return s.failed()
	}
	if s.peek() == '.' {
		s.i++
		if !s.digits() {
			return s.failed()
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.i++
		if c := s.peek(); c == '+' || c == '-' {
			s.i++
		}
		if !s.digits() {
			return s.failed()
		}
	}
	return true
}

func (s *policyScan) digits() bool {
	begin := s.i
	for s.peek() >= '0' && s.peek() <= '9' {
		s.i++
	}
	return s.i > begin
}
