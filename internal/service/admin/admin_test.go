package admin_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"signpath/internal/service/admin"
	"signpath/internal/service/audit"
	"signpath/internal/service/auth"
	"signpath/internal/service/model"
	"signpath/internal/service/store"
	"signpath/internal/service/store/sqlite"
	"signpath/internal/wire"
)

var testNow = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

// fixture is a service on a real SQLite store.
type fixture struct {
	*testing.T
	store   store.Store
	service *admin.Service
	call    admin.Call
}

func setUp(t *testing.T) *fixture {
	t.Helper()
	st, err := sqlite.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	log, err := audit.Open(t.Context(), st, audit.Options{Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &fixture{
		T: t, store: st,
		service: &admin.Service{Store: st, Log: log, Issuer: p256Issuer{}, AuditKey: "vkey", Now: func() time.Time { return testNow }},
		call:    admin.Call{Actor: audit.Actor{Type: "Operator", ID: "1000", Name: "alex"}},
	}
}

// do runs an operation as the command line does, and wants it to work.
func (f *fixture) do(operation string, input, output any) {
	f.Helper()
	if err := (admin.Local{Service: f.service, Call: f.call}).Run(f.Context(), operation, input, output); err != nil {
		f.Fatalf("%s: %v", operation, err)
	}
}

func (f *fixture) fail(operation string, input any) error {
	f.Helper()
	err := (admin.Local{Service: f.service, Call: f.call}).Run(f.Context(), operation, input, nil)
	if err == nil {
		f.Fatalf("%s: no error", operation)
	}
	return err
}

// filled has an organization, a project, a certificate and two users.
func filled(t *testing.T) *fixture {
	t.Helper()
	f := setUp(t)
	f.do("organization.create", admin.NewOrganization{Name: "Example"}, nil)
	f.do("project.create", admin.NewProject{Slug: "app"}, nil)
	f.do("certificate.create", admin.NewCertificate{Slug: "release", KeyType: "p256", CommonName: "Example"}, nil)
	f.do("user.create", admin.NewUser{Name: "build", Kind: "ci"}, nil)
	f.do("user.create", admin.NewUser{Name: "nightly", Kind: "ci"}, nil)
	return f
}

// events are the types of all audit entries, in order.
func (f *fixture) events() []audit.Event {
	f.Helper()
	var out []audit.Event
	for leaf, err := range audit.Leaves(f.Context(), f.store) {
		if err != nil {
			f.Fatal(err)
		}
		e, err := audit.ParseLeaf(bytes.Clone(leaf))
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, e.Event)
	}
	return out
}

func (f *fixture) types() []string {
	f.Helper()
	var out []string
	for _, e := range f.events() {
		out = append(out, e.Type)
	}
	return out
}

func (f *fixture) config() *model.Config {
	f.Helper()
	cfg, err := f.store.Config(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	return cfg
}

// p256Issuer makes real keys and self-signed certificates, and keeps no key.
type p256Issuer struct{}

func (p256Issuer) make() (admin.Issued, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return admin.Issued{}, nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return admin.Issued{}, nil, err
	}
	return admin.Issued{
		Key:    model.Key{ID: uuid.NewString(), Version: 1, Type: wire.KeyECDSA, Bits: 256, Public: spki, Backend: "soft", Created: testNow},
		Sealed: []byte("sealed"), NotBefore: testNow,
	}, key, nil
}

func (i p256Issuer) Issue(_ context.Context, r admin.X509Request) (admin.Issued, error) {
	out, key, err := i.make()
	if err != nil {
		return out, err
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: r.CommonName}, NotBefore: testNow, NotAfter: r.NotAfter}
	out.Leaf, err = x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	out.NotAfter = r.NotAfter
	return out, err
}

func (i p256Issuer) OpenPGP(context.Context, admin.OpenPGPRequest) (admin.Issued, error) {
	out, _, err := i.make()
	out.OpenPGP = []byte("public key")
	return out, err
}

