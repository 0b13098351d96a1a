package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"signpath/internal/service/store"
	"signpath/internal/wire"
)

// MaxLeaf is the most bytes that an entry can have.
const MaxLeaf = 1 << 20

const (
	leafVersion  = 1
	maxUserAgent = 512     // bytes; longer ones are cut
	headReserve  = 1 << 10 // more than v, seq, time and prev ever take
	timeLayout   = "2006-01-02T15:04:05.000Z"

	intentSuffix    = ".Intent"
	unknownSuffix   = ".OutcomeUnknown"
	abandonedSuffix = ".Abandoned"
)

// LeafHash is the hash of an entry: link of the chain and leaf hash of the tree.
func LeafHash(leaf []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(leaf)
	return [32]byte(h.Sum(nil))
}

// encoded is an event whose leaf lacks only what its place in the log decides.
type encoded struct {
	tail    []byte // the leaf after the value of prev
	time    time.Time
	org     string
	typ     string
	opens   bool
	outcome uint64
	subject store.AuditSubject
}

// encode checks an event and prepares its leaf.
func encode(ev Event, now time.Time) (encoded, error) {
	if ev.Type == "" {
		return encoded{}, errors.New("an audit event needs a type")
	}
	if ev.Intent != strings.HasSuffix(ev.Type, intentSuffix) {
		return encoded{}, fmt.Errorf("the type of an audit event ends in %q exactly when it is an intent, unlike %q", intentSuffix, ev.Type)
	}
	data, err := compact(ev.Data)
	if err != nil {
		return encoded{}, fmt.Errorf("the data of the audit event %s: %w", ev.Type, err)
	}
	ev.UserAgent = cut(ev.UserAgent, maxUserAgent)
	tail := appendTail(make([]byte, 0, 256+len(data)), ev, data)
	if len(tail)+headReserve > MaxLeaf {
		return encoded{}, fmt.Errorf("the audit event %s takes %d bytes; an entry has room for %d", ev.Type, len(tail)+headReserve, MaxLeaf)
	}
	return encoded{tail: tail, time: now.UTC().Truncate(time.Millisecond), org: ev.OrganizationID, typ: ev.Type, opens: ev.Intent, outcome: ev.Outcome, subject: subjectOf(ev)}, nil
}

// subjectOf is what the event's entry is searched by.
func subjectOf(ev Event) store.AuditSubject {
	return store.AuditSubject{ActorID: ev.Actor.ID, PolicyID: ev.Subject.PolicyID, KeyID: ev.Subject.KeyID, Digest: ev.Subject.Digest}
}

// inherit makes an outcome be about what its intent was about.
func (e *encoded) inherit(intent store.AuditSubject) {
	actor := e.subject.ActorID
	e.subject = intent
	e.subject.ActorID = actor
}

// compact brings data into one line and makes sure that it is one object that
// no reader can understand in two ways.
func compact(data json.RawMessage) ([]byte, error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || string(data) == "null" {
		return nil, nil
	}
	if data[0] != '{' {
		return nil, errors.New("is not a JSON object")
	}
	if err := wire.CheckJSON(data); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// appendHead writes the members v to prev.
func appendHead(b []byte, seq uint64, at time.Time, prev [32]byte) []byte {
	b = append(b, `{"v":`...)
	b = strconv.AppendInt(b, leafVersion, 10)
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, seq, 10)
	b = append(b, `,"time":"`...)
	b = at.UTC().AppendFormat(b, timeLayout)
	b = append(b, `","prev":"`...)
	b = hex.AppendEncode(b, prev[:])
	return append(b, '"')
}

// appendTail writes the members org to data and the closing brace.
func appendTail(b []byte, ev Event, data []byte) []byte {
	if ev.OrganizationID != "" {
		b = appendString(append(b, `,"org":`...), ev.OrganizationID)
	}
	b = appendString(append(b, `,"type":`...), ev.Type)
	if ev.Actor != (Actor{}) {
		b = append(b, `,"actor":{`...)
		sep := ""
		for _, m := range []struct{ name, value string }{{`"type":`, ev.Actor.Type}, {`"id":`, ev.Actor.ID}, {`"name":`, ev.Actor.Name}} {
			if m.value != "" {
				b = appendString(append(append(b, sep...), m.name...), m.value)
				sep = ","
			}
		}
		b = append(b, '}')
	}
	if ev.IP != "" {
		b = appendString(append(b, `,"ip":`...), ev.IP)
	}
	if ev.UserAgent != "" {
		b = appendString(append(b, `,"userAgent":`...), ev.UserAgent)
	}
	if ev.TraceID != "" {
		b = appendString(append(b, `,"traceId":`...), ev.TraceID)
	}
	if ev.Outcome != 0 {
		b = strconv.AppendUint(append(b, `,"intent":`...), ev.Outcome, 10)
	}
	if len(data) > 0 {
		b = append(append(b, `,"data":`...), data...)
	}
	return append(b, '}')
}

