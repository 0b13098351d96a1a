// Package syslog sends the audit log to a syslog receiver while it grows.
//
// What enters are the entries in the store, what leaves are messages (RFC 5424)
// over UDP (RFC 5426), TLS (RFC 5425) or TCP, both with octet counting (RFC 6587
// section 3.4.1), or a socket of this machine. The message is the entry itself, byte for byte: what
// the receiver keeps can be verified as an export of the log.
//
// The package only reads the log and never delays it: a receiver that is slow,
// hangs or is away is waited for by nobody but this package. How far it came is
// kept in the store. Over TCP and TLS that mark moves when the receiver's machine
// has acknowledged the bytes (Linux) or when they were written (elsewhere); when
// the receiver ends the connection, what was sent in the two seconds before is
// sent again, because its machine may have taken what it never read. So nothing
// is left out by a restart, a lost connection or an absent receiver; what was
// under way then may come twice, and the entry's number tells. Of
// several replicas with the same target one sends, and another takes over when
// it ends.
package syslog

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Target is where messages go.
type Target struct {
	network string // udp, tcp, tls, unix
	address string // HOST:PORT, or a path
	files   TLS
}

// The ports of RFC 5426, RFC 6587 and RFC 5425.
var ports = map[string]string{"udp": "514", "tcp": "601", "tls": "6514"}

const forms = "write tls://HOST:6514, tcp://HOST:601, udp://HOST:514 or unix:///dev/log"

// ParseTarget reads tls://HOST[:6514], tcp://HOST[:601], udp://HOST[:514] or unix:///PATH.
func ParseTarget(text string) (Target, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Target{}, fmt.Errorf("%q is not a syslog target; %s", text, forms)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return Target{}, fmt.Errorf("the syslog target %q has more than host and port", u.Redacted())
	}
	switch u.Scheme {
	case "udp", "tcp", "tls":
		if u.Hostname() == "" || strings.Trim(u.Path, "/") != "" {
			break
		}
		port := u.Port()
		if port == "" {
			port = ports[u.Scheme]
		}
		return Target{network: u.Scheme, address: net.JoinHostPort(u.Hostname(), port)}, nil
	case "unix":
		if u.Host == "" && len(u.Path) > 1 {
			return Target{network: "unix", address: u.Path}, nil
		}
	}
	return Target{}, fmt.Errorf("%q is not a syslog target; %s", text, forms)
}

// String is the target as it is written.
func (t Target) String() string { return t.network + "://" + t.address }
