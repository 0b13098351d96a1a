package signing

import (
	"errors"
	"strings"
	"testing"
	"time"

	"signpath/internal/service/keys"
	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

// The validity counts to the very instant. A certificate of X.509 is valid at
// its last second, an OpenPGP key is not: gpg calls it expired then.
func TestValidityAtTheSecond(t *testing.T) {
	from, to := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC)
	w := newWorld(t, false)
	for _, name := range []string{"p256", "rsa2048"} {
		w.editCertificate(name, func(c *model.Certificate) {
			c.NotBefore, c.NotAfter = from, to
			if name == "rsa2048" {
				c.Type, c.Leaf, c.OpenPGP = wire.CertificateGPG, nil, []byte{0x99}
			}
		})
	}
	for _, c := range []struct {
		name string
		now  time.Time
		want string // in the refusal; "": signed
	}{
		{"p256", from.Add(-time.Millisecond), "is not valid before 2026-01-01T00:00:00Z"},
		{"p256", from, ""},
		{"p256", to, ""},
		{"p256", to.Add(time.Millisecond), "expired on 2026-12-31T23:59:59Z"},
		{"p256", to.Add(time.Second), "expired on 2026-12-31T23:59:59Z"},
		{"rsa2048", from.Add(-time.Second), "is not valid before"},
		{"rsa2048", to.Add(-time.Second), ""},
		{"rsa2048", to.Add(-time.Millisecond), ""},
		{"rsa2048", to, "expired on 2026-12-31T23:59:59Z"},
	} {
		w.now = c.now
		_, err := w.service.Sign(t.Context(), w.request(c.name))
		var p *wire.Problem
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s at %v: %v", c.name, c.now, err)
		case c.want != "" && (!errors.As(err, &p) || p.Status != 400 || !strings.Contains(strings.Join(p.Errors["SigningPolicySlug"], ""), c.want)):
			t.Errorf("%s at %v: got %v, want %q", c.name, c.now, err, c.want)
		}
	}
}

// A certificate that is not issued yet is listed without its bytes and cannot
// sign; the refusal names it.
func TestNotIssued(t *testing.T) {
	w := newWorld(t, false)
	w.editCertificate("p256", func(c *model.Certificate) {
		c.Leaf, c.NotBefore, c.NotAfter, c.CSR = nil, time.Time{}, time.Time{}, []byte{0x30}
	})
	if err := w.service.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := w.service.Authenticate(w.org.ID, "Bearer "+w.token, "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	list := w.service.MySigningPolicies(p, "", "p256")
	if len(list) != 1 || list[0].CertificateBytes != nil || list[0].CertificateType != wire.CertificateX509 || list[0].PublicKeyBytes == nil {
		t.Errorf("%+v", list)
	}
	_, err = w.service.Sign(t.Context(), w.request("p256"))
	var problem *wire.Problem
	if !errors.As(err, &problem) || problem.Status != 400 || !strings.Contains(problem.Error(), "The certificate 'p256' is not issued yet.") {
		t.Errorf("got %v", err)
	}
}

// A key that was deleted is dropped from memory with the next look at the
// configuration, not when somebody asks for it.
func TestDeletedKeyIsForgotten(t *testing.T) {
	w := newWorld(t, false)
	if _, err := w.service.Sign(t.Context(), w.request("p256")); err != nil {
		t.Fatal(err)
	}
	open := w.keys["p256"]
	k := open
	k.Deleted = true
	w.change(func(tx store.Tx) { w.must(tx.PutKey(k, nil)) })
	// Until then it is in memory: the old record still opens it.
	if _, err := w.ring.Signer(t.Context(), open); err != nil {
		t.Fatal(err)
	}
	if err := w.service.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ring.Signer(t.Context(), open); !errors.Is(err, store.ErrNotFound) && !errors.Is(err, keys.ErrKeyDeleted) {
		t.Errorf("the key is still open: %v", err)
	}
	_, err := w.service.Sign(t.Context(), w.request("p256"))
	var problem *wire.Problem
	if !errors.As(err, &problem) || problem.Status != 400 || !strings.Contains(problem.Error(), "The key of the certificate 'p256' was deleted.") {
		t.Errorf("got %v", err)
	}
}