// Every change leaves exactly these audit entries, with the operator's name.
func TestAuditEntries(t *testing.T) {
	f := filled(t)
	active, inactive, one := true, false, 1
	policy := admin.PolicyReference{Project: "app", Policy: "release"}
	f.do("policy.create", admin.NewPolicy{Project: "app", Slug: "release", Certificate: "release", Submitters: []string{"build"}}, nil)
	var token admin.CreatedToken
	f.do("token.create", admin.NewToken{User: "build"}, &token)
	steps := []struct {
		operation string
		input     any
		want      []string
	}{
		{"organization.rename", admin.RenamedOrganization{Name: "Example Inc."}, []string{"Organization.Renamed"}},
		{"organization.set-active", admin.OrganizationActivity{}, []string{"Organization.Deactivated"}},
		{"organization.set-active", admin.OrganizationActivity{Active: true}, []string{"Organization.Activated"}},
		{"user.set-active", admin.UserActivity{User: "nightly"}, []string{"User.Deactivated"}},
		{"user.set-active", admin.UserActivity{User: "nightly"}, nil}, // nothing changed, nothing to tell
		{"user.set-active", admin.UserActivity{User: "nightly", Active: true}, []string{"User.Activated"}},
		{"user.set-roles", admin.UserRoles{User: "nightly", Roles: []string{"globalreader"}}, []string{"User.RolesChanged"}},
		{"token.create", admin.NewToken{User: "build", Replace: true}, []string{"ApiToken.Revoked", "ApiToken.Created"}},
		{"token.revoke", admin.TokenReference{ID: token.ID}, nil}, // replaced above
		{"project.create", admin.NewProject{Slug: "lib"}, []string{"Project.Created", "ArtifactConfiguration.Created"}},
		{"project.set-active", admin.ProjectActivity{Project: "lib"}, []string{"Project.Deactivated"}},
		{"project.set-active", admin.ProjectActivity{Project: "lib", Active: true}, []string{"Project.Activated"}},
		{"certificate.create-gpg", admin.NewOpenPGPKey{Slug: "packages", UserName: "Packages", Email: "p@example.com"}, []string{"Key.Generated", "Certificate.Created"}},
		{"certificate.set-active", admin.CertificateActivity{CertificateReference: admin.CertificateReference{Certificate: "packages"}}, []string{"Certificate.Deactivated"}},
		{"certificate.set-active", admin.CertificateActivity{CertificateReference: admin.CertificateReference{Certificate: "packages"}, Active: true}, []string{"Certificate.Activated"}},
		{"policy.edit", admin.PolicyEdit{PolicyReference: policy, AddSubmitters: []string{"nightly"}}, []string{"SigningPolicy.Changed"}},
		{"policy.edit", admin.PolicyEdit{PolicyReference: policy, Active: &inactive}, []string{"SigningPolicy.Deactivated"}},
		{"policy.edit", admin.PolicyEdit{PolicyReference: policy, Active: &active}, []string{"SigningPolicy.Activated"}},
		{"policy.edit", admin.PolicyEdit{PolicyReference: policy, Active: &inactive, RequiredApprovals: &one}, []string{"SigningPolicy.Changed"}},
		{"policy.edit", admin.PolicyEdit{PolicyReference: policy}, nil},
	}
	for _, s := range steps {
		before := len(f.types())
		f.do(s.operation, s.input, nil)
		if got := f.types()[before:]; !slices.Equal(got, s.want) {
			t.Errorf("%s: audit entries %v, want %v", s.operation, got, s.want)
		}
	}
	for _, e := range f.events() {
		if e.Actor != f.call.Actor {
			t.Errorf("%s: actor %v", e.Type, e.Actor)
		}
		if e.OrganizationID != f.config().Organizations[0].ID {
			t.Errorf("%s: organization %q", e.Type, e.OrganizationID)
		}
	}
}

