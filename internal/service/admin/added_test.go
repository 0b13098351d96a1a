package admin_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"signpath/internal/secret"
	"signpath/internal/service/admin"
	"signpath/internal/service/audit"
	"signpath/internal/service/model"
	"signpath/internal/wire"
)

// An invitation gives the first token once, within 14 days, to whoever has the
// newest code; nobody who has had a token is invited.
func TestInvitations(t *testing.T) {
	f := filled(t)
	now := testNow
	f.service.Now = func() time.Time { return now }
	f.do("user.create", admin.NewUser{Name: "Alex", Kind: "interactive", Email: "alex@example.com"}, nil)
	invite := func() string {
		t.Helper()
		var out admin.Invitation
		f.do("user.invite", admin.UserReference{User: "alex"}, &out)
		if !out.Expires.Equal(now.Add(14*24*time.Hour)) || out.InvitationExpires == nil {
			t.Errorf("%+v", out)
		}
		return out.Code.Reveal()
	}
	accept := func(code string) admin.AcceptedInvitation {
		var in admin.AcceptedInvitation
		in.Code = admin.ShownOnce{Secret: secret.New(code)}
		return in
	}
	refused := func(what, code string) {
		t.Helper()
		if err := f.fail("user.accept-invitation", accept(code)); !errors.Is(err, admin.ErrInvitation) {
			t.Errorf("%s: %v", what, err)
		}
	}
	first := invite()
	second := invite()
	refused("the replaced one", first)
	refused("none", "")
	now = now.Add(14 * 24 * time.Hour)
	refused("after 14 days", second)
	now = now.Add(-time.Minute)
	f.do("user.set-active", admin.UserActivity{User: "alex", Active: false}, nil)
	refused("of a user who is off", second)
	f.do("user.set-active", admin.UserActivity{User: "alex", Active: true}, nil)
	f.call = admin.Call{IP: "192.0.2.1"} // nobody is known before
	var token admin.CreatedToken
	f.do("user.accept-invitation", accept(second), &token)
	if token.UserName != "Alex" || len(token.Text.Reveal()) != 44 {
		t.Errorf("%+v", token)
	}
	refused("a second time", second)
	events := f.events()
	last := events[len(events)-2:]
	if last[0].Type != "User.InvitationAccepted" || last[1].Type != "ApiToken.Created" || last[1].Actor.Name != "Alex" || last[0].IP != "192.0.2.1" {
		t.Errorf("%+v", last)
	}
	for _, e := range events {
		if strings.Contains(string(e.Data), second) || strings.Contains(string(e.Data), token.Text.Reveal()) {
			t.Errorf("a secret is in the audit log: %s", e.Type)
		}
	}
	for user, part := range map[string]string{"alex": "has had an API token", "build": "is a CI user"} {
		var fields wire.FieldErrors
		if err := f.fail("user.invite", admin.UserReference{User: user}); !errors.As(err, &fields) || !strings.Contains(fields["user"][0], part) {
			t.Errorf("%s: %v", user, err)
		}
	}
}

func TestObjectQuotas(t *testing.T) {
	f := filled(t)
	one := 1
	f.do("organization.set-object-quotas", admin.ObjectQuotas{MaxUsers: &one, MaxProjects: &one, MaxCertificates: &one}, nil)
	f.do("user.create", admin.NewUser{Name: "Alex", Kind: "interactive", Email: "alex@example.com"}, nil)
	f.do("user.create", admin.NewUser{Name: "third", Kind: "ci"}, nil) // CI users do not count
	for operation, input := range map[string]any{
		"user.create":        admin.NewUser{Name: "Robin", Kind: "interactive", Email: "robin@example.com"},
		"project.create":     admin.NewProject{Slug: "second"},
		"certificate.create": admin.NewCertificate{Slug: "second", KeyType: "p256", CommonName: "x"},
	} {
		if err := f.fail(operation, input); !errors.Is(err, admin.ErrQuota) {
			t.Errorf("%s: %v", operation, err)
		}
	}
	// What cannot sign any more leaves room.
	f.do("user.set-active", admin.UserActivity{User: "alex", Active: false}, nil)
	f.do("user.create", admin.NewUser{Name: "Robin", Kind: "interactive", Email: "robin@example.com"}, nil)
	none := 0
	f.do("organization.set-object-quotas", admin.ObjectQuotas{MaxProjects: &none}, nil)
	f.do("project.create", admin.NewProject{Slug: "second"}, nil)
	negative := -1
	var fields wire.FieldErrors
	if err := f.fail("organization.set-object-quotas", admin.ObjectQuotas{MaxUsers: &negative}); !errors.As(err, &fields) {
		t.Error(err)
	}
}

