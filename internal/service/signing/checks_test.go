package signing

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"signpath/internal/service/auth"
	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

// Every line of the table refuses what it is for, with its status, its field
// and its text, and the refusal is on record with the number of the check.
func TestChecksRefuse(t *testing.T) {
	for _, c := range []struct {
		name    string
		check   int
		status  int
		field   string // of a validation problem; "-": none
		text    string
		policy  string
		prepare func(*world)
		edit    func(*Request)
	}{
		{"no organization", 1, 400, "OrganizationId", "not a UUID", "p256", nil, func(r *Request) { r.OrganizationID = "" }},
		{"zero organization", 1, 400, "OrganizationId", "empty UUID", "p256", nil, func(r *Request) { r.OrganizationID = uuid.Nil.String() }},
		{"no token", 1, 401, "-", "missing", "p256", nil, func(r *Request) { r.Authorization = "" }},
		{"unknown token", 1, 401, "-", "unknown", "p256", nil, func(r *Request) { r.Authorization += "x" }},
		{"token limited to other addresses", 1, 403, "-", "192.0.2.77", "p256", func(w *world) {
			w.tokenRow.Addresses = []string{"198.51.100.0/24"}
			w.change(func(tx store.Tx) { w.must(tx.PutToken(w.tokenRow)) })
		}, func(r *Request) { r.Caller.IP = "192.0.2.77" }},
		{"no project slug", 2, 400, "ProjectSlug", "missing", "p256", nil, func(r *Request) { r.ProjectSlug = "" }},
		{"unknown project", 2, 400, "ProjectSlug", "no project 'other'", "p256", nil, func(r *Request) { r.ProjectSlug = "other" }},
		{"no policy slug", 2, 400, "SigningPolicySlug", "missing", "", nil, nil},
		{"unknown policy", 2, 400, "SigningPolicySlug", "Project 'demo' has no signing policy 'release'.", "release", nil, nil},
		{"not submitter", 2, 403, "-", "not a submitter", "p256", func(w *world) { w.editPolicy("p256", func(p *model.SigningPolicy) { p.Submitters = nil }) }, nil},
		{"inactive project", 2, 400, "ProjectSlug", "not active", "p256", func(w *world) {
			w.project.Active = false
			w.change(func(tx store.Tx) { w.must(tx.PutProject(w.project)) })
		}, nil},
		{"inactive policy", 2, 400, "SigningPolicySlug", "not active", "p256", func(w *world) { w.editPolicy("p256", func(p *model.SigningPolicy) { p.Active = false }) }, nil},
		{"unknown artifact configuration", 3, 400, "ArtifactConfigurationSlug", "no artifact configuration 'x'", "p256", nil, func(r *Request) { r.ArtifactConfigurationSlug = "x" }},
		{"wrong artifact configuration", 3, 400, "ArtifactConfigurationSlug", "not of the type", "p256", func(w *world) { w.addArtifact("zip", "Zip", true) }, func(r *Request) { r.ArtifactConfigurationSlug = "zip" }},
		{"inactive artifact configuration", 3, 400, "ArtifactConfigurationSlug", "not active", "p256", func(w *world) { w.addArtifact("old", model.HashSigningData, false) }, func(r *Request) { r.ArtifactConfigurationSlug = "old" }},
		{"approval", 4, 400, "SigningPolicyId", "requires approval", "p256", func(w *world) { w.editPolicy("p256", func(p *model.SigningPolicy) { p.RequiredApprovals = 1 }) }, nil},
		{"trusted build system", 4, 403, "-", "trusted build system", "p256", func(w *world) {
			w.editPolicy("p256", func(p *model.SigningPolicy) { p.RequiresTrustedBuildSystem = true })
		}, nil},
		{"deleted key", 5, 400, "SigningPolicySlug", "deleted", "p256", func(w *world) {
			k := w.keys["p256"]
			k.Deleted = true
			w.change(func(tx store.Tx) { w.must(tx.PutKey(k, nil)) })
		}, nil},
		{"inactive certificate", 5, 400, "SigningPolicySlug", "not active", "p256", func(w *world) { w.editCertificate("p256", func(c *model.Certificate) { c.Active = false }) }, nil},
		{"certificate not issued", 5, 400, "SigningPolicySlug", "not issued", "p256", func(w *world) { w.editCertificate("p256", func(c *model.Certificate) { c.Leaf = nil }) }, nil},
		{"expired", 5, 400, "SigningPolicySlug", "expired on 2027", "p256", func(w *world) { w.now = w.now.AddDate(1, 0, 1) }, nil},
		{"not yet valid", 5, 400, "SigningPolicySlug", "not valid before 2025", "p256", func(w *world) { w.now = w.now.AddDate(-1, 0, -1) }, nil},
		{"foreign certificate", 5, 400, "SigningPolicySlug", "does not belong to its key", "p256", func(w *world) {
			w.editCertificate("p256", func(c *model.Certificate) { c.Leaf = w.certs["p384"].Leaf })
		}, nil},
		{"ECDSA with an RSA key", 6, 400, "", "does not fit", "rsa2048", nil, func(r *Request) { r.Hash.Scheme = wire.Scheme{Algorithm: wire.ECDSA} }},
		{"RSA with an EC key", 6, 400, "", "does not fit", "p256", nil, func(r *Request) { r.Hash.Scheme = wire.Scheme{Algorithm: wire.RSAPSS, Hash: wire.SHA256} }},
		{"unknown algorithm", 6, 400, "", "unknown", "p256", nil, func(r *Request) { r.Hash.Scheme.Algorithm = "X" }},
		{"no hash", 6, 400, "", "no hash", "p256", nil, func(r *Request) { r.Hash = nil }},
		{"RSA without hash algorithm", 7, 400, "", "missing", "rsa2048", nil, func(r *Request) { r.Hash.Scheme.Hash = 0 }},
		{"RSA digest length", 7, 400, "", "has 31 bytes", "rsa2048", nil, func(r *Request) { r.Hash.Digest = r.Hash.Digest[:31] }},
		{"EC digest length", 8, 400, "", "has 16 bytes", "p256", nil, func(r *Request) { r.Hash.Digest = r.Hash.Digest[:16] }},
		{"short key for PSS", 9, 400, "", "1024 bits, too few", "short", (*world).addShortKey, func(r *Request) {
			r.Hash.Scheme, r.Hash.Digest = wire.Scheme{Algorithm: wire.RSAPSS, Hash: wire.SHA512}, make([]byte, 64)
		}},
		{"PSS with MD5 on a token", 9, 400, "", "PKCS #11 token", "rsa2048", func(w *world) {
			k := w.keys["rsa2048"]
			k.Backend = "hsm:main"
			w.change(func(tx store.Tx) { w.must(tx.PutKey(k, []byte("sealed"))) })
			w.editPolicy("rsa2048", func(p *model.SigningPolicy) { p.Hashes = []wire.Hash{wire.MD5} })
		}, func(r *Request) {
			r.Hash.Scheme, r.Hash.Digest = wire.Scheme{Algorithm: wire.RSAPSS, Hash: wire.MD5}, make([]byte, 16)
		}},
		{"certificate that demands approval", 5, 400, "SigningPolicySlug", "with approval only", "p256", func(w *world) {
			w.editCertificate("p256", func(c *model.Certificate) { c.RequiresApproval = true })
		}, nil},
		{"MD5", 10, 400, "", "does not allow Md5", "rsa2048", nil, func(r *Request) {
			r.Hash.Scheme.Hash, r.Hash.Digest = wire.MD5, make([]byte, 16)
		}},
		{"SHA-1 where only SHA-256 is allowed", 10, 400, "", "does not allow Sha1; it allows Sha256", "rsa2048", func(w *world) {
			w.editPolicy("rsa2048", func(p *model.SigningPolicy) { p.Hashes = []wire.Hash{wire.SHA256} })
		}, func(r *Request) { r.Hash.Scheme.Hash, r.Hash.Digest = wire.SHA1, make([]byte, 20) }},
		{"EC: SHA-1's length where only SHA-256 is allowed", 10, 400, "", "does not allow Sha1; it allows Sha256", "p256", func(w *world) {
			w.editPolicy("p256", func(p *model.SigningPolicy) { p.Hashes = []wire.Hash{wire.SHA256} })
		}, func(r *Request) { r.Hash.Digest = make([]byte, 20) }},
		{"EC: SHA-224's length where SHA-256 is not allowed", 10, 400, "", "does not allow Sha256; it allows Sha384", "p384", func(w *world) {
			w.editPolicy("p384", func(p *model.SigningPolicy) { p.Hashes = []wire.Hash{wire.SHA384} })
		}, func(r *Request) { r.Hash.Digest = make([]byte, 28) }},
		{"description", 11, 400, "Description", "2001 characters", "p256", nil, func(r *Request) { r.Description = strings.Repeat("é", 2001) }},
		{"metadata size", 11, 400, "", "metadata", "p256", nil, func(r *Request) {
			r.Hash.Metadata = json.RawMessage(`"` + strings.Repeat("x", maxMetadata) + `"`)
		}},
		{"metadata form", 11, 400, "", "metadata", "p256", nil, func(r *Request) { r.Hash.Metadata = json.RawMessage(`{"a":1,"a":2}`) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, false)
			if c.prepare != nil {
				c.prepare(w)
			}
			r := w.request(c.policy)
			if c.edit != nil {
				c.edit(&r)
			}
			_, err := w.service.Sign(t.Context(), r)
			var p *wire.Problem
			if !errors.As(err, &p) {
				t.Fatalf("got %v", err)
			}
			text, isField := p.Errors[c.field]
			if p.Status != c.status || isField != (c.field != "-") || !strings.Contains(p.Detail+strings.Join(text, " "), c.text) {
				t.Errorf("got %v", p)
			}
			row := slices.IndexFunc(checks, func(k check) bool { return k.number == c.check && slices.Contains(k.statuses, p.Status) })
			if row < 0 {
				t.Errorf("the table has no check %d with status %d", c.check, p.Status)
			}
			e := w.entries()
			var d struct{ Check, Status int }
			if len(e) != 1 || e[0].Event.Type != EntryRefused || json.Unmarshal(e[0].Event.Data, &d) != nil || d.Check != c.check || d.Status != c.status {
				t.Errorf("on record: %+v", e)
			}
			if strings.Contains(string(e[0].Event.Data), w.token) {
				t.Error("the token is on record")
			}
		})
	}
}