// Every wrong field is named, and nothing is written.
func TestRefusals(t *testing.T) {
	f := filled(t)
	f.do("policy.create", admin.NewPolicy{Project: "app", Slug: "release", Certificate: "release"}, nil)
	f.do("certificate.create", admin.NewCertificate{Slug: "off", KeyType: "p256", CommonName: "Off"}, nil)
	f.do("certificate.set-active", admin.CertificateActivity{CertificateReference: admin.CertificateReference{Certificate: "off"}}, nil)
	past := testNow.Add(-time.Second)
	policy := admin.PolicyReference{Project: "app", Policy: "release"}
	text, many, none := strings.Repeat("x", 201), 1000, []string{}
	long := strings.Repeat("x", 101)
	tests := []struct {
		operation string
		input     any
		fields    []string // that must be named, all of them
	}{
		{"organization.create", admin.NewOrganization{Name: "  "}, []string{"name"}},
		{"organization.create", admin.NewOrganization{Name: text}, []string{"name"}},
		{"organization.create", admin.NewOrganization{Name: "a\x00b"}, []string{"name"}},
		{"organization.create", admin.NewOrganization{Name: "EXAMPLE"}, []string{"name"}},
		{"organization.rename", admin.RenamedOrganization{OrganizationReference: admin.OrganizationReference{Organization: "nope"}, Name: "x"}, []string{"organization"}},
		{"user.create", admin.NewUser{Name: "", Kind: "robot", Roles: []string{"Emperor"}}, []string{"name", "kind", "roles"}},
		{"user.create", admin.NewUser{Name: "BUILD", Kind: "ci", Email: "x@example.com"}, []string{"name", "email"}},
		{"user.create", admin.NewUser{Name: "x", Kind: "interactive", Email: "Alex <alex@example.com>"}, []string{"email"}},
		{"user.set-roles", admin.UserRoles{User: "nope", Roles: []string{"Emperor"}}, []string{"user", "roles"}},
		{"token.create", admin.NewToken{User: "nope", Expires: &past}, []string{"user", "expires"}},
		{"token.list", admin.TokenFilter{User: "nope"}, []string{"user"}},
		{"project.create", admin.NewProject{Slug: "a/b"}, []string{"slug"}},
		{"project.create", admin.NewProject{Slug: "a:b"}, []string{"slug"}},
		{"project.create", admin.NewProject{Slug: "a;b"}, []string{"slug"}},
		{"project.create", admin.NewProject{Slug: ""}, []string{"slug"}},
		{"project.create", admin.NewProject{Slug: ".."}, []string{"slug"}},
		{"project.create", admin.NewProject{Slug: "ä"}, []string{"slug"}},
		{"project.create", admin.NewProject{Slug: long, Name: text}, []string{"slug", "name"}},
		{"project.create", admin.NewProject{Slug: "APP"}, []string{"slug"}}, // URLs are matched without regard to case
		{"project.set-active", admin.ProjectActivity{Project: "nope"}, []string{"project"}},
		{"policy.create", admin.NewPolicy{Project: "nope", Slug: "/", Certificate: "nope", Submitters: []string{"nobody"}, RequiredApprovals: -1, Hashes: []string{"crc32"}},
			[]string{"project", "slug", "certificate", "submitters", "requiredApprovals", "hashes"}},
		{"policy.create", admin.NewPolicy{Project: "app", Slug: "release", Certificate: "off"}, []string{"slug", "certificate"}},
		{"policy.create", admin.NewPolicy{Project: "app", Slug: "x"}, []string{"certificate"}},
		{"policy.edit", admin.PolicyEdit{PolicyReference: admin.PolicyReference{Project: "app", Policy: "nope"}}, []string{"policy"}},
		{"policy.edit", admin.PolicyEdit{PolicyReference: policy, Name: &text, Certificate: &long, AddSubmitters: []string{"nobody"}, RemoveSubmitters: []string{"build"}, RequiredApprovals: &many, Hashes: &none},
			[]string{"name", "certificate", "addSubmitters", "removeSubmitters", "requiredApprovals", "hashes"}},
		{"certificate.create", admin.NewCertificate{Slug: "a b", KeyType: "rsa1024", Profile: "x", Email: "x", NotAfter: &past}, []string{"slug", "keyType", "commonName", "profile", "email", "notAfter"}},
		{"certificate.create", admin.NewCertificate{Slug: "RELEASE", CommonName: strings.Repeat("x", 65), Profile: "mail"}, []string{"slug", "commonName", "email"}},
		{"certificate.create-gpg", admin.NewOpenPGPKey{Slug: "x", KeyType: "p256", UserName: "a <b>", Email: "nope"}, []string{"keyType", "userName", "email"}},
		{"certificate.export", admin.CertificateReference{Certificate: "nope"}, []string{"certificate"}},
		{"certificate.create", json.RawMessage(`{"slug":"x","slug":"y"}`), []string{""}},
		{"certificate.create", json.RawMessage(`{"slgu":"x"}`), []string{""}},
	}
	version, entries := f.config().Version, len(f.types())
	for _, c := range tests {
		err := f.fail(c.operation, c.input)
		var fields wire.FieldErrors
		if !errors.As(err, &fields) {
			t.Errorf("%s %+v: %v, want field errors", c.operation, c.input, err)
			continue
		}
		got := []string{}
		for name := range fields {
			got = append(got, name)
		}
		slices.Sort(got)
		slices.Sort(c.fields)
		if !slices.Equal(got, c.fields) {
			t.Errorf("%s: fields %q, want %q (%v)", c.operation, got, c.fields, err)
		}
	}
	if err := f.fail("token.revoke", admin.TokenReference{ID: "nope"}); !errors.Is(err, admin.ErrNotFound) {
		t.Errorf("token.revoke: %v", err)
	}
	if err := f.fail("no.such", nil); !errors.Is(err, admin.ErrNotFound) {
		t.Errorf("unknown operation: %v", err)
	}
	if f.config().Version != version || len(f.types()) != entries {
		t.Error("a refused operation wrote something")
	}
}

