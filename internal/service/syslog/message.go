package syslog

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"signpath/internal/service/audit"
	"signpath/internal/service/store"
)

// Priority values (RFC 5424 section 6.2.1).
const (
	facility        = 13 // log audit
	severityWarning = 4
	severityNotice  = 5
	severityInfo    = 6
)

// warnings are the ends of types that somebody should look at.
var warnings = []string{".Refused", ".Failed", ".OutcomeUnknown", ".Stopped", ".Expiring", ".Expired"}

// maxDatagram is the most bytes of a message in one datagram (the limit of UDP
// over IPv4 less some room).
const maxDatagram = 65_000

// Lengths of header fields (RFC 5424 section 6).
const (
	maxHostname  = 255
	maxMessageID = 32
)

// sender is what the headers say of this process.
type sender struct {
	host string
	pid  int
}

// message makes the RFC 5424 message of an entry. With a limit, a message that
// would be longer tells the entry's number, type and hash in its place.
func (s sender) message(r store.AuditRow, limit int) []byte {
	severity := severityNotice
	if strings.HasPrefix(r.Type, "HashSigning.") || strings.HasPrefix(r.Type, "SigningRequest.") {
		severity = severityInfo
	}
	for _, end := range warnings {
		if strings.HasSuffix(r.Type, end) {
			severity = severityWarning
		}
	}
	b := fmt.Appendf(make([]byte, 0, len(r.Leaf)+256), "<%d>1 %s %s signpath %d %s ", facility*8+severity,
		time.UnixMilli(r.TimeMillis).UTC().Format("2006-01-02T15:04:05.000Z"), header(s.host, maxHostname), s.pid, header(r.Type, maxMessageID))
	// sequenceId goes from 1 to 2147483647 and begins again (section 7.3.1). The
	// BOM says that the message is UTF-8 (section 6.4).
	b = fmt.Appendf(b, "[meta sequenceId=\"%d\"] \ufeff", (r.Seq-1)%2147483647+1)
	if limit == 0 || len(b)+len(r.Leaf) <= limit {
		return append(b, r.Leaf...)
	}
	hash := audit.LeafHash(r.Leaf)
	return append(b, `{"seq":`+strconv.FormatUint(r.Seq, 10)+`,"type":"`+header(r.Type, 100)+`","tooLong":`+strconv.Itoa(len(r.Leaf))+`,"leafHash":"`+hex.EncodeToString(hash[:])+`"}`...)
}

// header keeps what a header field may hold: printable ASCII without spaces.
func header(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == '"' || r == '\\' {
			return '_'
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), limit)]
}