// appendString writes a JSON string by the rules of RFC 8785 section 3.2.2.2.
// encoding/json is not used because its choice of escapes may change with the
// version of Go. Bytes that are not UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch r {
		case '"', '\\':
			b = append(b, '\\', byte(r))
		case '\b':
			b = append(b, '\\', 'b')
		case '\t':
			b = append(b, '\\', 't')
		case '\n':
			b = append(b, '\\', 'n')
		case '\f':
			b = append(b, '\\', 'f')
		case '\r':
			b = append(b, '\\', 'r')
		default:
			if r < 0x20 {
				b = append(b, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
			} else {
				b = utf8.AppendRune(b, r)
			}
		}
	}
	return append(b, '"')
}

// cut shortens s to at most limit bytes and "…", between two characters.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}

// seal gives an event its place at the end of the log and moves head behind it.
func seal(head *store.AuditHead, e encoded) (store.AuditRow, error) {
	seq := head.Size + 1
	leaf := make([]byte, 0, len(e.tail)+192)
	leaf = append(appendHead(leaf, seq, e.time, head.LastHash), e.tail...)
	if err := extend(head, LeafHash(leaf)); err != nil {
		return store.AuditRow{}, err
	}
	return store.AuditRow{Seq: seq, Leaf: leaf, OrganizationID: e.org, Type: e.typ, TimeMillis: e.time.UnixMilli(), Opens: e.opens, Closes: e.outcome, Subject: e.subject}, nil
}

// Entry is a leaf, read.
type Entry struct {
	Seq   uint64
	Time  time.Time
	Prev  [32]byte // leaf hash of the entry before
	Event Event
}

// jsonLeaf mirrors the encoding for reading.
type jsonLeaf struct {
	V         int             `json:"v"`
	Seq       uint64          `json:"seq"`
	Time      string          `json:"time"`
	Prev      string          `json:"prev"`
	Org       string          `json:"org"`
	Type      string          `json:"type"`
	Actor     Actor           `json:"actor"`
	IP        string          `json:"ip"`
	UserAgent string          `json:"userAgent"`
	TraceID   string          `json:"traceId"`
	Intent    uint64          `json:"intent"`
	Data      json.RawMessage `json:"data"`
}

// ParseLeaf reads an entry. It accepts only what this package writes, byte for
// byte: every other spelling of the same JSON is an error.
func ParseLeaf(leaf []byte) (*Entry, error) {
	if len(leaf) > MaxLeaf {
		return nil, fmt.Errorf("the entry is longer than %d bytes", MaxLeaf)
	}
	var j jsonLeaf
	if err := json.Unmarshal(leaf, &j); err != nil {
		return nil, fmt.Errorf("the entry is not JSON as this log writes it: %w", err)
	}
	if j.V != leafVersion {
		return nil, fmt.Errorf("the entry has format version %d; this program knows %d", j.V, leafVersion)
	}
	e := &Entry{Seq: j.Seq, Event: Event{Type: j.Type, OrganizationID: j.Org, Actor: j.Actor, IP: j.IP, UserAgent: j.UserAgent,
		TraceID: j.TraceID, Data: j.Data, Intent: strings.HasSuffix(j.Type, intentSuffix), Outcome: j.Intent}}
	var err error
	if e.Time, err = time.Parse(timeLayout, j.Time); err != nil {
		return nil, errors.New("the time of the entry is not RFC 3339 in UTC with milliseconds")
	}
	if n, err := hex.Decode(e.Prev[:], []byte(limit(j.Prev, 64))); err != nil || n != 32 || len(j.Prev) != 64 {
		return nil, errors.New("the prev member of the entry is not a SHA-256 hash in hex")
	}
	if j.Type == "" {
		return nil, errors.New("the entry has no type")
	}
	if len(j.Data) > 0 && j.Data[0] != '{' {
		return nil, errors.New("the data of the entry is not an object")
	}
	same := appendTail(appendHead(make([]byte, 0, len(leaf)), e.Seq, e.Time, e.Prev), e.Event, j.Data)
	if !bytes.Equal(same, leaf) {
		return nil, errors.New("the entry is not spelled as this log writes it")
	}
	return e, nil
}

func limit(s string, n int) string { return s[:min(len(s), n)] }