func (w *world) addArtifact(slug, kind string, active bool) {
	w.change(func(tx store.Tx) {
		w.must(tx.PutArtifactConfiguration(model.ArtifactConfiguration{ID: uuid.NewString(), OrganizationID: w.org.ID, ProjectID: w.project.ID, Slug: slug, Name: slug, Type: kind, Active: active, Created: w.now}))
	})
}

func (w *world) editCertificate(name string, edit func(*model.Certificate)) {
	c := w.certs[name]
	edit(&c)
	w.change(func(tx store.Tx) { w.must(tx.PutCertificate(c)) })
}

// addShortKey adds an RSA key that is too short for some schemes; only its
// public half is needed, since no check may let it through.
func (w *world) addShortKey() {
	n := new(big.Int).SetBit(big.NewInt(1), 1023, 1)
	public, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: 65537})
	w.must(err)
	k := model.Key{ID: uuid.NewString(), OrganizationID: w.org.ID, Version: 1, Type: wire.KeyRSA, Bits: 1024, Public: public, Backend: "soft", Created: w.now}
	w.change(func(tx store.Tx) { w.addKey(tx, "short", k, []byte{1}, nil) })
}

// All twelve checks of the API are in the table, in order, and each but the
// last two, which change something, has its function.
func TestTableIsComplete(t *testing.T) {
	last := 0
	for i, c := range checks {
		if c.number != last && c.number != last+1 || c.what == "" || len(c.statuses) == 0 || (c.run == nil) != (i >= len(checks)-2) {
			t.Errorf("line %d: %+v", i, c)
		}
		last = c.number
	}
	if last != 12 {
		t.Errorf("the table ends with check %d", last)
	}
}

