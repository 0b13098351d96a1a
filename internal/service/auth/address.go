package auth

import (
	"fmt"
	"net/netip"
	"strings"
)

// ParseAddresses reads the addresses that a token is limited to: IP addresses
// and prefixes in CIDR form (RFC 4632, RFC 4291), IPv4 or IPv6. The result is
// canonical: prefixes without host bits, an address as a prefix of full length,
// none twice.
func ParseAddresses(texts []string) ([]string, error) {
	var out []string
	seen := map[netip.Prefix]bool{}
	for _, text := range texts {
		p, err := parseAddress(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		if !seen[p] {
			seen[p] = true
			out = append(out, p.String())
		}
	}
	return out, nil
}

func parseAddress(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("%q is neither an IP address nor a network such as 192.0.2.0/24 or 2001:db8::/32", clip(text))
	case p.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%q is an IPv4 network written as IPv6; write it as IPv4", clip(text))
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("%q names one address and a network at once; the network is %s", clip(text), p.Masked())
	}
	return p, nil
}

// allowedFrom tells whether a token with these limits may be used from an
// address. A limit that cannot be read allows nothing, and neither does an
// address that is not known: what limits must never widen by accident.
func allowedFrom(limits []string, address string) bool {
	if len(limits) == 0 {
		return true
	}
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	for _, limit := range limits {
		if p, err := netip.ParsePrefix(limit); err == nil && p.Contains(a) {
			return true
		}
	}
	return false
}

// named is an address in a sentence.
func named(address string) string {
	if a, err := netip.ParseAddr(address); err == nil {
		return a.String()
	}
	return "that this request came from"
}

// clip keeps foreign text in error sentences short.
func clip(s string) string {
	const limit = 60
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return s
}
