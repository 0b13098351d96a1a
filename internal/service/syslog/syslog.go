// Package syslog sends the audit log to a syslog receiver while it grows.
//
// What enters are the entries in the store, what leaves are messages (RFC 5424)
// over UDP (RFC 5426), TCP with octet counting (RFC 6587 section 3.4.1) or a
// socket of this machine. The message is the entry itself, byte for byte: what
// the receiver keeps can be verified as an export of the log.
//
// The package only reads the log and never delays it: a receiver that is slow,
// hangs or is away is waited for by nobody but this package. How far it came is
// kept in the store. Over TCP that mark moves when the receiver's machine has
// acknowledged the bytes (Linux) or when they were written (elsewhere). So
// nothing is left out by a restart, a lost connection or an absent receiver;
// what was under way then may come twice, and the entry's number tells. Of
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
	network string // udp, tcp, unix
	address string // HOST:PORT, or a path
}

// The ports of RFC 5426 and RFC 6587.
var ports = map[string]string{"udp": "514", "tcp": "601"}

// ParseTarget reads udp://HOST[:514], tcp://HOST[:601] or unix:///PATH.
func ParseTarget(text string) (Target, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Target{}, fmt.Errorf("%q is not a syslog target; write udp://HOST:514, tcp://HOST:601 or unix:///dev/log", text)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return Target{}, fmt.Errorf("the syslog target %q has more than host and port", u.Redacted())
	}
	switch u.Scheme {
	case "udp", "tcp":
		if u.Hostname() == "" || strings.Trim(u.Path, "/") != "" {
			break
		}
		port := u.Port()
		if port == "" {
			port = ports[u.Scheme]
		}
		return Target{u.Scheme, net.JoinHostPort(u.Hostname(), port)}, nil
	case "unix":
		if u.Host == "" && len(u.Path) > 1 {
			return Target{"unix", u.Path}, nil
		}
	}
	return Target{}, fmt.Errorf("%q is not a syslog target; write udp://HOST:514, tcp://HOST:601 or unix:///dev/log", text)
}

// String is the target as it is written.
func (t Target) String() string { return t.network + "://" + t.address }