func TestEncodedLength(t *testing.T) {
	for _, c := range []struct {
		scheme wire.Scheme
		bits   int
		fits   bool
	}{
		{wire.Scheme{Algorithm: wire.RSAPSS, Hash: wire.SHA512}, 1024, false}, // 128 < 130
		{wire.Scheme{Algorithm: wire.RSAPSS, Hash: wire.SHA512}, 1033, false}, // emBits 1032: 129
		{wire.Scheme{Algorithm: wire.RSAPSS, Hash: wire.SHA512}, 1034, true},  // emBits 1033: 130
		{wire.Scheme{Algorithm: wire.RSAPSS, Hash: wire.SHA384}, 1024, true},
		{wire.Scheme{Algorithm: wire.RSAPSS, Hash: wire.SHA256}, 521, false},   // emBits 520: 65 < 66
		{wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA512}, 744, false}, // 93 < 94
		{wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA512}, 745, true},
		{wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA1}, 368, true}, // 46
		{wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.SHA1}, 360, false},
		{wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: wire.MD5}, 360, true}, // 45
	} {
		have, need := encodedLength(c.scheme, c.bits)
		if (have >= need) != c.fits {
			t.Errorf("%v with %d bits: have %d, need %d", c.scheme, c.bits, have, need)
		}
	}
}