// A project can sign hashes from the beginning.
func TestProjectHasHashSigning(t *testing.T) {
	f := filled(t)
	cfg := f.config()
	if len(cfg.ArtifactConfigurations) != 1 {
		t.Fatalf("%d artifact configurations", len(cfg.ArtifactConfigurations))
	}
	ac := cfg.ArtifactConfigurations[0]
	if ac.Type != model.HashSigningData || !ac.Default || !ac.Active || ac.ProjectID != cfg.Projects[0].ID || ac.OrganizationID != cfg.Organizations[0].ID {
		t.Errorf("%+v", ac)
	}
}

// The token is shown once, works, and stands nowhere else.
func TestTokenIsShownOnce(t *testing.T) {
	f := filled(t)
	expires := testNow.Add(time.Hour)
	raw, err := f.service.Run(t.Context(), f.call, "token.create", json.RawMessage(`{"user":"build","expires":"2027-03-01T13:00:00Z"}`))
	if err != nil {
		t.Fatal(err)
	}
	var out admin.CreatedToken
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	text := out.Text.Reveal()
	if len(text) != 44 || !bytes.Contains(raw, []byte(text)) {
		t.Errorf("the token has %d characters", len(text))
	}
	stored := f.config().Tokens[0]
	if stored.Hash != auth.HashToken(text) || !stored.Expires.Equal(expires) || !stored.Active {
		t.Errorf("%+v", stored)
	}
	for leaf := range audit.Leaves(t.Context(), f.store) {
		if bytes.Contains(leaf, []byte(text)) {
			t.Errorf("the audit log holds the token: %s", leaf)
		}
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if s := fmt.Sprintf(format, out); strings.Contains(s, text) {
			t.Errorf("%s prints the token", format)
		}
	}
	if err := f.fail("token.create", admin.NewToken{User: "build"}); !strings.Contains(err.Error(), "valid token already") {
		t.Error(err)
	}
	var second admin.CreatedToken
	f.do("token.create", admin.NewToken{User: "build", Replace: true}, &second)
	var list admin.Tokens
	f.do("token.list", admin.TokenFilter{User: "build"}, &list)
	states := map[string]bool{}
	for _, k := range list.Items {
		states[k.ID] = k.Active
	}
	if len(states) != 2 || states[out.ID] || !states[second.ID] {
		t.Errorf("states %v", states)
	}
}

// An expired token does not stand in the way of a new one.
func TestExpiredTokenIsNoObstacle(t *testing.T) {
	f := filled(t)
	expires := testNow.Add(time.Minute)
	f.do("token.create", admin.NewToken{User: "build", Expires: &expires}, nil)
	f.service.Now = func() time.Time { return testNow.Add(time.Hour) }
	f.do("token.create", admin.NewToken{User: "build"}, nil)
}

