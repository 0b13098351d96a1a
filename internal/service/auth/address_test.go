package auth

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"signpath/internal/service/authz"
	"signpath/internal/service/model"
	"signpath/internal/wire"
)

func TestParseAddresses(t *testing.T) {
	for _, c := range []struct {
		in, want string // separated by spaces
		cause    string
	}{
		{"", "", ""},
		{"192.0.2.1", "192.0.2.1/32", ""},
		{"192.0.2.0/24 192.0.2.0/24 10.0.0.0/8", "192.0.2.0/24 10.0.0.0/8", ""},
		{"2001:DB8::/32 ::1", "2001:db8::/32 ::1/128", ""},
		{"::ffff:192.0.2.1", "192.0.2.1/32", ""},
		{"0.0.0.0/0", "0.0.0.0/0", ""},
		{"::ffff:192.0.2.0/120", "", "write it as IPv4"},
		{"192.0.2.1/24", "", "the network is 192.0.2.0/24"},
		{"192.0.2.0/33", "", "neither"},
		{"fe80::1%eth0", "", "neither"},
		{"example.com", "", "neither"},
		{"192.0.2.1 x", "", "neither"},
		{strings.Repeat("9", 5000), "", "…"},
	} {
		got, err := ParseAddresses(strings.Fields(c.in))
		if c.cause != "" {
			if err == nil || !strings.Contains(err.Error(), c.cause) || len(err.Error()) > 300 {
				t.Errorf("%q: %v, want %q", c.in, err, c.cause)
			}
			continue
		}
		if err != nil || !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%q: %q %v", c.in, got, err)
		}
	}
}

func TestAllowedFrom(t *testing.T) {
	for _, c := range []struct {
		limits, address string
		want            bool
	}{
		{"", "", true},
		{"", "nonsense", true},
		{"192.0.2.0/24", "192.0.2.255", true},
		{"192.0.2.0/24", "192.0.3.0", false},
		{"192.0.2.0/24", "::ffff:192.0.2.7", true},
		{"10.0.0.0/8 2001:db8::/32", "2001:db8:1::1", true},
		{"2001:db8::/32", "2001:db9::1", false},
		{"fe80::/10", "fe80::1%eth0", true},
		{"0.0.0.0/0", "2001:db8::1", false},
		{"192.0.2.0/24", "", false},
		{"192.0.2.0/24", "192.0.2.1:443", false},
		{"nonsense", "192.0.2.1", false},
	} {
		if got := allowedFrom(strings.Fields(c.limits), c.address); got != c.want {
			t.Errorf("%q from %q: %v", c.limits, c.address, got)
		}
	}
}

// A limit is told to whoever holds the token, and to nobody else.
func TestAuthenticateFrom(t *testing.T) {
	const text = "AQsecretsecretsecret"
	now := time.Now()
	token := model.Token{ID: "t", OrganizationID: orgA, UserID: "u", Hash: HashToken(text), Active: true, Addresses: []string{"192.0.2.0/24"}}
	config := &model.Config{
		Organizations: []model.Organization{{ID: orgA, Active: true}},
		Users:         []model.User{{ID: "u", OrganizationID: orgA, Active: true}}, Tokens: []model.Token{token},
	}
	for _, c := range []struct {
		header, address string
		status          int
	}{
		{text, "192.0.2.1", 0},
		{text, "198.51.100.1", 403},
		{text, "", 403},
		{text + "x", "198.51.100.1", 401},
	} {
		_, err := Authenticate(authz.NewSnapshot(config), orgA, "Bearer "+c.header, c.address, now)
		var p *wire.Problem
		switch {
		case c.status == 0:
			if err != nil {
				t.Error(err)
			}
		case !errors.As(err, &p) || p.Status != c.status || (c.status == 403 && !strings.Contains(p.Detail, c.address)) || (c.status == 401 && strings.Contains(p.Detail, "address ")):
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func FuzzParseAddresses(f *testing.F) {
	for _, s := range []string{"192.0.2.1", "::1/128", "10.0.0.0/8", "::ffff:1.2.3.4/96", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseAddresses([]string{s})
		if err != nil {
			return
		}
		again, err := ParseAddresses(got)
		if err != nil || !slices.Equal(got, again) || !allowedFrom(got, strings.Split(got[0], "/")[0]) {
			t.Errorf("%q gives %q, then %q, %v", s, got, again, err)
		}
	})
}
