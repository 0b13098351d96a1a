package cryptoki

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"slices"
	"strings"
)

// Attribute is one entry of a search template. Null (pValue was NULL_PTR) counts
// as an empty value; NULL_PTR with a length is the shim's to refuse.
type Attribute struct {
	Type  uint64
	Value []byte
	Null  bool
}

// query is a template that has been read once.
type query struct {
	attributes []Attribute
	encoding   encoding
	id, label  *[]byte
	class      *uint64
	impossible bool // no object of this module can match
	privates   bool // asks for CKA_PRIVATE true
	leftOut    int  // by find
}

// newQuery reads a template (PKCS #11 v2.40 section 5.7, C_FindObjectsInit). It
// never fails: what is unknown or malformed matches nothing.
func newQuery(template []Attribute, e encoding) *query {
	q := &query{encoding: e}
	for _, a := range template {
		a.Value = bytes.Clone(a.Value)
		if a.Null {
			a.Value = nil
		}
		q.attributes = append(q.attributes, a)
		switch a.Type {
		case CKA_ID:
			q.id = &a.Value
		case CKA_LABEL:
			q.label = &a.Value
		case CKA_PRIVATE:
			q.privates = q.privates || bytes.Equal(a.Value, boolean(true))
		case CKA_CLASS:
			if len(a.Value) != int(e) {
				q.impossible = true
				continue
			}
			class := e.parseULong(a.Value)
			q.class = &class
			q.impossible = q.impossible || class != CKO_CERTIFICATE && class != CKO_PUBLIC_KEY && class != CKO_PRIVATE_KEY
		}
	}
	return q
}

// public tells whether an object that is visible without a login could match.
func (q *query) public() bool {
	return !q.impossible && !q.privates && (q.class == nil || *q.class != CKO_PRIVATE_KEY)
}

// names tells whether the template asks for a certain key.
func (q *query) names() bool { return q.id != nil || q.label != nil }

// candidates picks the smallest index that holds every match.
func (q *query) candidates(s *objectSet) []*object {
	switch {
	case q.impossible:
		return nil
	case q.id != nil:
		return s.byID[string(*q.id)]
	case q.label != nil:
		return s.byLabel[string(*q.label)]
	case q.class != nil:
		return s.byClass[*q.class]
	}
	return s.all
}

// find gives the matches in the order of the set: all attributes of the template
// have to be there with exactly these bytes. It counts what it leaves out.
func (q *query) find(s *objectSet, loggedIn bool) []*object {
	var found []*object
	for _, o := range q.candidates(s) {
		if (loggedIn || !o.private()) && q.matches(o) {
			found = append(found, o)
		}
	}
	if q.leftOut = 0; q.enumerates() {
		others := slices.DeleteFunc(slices.Clone(found), isEd25519)
		if n := len(found) - len(others); n > 0 && len(others) > 0 {
			q.leftOut = n
			return others
		}
	}
	return found
}

// enumerates tells whether the template is that of libp11, which asks for all keys
// of a class to look for one among them. It finds none at all when there is one
// whose type it does not know, such as Ed25519 (measured with 0.4.12): beside
// others these are not shown.
func (q *query) enumerates() bool {
	return len(q.attributes) == 1 && q.class != nil && (*q.class == CKO_PRIVATE_KEY || *q.class == CKO_PUBLIC_KEY)
}

func isEd25519(o *object) bool {
	_, ok := o.public.(ed25519.PublicKey)
	return ok
}

func (q *query) matches(o *object) bool {
	for _, a := range q.attributes {
		v := o.attribute(a.Type, q.encoding)
		if v.RV != CKR_OK || !bytes.Equal(v.Value, a.Value) {
			return false
		}
	}
	return true
}

// knows tells whether the set has any object of the name that was asked for. If
// so, a search without a match is no reason to fetch the list again.
func (q *query) knows(s *objectSet) bool {
	return q.id != nil && len(s.byID[string(*q.id)]) > 0 || q.label != nil && len(s.byLabel[string(*q.label)]) > 0
}

// String is the template as the log shows it.
func (q *query) String() string {
	parts := make([]string, 0, len(q.attributes))
	for _, a := range q.attributes {
		parts = append(parts, attributeName(a.Type)+"="+printable(a.Value))
	}
	return "{" + strings.Join(parts, " ") + "}"
}

// printable shows a value in quotes when it is plain ASCII, else the first
// bytes in hexadecimal.
func printable(b []byte) string {
	const most = 48
	text := len(b) > 0
	for _, c := range b {
		text = text && c >= 0x20 && c < 0x7F
	}
	switch {
	case text && len(b) <= 256:
		return `"` + string(b) + `"`
	case len(b) > most:
		return hex.EncodeToString(b[:most]) + "…"
	}
	return hex.EncodeToString(b)
}

// attributeList is a list of attribute types as the log shows it.
type attributeList []uint64

func (l attributeList) String() string {
	names := make([]string, len(l))
	for i, t := range l {
		names[i] = attributeName(t)
	}
	return strings.Join(names, " ")
}