func TestPolicyEdit(t *testing.T) {
	f := filled(t)
	var p admin.Policy
	f.do("policy.create", admin.NewPolicy{Project: "app", Slug: "release", Certificate: "release", Submitters: []string{"build", "build", "nightly"}}, &p)
	if !slices.Equal(p.Submitters, []string{"build", "nightly"}) || !slices.Equal(p.Hashes, []string{"Sha1", "Sha256", "Sha384", "Sha512"}) || len(p.Warnings) != 0 {
		t.Errorf("%+v", p)
	}
	ref := admin.PolicyReference{Project: "app", Policy: "release"}
	yes, no, two := true, false, 2
	sha2 := []string{"SHA-512", "sha256"}
	steps := []struct {
		edit     admin.PolicyEdit
		want     string // submitters|approvals|hashes|active
		warnings int
	}{
		{admin.PolicyEdit{RemoveSubmitters: []string{"build"}}, "nightly|0|Sha1 Sha256 Sha384 Sha512|true", 0},
		{admin.PolicyEdit{AllowMD5: &yes}, "nightly|0|Md5 Sha1 Sha256 Sha384 Sha512|true", 1},
		{admin.PolicyEdit{AllowMD5: &no}, "nightly|0|Sha1 Sha256 Sha384 Sha512|true", 0},
		{admin.PolicyEdit{Hashes: &sha2}, "nightly|0|Sha256 Sha512|true", 0},
		{admin.PolicyEdit{RequiredApprovals: &two, Active: &no}, "nightly|2|Sha256 Sha512|false", 1},
	}
	for _, s := range steps {
		s.edit.PolicyReference = ref
		var p admin.Policy
		f.do("policy.edit", s.edit, &p)
		got := fmt.Sprintf("%s|%d|%s|%v", strings.Join(p.Submitters, " "), p.RequiredApprovals, strings.Join(p.Hashes, " "), p.Active)
		if got != s.want || len(p.Warnings) != s.warnings {
			t.Errorf("%+v: %s, warnings %q; want %s and %d", s.edit, got, p.Warnings, s.want, s.warnings)
		}
	}
	var list admin.Policies
	f.do("policy.list", admin.ProjectFilter{Project: "app"}, &list)
	if len(list.Items) != 1 || list.Items[0].Key() != "app/release" {
		t.Errorf("%+v", list)
	}
}

// libp11 cuts key IDs that are longer than 99 bytes.
func TestLongKeyNameWarns(t *testing.T) {
	f := filled(t)
	for _, c := range []struct {
		length   int // of "app/…"
		warnings int
	}{{99, 0}, {100, 1}} {
		var p admin.Policy
		f.do("policy.create", admin.NewPolicy{Project: "app", Slug: strings.Repeat("x", c.length-len("app/")), Certificate: "release", Submitters: []string{"build"}}, &p)
		if len(p.Warnings) != c.warnings {
			t.Errorf("%d bytes: warnings %q", c.length, p.Warnings)
		}
	}
}