// MD5 signs where, and only where, a policy lists it.
func TestMD5ByPolicy(t *testing.T) {
	w := newWorld(t, false)
	w.editPolicy("rsa2048", func(p *model.SigningPolicy) { p.Hashes = []wire.Hash{wire.MD5} })
	r := w.request("rsa2048", func(r *Request) { r.Hash.Scheme.Hash, r.Hash.Digest = wire.MD5, make([]byte, 16) })
	if _, err := w.service.Sign(t.Context(), r); err != nil {
		t.Error(err)
	}
}

// When refusals cannot be recorded any more, the answer says so.
func TestRefusalNotRecorded(t *testing.T) {
	w := newWorld(t, false)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := w.log.Close(ctx); err != nil {
		t.Fatal(err)
	}
	_, err := w.service.Sign(t.Context(), w.request("unknown"))
	var p *wire.Problem
	if !errors.As(err, &p) || p.Status != 500 || !strings.Contains(p.Detail, "refused") {
		t.Errorf("got %v", err)
	}
	_, err = w.service.Sign(t.Context(), w.request("p256"))
	if !errors.As(err, &p) || p.Status != 500 || !strings.Contains(p.Detail, "nothing was signed") {
		t.Errorf("got %v", err)
	}
}

// Another organization sees nothing of this one.
func TestOrganizationsAreApart(t *testing.T) {
	w := newWorld(t, false)
	other := model.Organization{ID: uuid.NewString(), Name: "Other", Active: true, Created: w.now}
	user := model.User{ID: uuid.NewString(), OrganizationID: other.ID, Kind: model.CIUser, Name: "Other", Active: true, Created: w.now}
	token, hash := auth.NewToken()
	w.change(func(tx store.Tx) {
		w.must(tx.PutOrganization(other), tx.PutUser(user), tx.PutToken(model.Token{ID: uuid.NewString(), OrganizationID: other.ID, UserID: user.ID, Hash: hash, Active: true, Created: w.now}))
	})
	w.editPolicy("p256", func(p *model.SigningPolicy) { p.Submitters = append(p.Submitters, user.ID) }) // by mistake
	w.must(w.service.Refresh(t.Context()))
	var p *wire.Problem
	for _, org := range []string{w.org.ID, other.ID} {
		_, err := w.service.Sign(t.Context(), w.request("p256", func(r *Request) { r.OrganizationID, r.Authorization = org, "Bearer "+token.Reveal() }))
		if !errors.As(err, &p) || p.Status != map[string]int{w.org.ID: 401, other.ID: 400}[org] {
			t.Errorf("%v", err)
		}
	}
	principal, err := w.service.Authenticate(other.ID, "Bearer "+token.Reveal(), "")
	w.must(err)
	if list := w.service.MySigningPolicies(principal, "", ""); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	if _, err := w.service.Policy(principal, "demo", "p256"); !errors.As(err, &p) || p.Status != 403 {
		t.Error(err)
	}
}
