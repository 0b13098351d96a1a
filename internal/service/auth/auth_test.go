package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"signpath/internal/service/authz"
	"signpath/internal/service/model"
	"signpath/internal/wire"
)

const (
	orgA = "6f1c2d3e-4b5a-4978-8c6d-0e1f2a3b4c5d"
	orgB = "7f1c2d3e-4b5a-4978-8c6d-0e1f2a3b4c5d"
)

func TestNewToken(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		token, hash := NewToken()
		text := token.Reveal()
		raw, err := base64.URLEncoding.DecodeString(text)
		if err != nil || len(text) != 44 || len(raw) != 33 || raw[0] != 1 || seen[text] || HashToken(text) != hash {
			t.Fatalf("%q: %v", text, err)
		}
		if _, err := ParseHeader("Bearer " + text); err != nil {
			t.Fatal(err)
		}
		seen[text] = true
	}
}

func TestParseHeader(t *testing.T) {
	for _, c := range []struct{ header, token, tbs, cause string }{
		{"Bearer abc", "abc", "", ""},
		{"bearer abc", "abc", "", ""},
		{"BEARER  abc  ", "abc", "", ""},
		{" Bearer abc", "abc", "", ""},
		{"Bearer AIk/65+l==:dXY_-.~", "AIk/65+l==", "dXY_-.~", ""},
		{"", "", "", "missing"},
		{"   ", "", "", "missing"},
		{"Basic dTpw", "", "", "scheme"},
		{"abc", "", "", "scheme"},
		{"Bearerabc", "", "", "scheme"},
		{"Bearer", "", "", "no API token"},
		{"Bearer ", "", "", "no API token"},
		{"Bearer :tbs", "", "", "no API token"},
		{"Bearer abc:", "", "", "after the colon"},
		{"Bearer abc def", "", "", "characters"},
		{"Bearer 'abc'", "", "", "characters"},
		{"Bearer a\x00", "", "", "characters"},
		{"Bearer a:b:c", "", "", "characters"},
		{"Bearer é", "", "", "characters"},
		{"Bearer " + strings.Repeat("a", 5000), "", "", "too long"},
	} {
		got, err := ParseHeader(c.header)
		if c.cause == "" {
			if err != nil || got.Token.Reveal() != c.token || got.TBSToken.Reveal() != c.tbs {
				t.Errorf("%q: %q %q %v", c.header, got.Token.Reveal(), got.TBSToken.Reveal(), err)
			}
			continue
		}
		var p *wire.Problem
		if !errors.As(err, &p) || p.Status != http.StatusUnauthorized || !strings.Contains(p.Detail, c.cause) {
			t.Errorf("%q: %v, want %q", c.header, err, c.cause)
		}
	}
}

func TestAuthenticate(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	const text, tbs = "AQsecretsecretsecret", "AQtbs"
	for _, c := range []struct {
		name   string
		edit   func(*model.Config)
		org    string
		header string
		status int // 0: accepted
		cause  string
	}{
		{"good", nil, orgA, "Bearer " + text, 0, ""},
		{"upper-case organization", nil, strings.ToUpper(orgA), "Bearer " + text, 0, ""},
		{"expires later", func(c *model.Config) { c.Tokens[0].Expires = now.Add(1) }, orgA, "Bearer " + text, 0, ""},
		{"expires now", func(c *model.Config) { c.Tokens[0].Expires = now }, orgA, "Bearer " + text, 401, "expired on 2026-05-01"},
		{"no header", nil, orgA, "", 401, "missing"},
		{"unknown", nil, orgA, "Bearer x" + text, 401, "unknown"},
		{"of another organization", nil, orgB, "Bearer " + text, 401, "unknown"},
		{"of an organization that is not there", nil, "8" + orgA[1:], "Bearer " + text, 401, "unknown"},
		{"revoked", func(c *model.Config) { c.Tokens[0].Active = false }, orgA, "Bearer " + text, 401, "revoked"},
		{"revoked, asked by another organization", func(c *model.Config) { c.Tokens[0].Active = false }, orgB, "Bearer " + text, 401, "unknown"},
		{"inactive user", func(c *model.Config) { c.Users[0].Active = false }, orgA, "Bearer " + text, 401, "user"},
		{"inactive organization", func(c *model.Config) { c.Organizations[0].Active = false }, orgA, "Bearer " + text, 401, "organization is not active"},
		{"user of another organization", func(c *model.Config) { c.Users[0].OrganizationID = orgB }, orgA, "Bearer " + text, 401, "unknown"},
		{"no user", func(c *model.Config) { c.Users = nil }, orgA, "Bearer " + text, 401, "unknown"},
		{"trusted build system", nil, orgA, "Bearer " + text + ":" + tbs, 401, "trusted build system token is unknown"},
		{"no UUID", nil, "acme", "Bearer " + text, 400, "not a UUID"},
		{"empty", nil, "", "Bearer " + text, 400, "not a UUID"},
		{"braces", nil, "{" + orgA + "}", "Bearer " + text, 400, "not a UUID"},
		{"without hyphens", nil, strings.ReplaceAll(orgA, "-", ""), "Bearer " + text, 400, "not a UUID"},
		{"zero", nil, "00000000-0000-0000-0000-000000000000", "Bearer " + text, 400, "empty UUID"},
	} {
		config := &model.Config{
			Version:       1,
			Organizations: []model.Organization{{ID: orgA, Active: true}, {ID: orgB, Active: true}},
			Users:         []model.User{{ID: "u", OrganizationID: orgA, Active: true}},
			Tokens:        []model.Token{{ID: "t", OrganizationID: orgA, UserID: "u", Hash: HashToken(text), Active: true}},
		}
		if c.edit != nil {
			c.edit(config)
		}
		p, err := Authenticate(authz.NewSnapshot(config), c.org, c.header, "192.0.2.1", now)
		if c.status == 0 {
			if err != nil || p.User.ID != "u" || p.Token.ID != "t" || p.Organization.ID != orgA {
				t.Errorf("%s: %+v %v", c.name, p, err)
			}
			continue
		}
		var problem *wire.Problem
		if p != nil || !errors.As(err, &problem) || problem.Status != c.status || !strings.Contains(problem.Error(), c.cause) {
			t.Errorf("%s: %v", c.name, err)
		}
		if strings.Contains(fmt.Sprint(err), text) || strings.Contains(fmt.Sprint(err), tbs) {
			t.Errorf("%s: the token is in the error", c.name)
		}
	}
}

func FuzzParseHeader(f *testing.F) {
	for _, s := range []string{"", "Bearer a", "bearer a:b", "Bearer :", "Basic x", "Bearer  a b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		c, err := ParseHeader(header)
		if err != nil {
			return
		}
		if c.Token.IsEmpty() || strings.ContainsAny(c.Token.Reveal()+c.TBSToken.Reveal(), ": \t\r\n\x00") {
			t.Errorf("%q gives %q %q", header, c.Token.Reveal(), c.TBSToken.Reveal())
		}
	})
}

func FuzzParseOrganizationID(f *testing.F) {
	f.Add(orgA)
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		id, p := ParseOrganizationID(s)
		if p == nil && (len(id) != 36 || id != strings.ToLower(s)) {
			t.Errorf("%q gives %q", s, id)
		}
	})
}