// With several organizations each operation needs to know which; names of
// other organizations are not found.
func TestOrganizationsAreApart(t *testing.T) {
	f := filled(t)
	f.do("organization.create", admin.NewOrganization{Name: "Other"}, nil)
	if err := f.fail("user.list", admin.OrganizationReference{}); !strings.Contains(err.Error(), "2 organizations") {
		t.Error(err)
	}
	other := admin.OrganizationReference{Organization: "other"}
	f.do("project.create", admin.NewProject{OrganizationReference: other, Slug: "app"}, nil)
	err := f.fail("policy.create", admin.NewPolicy{OrganizationReference: other, Project: "app", Slug: "x", Certificate: "release", Submitters: []string{"build"}})
	for _, want := range []string{"no certificate", "no user"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Operators who work at the same time do not step on each other.
func TestConcurrentChanges(t *testing.T) {
	f := filled(t)
	f.do("policy.create", admin.NewPolicy{Project: "app", Slug: "release", Certificate: "release"}, nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := fmt.Sprintf("user-%d", i)
			local := admin.Local{Service: f.service, Call: f.call}
			edit := admin.PolicyEdit{PolicyReference: admin.PolicyReference{Project: "app", Policy: "release"}, AddSubmitters: []string{name}}
			for operation, input := range map[string]any{"user.create": admin.NewUser{Name: name, Kind: "ci"}} {
				if err := retry(func() error { return local.Run(t.Context(), operation, input, nil) }); err != nil {
					t.Error(err)
				}
			}
			if err := retry(func() error { return local.Run(t.Context(), "policy.edit", edit, nil) }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := len(f.config().SigningPolicies[0].Submitters); got != 8 {
		t.Errorf("%d submitters, want 8: a change was lost", got)
	}
}

func retry(do func() error) (err error) {
	for range 10 {
		if err = do(); !errors.Is(err, admin.ErrConflict) {
			return err
		}
	}
	return err
}

// A running server hears of changes, and only of changes.
func TestChangedIsTold(t *testing.T) {
	f := setUp(t)
	told := 0
	f.service.Changed = func(context.Context) { told++ }
	f.do("organization.create", admin.NewOrganization{Name: "Example"}, nil)
	f.do("organization.list", struct{}{}, nil)
	_ = f.fail("organization.create", admin.NewOrganization{Name: "Example"})
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}

func TestAuditRows(t *testing.T) {
	f := filled(t)
	var head admin.Head
	f.do("audit.head", nil, &head)
	var all admin.AuditEntries
	f.do("audit.rows", admin.AuditPage{}, &all)
	if uint64(len(all.Items)) != head.Size || head.Size == 0 {
		t.Fatalf("%d rows, head %d", len(all.Items), head.Size)
	}
	var some admin.AuditEntries
	f.do("audit.rows", admin.AuditPage{OrganizationReference: admin.OrganizationReference{Organization: "Example"}, Type: "User.Created", Limit: 1}, &some)
	if len(some.Items) != 1 || some.Items[0].Type != "User.Created" || audit.LeafHash(some.Items[0].Row().Leaf) != audit.LeafHash(all.Items[some.Items[0].Seq-1].Leaf) {
		t.Errorf("%+v", some)
	}
	if err := f.fail("audit.rows", admin.AuditPage{OrganizationReference: admin.OrganizationReference{Organization: "nope"}}); !strings.Contains(err.Error(), "nope") {
		t.Error(err)
	}
}

// FuzzRun: no input of any operation may crash, and a refused one writes nothing.
func FuzzRun(f *testing.F) {
	for _, seed := range []string{`{}`, `null`, `[]`, `{"name":"x"}`, `{"user":"build","expires":"2027-01-01T00:00:00Z"}`, `{"policy":"release","project":"app","hashes":null,"allowMd5":true}`, `{"after":18446744073709551615}`} {
		f.Add(uint8(0), seed)
		f.Add(uint8(14), seed)
	}
	f.Fuzz(func(t *testing.T, n uint8, input string) {
		fx := shared(t)
		table := admin.Operations()
		name := table[int(n)%len(table)].Name
		before := fx.config().Version
		if _, err := fx.service.Run(t.Context(), fx.call, name, json.RawMessage(input)); err != nil && fx.config().Version != before {
			t.Errorf("%s %q failed with %v but wrote something", name, input, err)
		}
	})
}

// tempDir is a folder that outlives one test function: fuzzing shares it.
func tempDir() (string, error) { return os.MkdirTemp("", "signpath-admin-*") }

var (
	sharedOnce    sync.Once
	sharedStore   store.Store
	sharedService *admin.Service
)

// shared is one installation for all rounds of a fuzzing process: opening one takes milliseconds.
func shared(t *testing.T) *fixture {
	sharedOnce.Do(func() {
		dir, err := tempDir()
		if err == nil {
			sharedStore, err = sqlite.Open(context.Background(), dir)
		}
		if err != nil {
			t.Fatal(err)
		}
		log, err := audit.Open(context.Background(), sharedStore, audit.Options{})
		if err != nil {
			t.Fatal(err)
		}
		sharedService = &admin.Service{Store: sharedStore, Log: log, Issuer: p256Issuer{}, Now: func() time.Time { return testNow }}
	})
	return &fixture{T: t, store: sharedStore, service: sharedService}
}
