package signing

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

func names(list []wire.SigningPolicy) []string {
	var n []string
	for i := range list {
		n = append(n, list[i].Name())
	}
	return n
}

func TestMySigningPolicies(t *testing.T) {
	w := newWorld(t, false)
	principal, err := w.service.Authenticate(w.org.ID, "Bearer "+w.token, "")
	w.must(err)
	for _, c := range []struct {
		project, policy string
		want            []string
	}{
		{"", "", []string{"demo/p256", "demo/p384", "demo/p521", "demo/rsa2048"}},
		{"demo", "", []string{"demo/p256", "demo/p384", "demo/p521", "demo/rsa2048"}},
		{"demo", "p256", []string{"demo/p256"}},
		{"Demo", "P256", []string{"demo/p256"}},
		{"", "p256", []string{"demo/p256"}},
		{"demo", "p2", nil},
		{"other", "", nil},
	} {
		got := w.service.MySigningPolicies(principal, c.project, c.policy)
		if got == nil || !slices.Equal(names(got), c.want) {
			t.Errorf("%q %q: %v", c.project, c.policy, names(got))
		}
	}
	for _, p := range w.service.MySigningPolicies(principal, "", "") {
		public, err := x509.ParsePKIXPublicKey(w.keys[p.SigningPolicySlug].Public)
		w.must(err)
		switch pub := public.(type) {
		case *rsa.PublicKey:
			back, err := x509.ParsePKCS1PublicKey(p.PublicKeyBytes)
			if err != nil || !back.Equal(pub) || p.KeyType != wire.KeyRSA || p.KeySizeInBits != 2048 || len(p.RSAParameters.Modulus) != 256 || string(p.RSAParameters.PublicExponent) != "\x01\x00\x01" || p.ECParameters != nil {
				t.Errorf("%+v %v", p, err)
			}
		case *ecdsa.PublicKey:
			size := (pub.Curve.Params().BitSize + 7) / 8
			if p.KeyType != wire.KeyECDSA || p.KeySizeInBits != pub.Curve.Params().BitSize || len(p.PublicKeyBytes) != 1+2*size || p.PublicKeyBytes[0] != 4 || p.RSAParameters != nil || p.ECParameters.CurveOID == "" {
				t.Errorf("%+v", p)
			}
		}
		if p.CertificateType != wire.CertificateX509 || !slices.Equal(p.CertificateBytes, w.certs[p.SigningPolicySlug].Leaf) || p.SigningPolicyID != w.policies[p.SigningPolicySlug].ID {
			t.Errorf("%+v", p)
		}
	}
	// What cannot sign is left out.
	w.editPolicy("p256", func(p *model.SigningPolicy) { p.Active = false })
	w.editCertificate("p384", func(c *model.Certificate) { c.Active = false })
	k := w.keys["p521"]
	k.Deleted = true
	w.change(func(tx store.Tx) { w.must(tx.PutKey(k, nil)) })
	w.must(w.service.Refresh(t.Context()))
	if got := names(w.service.MySigningPolicies(principal, "", "")); !slices.Equal(got, []string{"demo/rsa2048"}) {
		t.Error(got)
	}
	w.project.Active = false
	w.change(func(tx store.Tx) { w.must(tx.PutProject(w.project)) })
	w.must(w.service.Refresh(t.Context()))
	if got := w.service.MySigningPolicies(principal, "", ""); got == nil || len(got) != 0 {
		t.Error(got)
	}
	if got := w.service.MySigningPolicies(nil, "", ""); len(got) != 0 {
		t.Error("a list for nobody")
	}
}

func TestPolicy(t *testing.T) {
	w := newWorld(t, false)
	principal, err := w.service.Authenticate(w.org.ID, "Bearer "+w.token, "")
	w.must(err)
	v, err := w.service.Policy(principal, "DEMO", "p256")
	if err != nil || v.Policy.ID != w.policies["p256"].ID || v.Certificate.ID != w.certs["p256"].ID || v.Key.ID != w.keys["p256"].ID || v.Project.Slug != "demo" {
		t.Errorf("%+v %v", v, err)
	}
	for _, c := range [][2]string{{"x", "p256"}, {"demo", "x"}, {"", ""}} {
		var p *wire.Problem
		if _, err := w.service.Policy(principal, c[0], c[1]); !errors.As(err, &p) || p.Status != 403 {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// Ten thousand policies: a list takes milliseconds, a reload parses nothing
// that it has parsed before.
func TestManyPolicies(t *testing.T) {
	const n = 10_000
	w := newWorld(t, false)
	config, err := w.store.Config(t.Context())
	w.must(err)
	for i := range n {
		p := w.policies["rsa2048"]
		p.ID, p.Slug = uuid.NewString(), fmt.Sprintf("policy-%d", i)
		config.SigningPolicies = append(config.SigningPolicies, p)
	}
	old := w.service.view.Load()
	v := newView(config, old)
	if v.materials[w.certs["p256"].ID] != old.materials[w.certs["p256"].ID] {
		t.Error("an unchanged certificate was parsed again")
	}
	w.service.view.Store(v)
	principal, err := w.service.Authenticate(w.org.ID, "Bearer "+w.token, "")
	w.must(err)
	start := time.Now()
	list := w.service.MySigningPolicies(principal, "", "")
	t.Logf("%d policies in %v", len(list), time.Since(start))
	if len(list) != n+4 || !slices.IsSortedFunc(list, func(a, b wire.SigningPolicy) int {
		if a.Name() < b.Name() {
			return -1
		}
		return 1
	}) {
		t.Errorf("%d policies, or not sorted", len(list))
	}
}