func TestRetentionSetting(t *testing.T) {
	f := filled(t)
	if o := f.config().Organizations[0]; o.DocumentRetentionDays != model.DefaultDocumentRetentionDays || o.RequestRetentionDays != 0 {
		t.Errorf("a new organization keeps %d and %d days", o.DocumentRetentionDays, o.RequestRetentionDays)
	}
	days := 90
	f.do("organization.set-retention", admin.Retention{RequestDays: &days}, nil)
	if o := f.config().Organizations[0]; o.DocumentRetentionDays != model.DefaultDocumentRetentionDays || o.RequestRetentionDays != 90 {
		t.Errorf("%+v", o)
	}
	if types := f.types(); types[len(types)-1] != "Organization.RetentionChanged" {
		t.Errorf("%v", types)
	}
	days = 40_000
	var fields wire.FieldErrors
	if err := f.fail("organization.set-retention", admin.Retention{DocumentDays: &days}); !errors.As(err, &fields) || fields["documentRetentionDays"] == nil {
		t.Error(err)
	}
}

// The revocation that was made with an OpenPGP key outlives the key, sealed; one
// with a reason needs the key. Each is on record before it is given out.
func TestRevocations(t *testing.T) {
	f := filled(t)
	kek := sealerOf{}
	f.service.Seal, f.service.Open = kek.Seal, kek.Open
	f.do("certificate.create-gpg", admin.NewOpenPGPKey{Slug: "packages", KeyType: "rsa2048", UserName: "x", Email: "x@example.com"}, nil)
	ref := admin.CertificateReference{Certificate: "packages"}
	var out admin.Revocation
	f.do("certificate.revocation", admin.RevocationRequest{CertificateReference: ref, Reason: "retired", Text: "gone"}, &out)
	if string(out.Revocation) != "revoked: retired gone" || out.Kept {
		t.Errorf("%s %v", out.Revocation, out.Kept)
	}
	events := f.events()
	if e := events[len(events)-1]; e.Type != "Certificate.RevocationIssued" || !strings.Contains(string(e.Data), `"reason":"retired"`) {
		t.Errorf("%+v", e)
	}
	f.do("certificate.delete-key", admin.KeyDeletion{CertificateReference: ref, Confirm: "packages"}, nil)
	f.do("certificate.revocation", admin.RevocationRequest{CertificateReference: ref, Reason: "compromised"}, &out)
	if string(out.Revocation) != "revoked: none " || !out.Kept {
		t.Errorf("%s %v", out.Revocation, out.Kept)
	}
	var fields wire.FieldErrors
	for _, bad := range []admin.RevocationRequest{
		{CertificateReference: admin.CertificateReference{Certificate: "release"}},
		{CertificateReference: ref, Reason: "why not"},
		{CertificateReference: ref, Text: "a\nb"},
	} {
		if err := f.fail("certificate.revocation", bad); !errors.As(err, &fields) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// sealerOf stands for the key-encryption key.
type sealerOf struct{}

func (sealerOf) Seal(purpose string, plaintext []byte) ([]byte, error) {
	return append([]byte("sealed "+purpose+" "), plaintext...), nil
}

func (sealerOf) Open(purpose string, sealed []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(sealed, []byte("sealed "+purpose+" "))
	if !ok {
		return nil, errors.New("wrong purpose")
	}
	return plain, nil
}

// Signatures are listed page by page, oldest first, with what came of each, also
// when the outcome lies far behind.
func TestSignatures(t *testing.T) {
	f := filled(t)
	f.do("policy.create", admin.NewPolicy{Project: "app", Slug: "release", Certificate: "release", Submitters: []string{"build"}}, nil)
	policy := f.config().SigningPolicies[0]
	key := f.config().Keys[0]
	announce := func() uint64 {
		t.Helper()
		at, err := f.service.Log.Intent(t.Context(), f.config().Version, audit.Event{
			Type: "HashSigning.Intent", OrganizationID: policy.OrganizationID, Intent: true, Data: []byte(`{"projectSlug":"app","signingPolicySlug":"release"}`),
			Subject: audit.Subject{PolicyID: policy.ID, KeyID: key.ID, Digest: []byte{1}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return at.Seq
	}
	var seqs []uint64
	for range 5 {
		seqs = append(seqs, announce())
	}
	end := func(i int, kind string) {
		t.Helper()
		if err := f.service.Log.OutcomeWait(t.Context(), audit.Event{Type: "HashSigning." + kind, OrganizationID: policy.OrganizationID, Outcome: seqs[i], Data: []byte(`{}`), Subject: audit.Subject{PolicyID: policy.ID, KeyID: key.ID}}); err != nil {
			t.Fatal(err)
		}
	}
	end(3, "Completed")
	end(0, "Failed")
	end(1, "Completed")
	for _, filter := range []admin.SignatureFilter{{Project: "app", Policy: "release"}, {Certificate: "release"}} {
		var got []uint64
		var outcomes []string
		for filter.Limit = 2; ; {
			var page admin.Signatures
			f.do("signatures.list", filter, &page)
			for _, s := range page.Items {
				got, outcomes = append(got, s.Sequence), append(outcomes, s.Outcome)
			}
			if filter.Cursor = page.NextCursor; filter.Cursor == "" {
				break
			}
		}
		if !slices.Equal(got, seqs) || !slices.Equal(outcomes, []string{"failed", "completed", "under way", "completed", "under way"}) {
			t.Errorf("%v %v, want %v", got, outcomes, seqs)
		}
	}
	end(2, "Failed") // else closing the log waits for them
	end(4, "Failed")
	var fields wire.FieldErrors
	for _, bad := range []admin.SignatureFilter{{Project: "app"}, {Certificate: "nope"}, {Certificate: "release", Limit: 501}, {Certificate: "release", Cursor: "x"}} {
		if err := f.fail("signatures.list", bad); !errors.As(err, &fields) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// A certificate that demands approval serves no policy without.
func TestCertificateRestriction(t *testing.T) {
	f := filled(t)
	yes, no := true, false
	ref := admin.CertificateReference{Certificate: "release"}
	f.do("policy.create", admin.NewPolicy{Project: "app", Slug: "fast", Certificate: "release"}, nil)
	var fields wire.FieldErrors
	if err := f.fail("certificate.edit", admin.CertificateEdit{CertificateReference: ref, RequiresApproval: &yes}); !errors.As(err, &fields) || !strings.Contains(fields["requiresApproval"][0], "app/fast") {
		t.Error(err)
	}
	one, none := 1, 0
	policy := admin.PolicyReference{Project: "app", Policy: "fast"}
	f.do("policy.edit", admin.PolicyEdit{PolicyReference: policy, RequiredApprovals: &one}, nil)
	f.do("certificate.edit", admin.CertificateEdit{CertificateReference: ref, RequiresApproval: &yes}, nil)
	for _, c := range []struct {
		operation string
		input     any
	}{
		{"policy.edit", admin.PolicyEdit{PolicyReference: policy, RequiredApprovals: &none}},
		{"policy.create", admin.NewPolicy{Project: "app", Slug: "second", Certificate: "release"}},
	} {
		if err := f.fail(c.operation, c.input); !errors.As(err, &fields) || fields["requiredApprovals"] == nil {
			t.Errorf("%s: %v", c.operation, err)
		}
	}
	f.do("certificate.edit", admin.CertificateEdit{CertificateReference: ref, RequiresApproval: &no}, nil)
	f.do("policy.edit", admin.PolicyEdit{PolicyReference: policy, RequiredApprovals: &none}, nil)
}
