package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"mime/multipart"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"signpath/internal/secret"
	"signpath/internal/service/admin"
	"signpath/internal/service/auth"
	"signpath/internal/service/keys/keystest"
	"signpath/internal/service/model"
	"signpath/internal/service/pki"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

// OpenPGP makes an RSA key with its revocation.
func (i testIssuer) OpenPGP(ctx context.Context, r admin.OpenPGPRequest) (admin.Issued, error) {
	key, sealed, err := i.soft.Generate(ctx, "Rsa", 2048)
	if err != nil {
		return admin.Issued{}, err
	}
	signer, err := i.soft.Open(ctx, key, sealed)
	if err != nil {
		return admin.Issued{}, err
	}
	out := admin.Issued{Key: key, Sealed: sealed, NotBefore: r.Created, NotAfter: r.NotAfter}
	if out.OpenPGP, _, err = pki.NewOpenPGP(ctx, signer, pki.UserID{Name: r.Name, Email: r.Email}, r.Created, r.NotAfter); err != nil {
		return out, err
	}
	out.Revocation, err = pki.RevokeOpenPGP(ctx, signer, out.OpenPGP, r.Created, pki.RevokedNoReason, "")
	return out, err
}

func (i testIssuer) RenewOpenPGP(ctx context.Context, key model.Key, public []byte, notAfter time.Time) (admin.Issued, error) {
	signer, err := i.ring.Signer(ctx, key)
	if err != nil {
		return admin.Issued{}, err
	}
	renewed, err := pki.RenewOpenPGP(ctx, signer, public, time.Now(), notAfter)
	return admin.Issued{Key: key, OpenPGP: renewed, NotAfter: notAfter}, err
}

func (i testIssuer) RevokeOpenPGP(ctx context.Context, key model.Key, public []byte, reason pki.RevocationReason, text string) ([]byte, error) {
	signer, err := i.ring.Signer(ctx, key)
	if err != nil {
		return nil, err
	}
	return pki.RevokeOpenPGP(ctx, signer, public, time.Now(), reason, text)
}

// ImportPFX takes any file for a new key when the password is right.
func (i testIssuer) ImportPFX(ctx context.Context, _ []byte, password secret.Secret) (admin.Issued, error) {
	if password.Reveal() != "right" {
		return admin.Issued{}, pki.ErrPFXPassword
	}
	return i.Issue(ctx, admin.X509Request{CommonName: "imported", NotAfter: time.Now().Add(time.Hour)})
}

func (testIssuer) Destroy(context.Context, model.Key, []byte) error { return nil }

// sealing gives the administration a key-encryption key.
func (b *bench) sealing(t *testing.T) {
	kek := keystest.KEK(t)
	b.admin.Seal, b.admin.Open = kek.Seal, kek.Open
}

// pfxForm is the form of an import.
func pfxForm(slug, password string) (contentType, body string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	_ = w.WriteField("Slug", slug) // a buffer takes everything
	_ = w.WriteField("Password", password)
	part, _ := w.CreateFormFile("PfxFile", "c.pfx")
	_, _ = part.Write([]byte("pfx"))
	_ = w.Close()
	return w.FormDataContentType(), b.String()
}

func (w *accessWorld) newWebhook() string {
	h := model.Webhook{ID: uuid.NewString(), OrganizationID: w.org, ProjectID: w.policies["rsa2048"].ProjectID, URL: "https://example.test/", Active: true, Created: time.Now().UTC().Truncate(time.Millisecond)}
	w.change(w.t, func(tx store.Tx) error { return tx.PutWebhook(h) })
	return h.ID
}

func (w *accessWorld) newBuildSystem() string {
	_, hash := auth.NewToken()
	b := model.TrustedBuildSystem{ID: uuid.NewString(), OrganizationID: w.org, Name: w.next(), TokenHash: hash, Active: true, Created: time.Now().UTC().Truncate(time.Millisecond)}
	w.change(w.t, func(tx store.Tx) error { return tx.PutTrustedBuildSystem(b) })
	return b.ID
}

// newPolicy is a signing policy for one call.
func (w *accessWorld) newPolicy() string {
	p := w.policies["p256"]
	p.ID, p.Slug = uuid.NewString(), w.next()
	w.change(w.t, func(tx store.Tx) error { return tx.PutSigningPolicy(p) })
	return p.Slug
}

// newCertificate is a certificate with a key of its own for one call.
func (w *accessWorld) newCertificate() string {
	slug := w.next()
	decoded[any](w.t, w.ask(w.t, w.tokens[colGA], "POST", "Certificates/CreateSelfSignedX509", `{"slug":"`+slug+`","keyType":"Ecdsa","subject":{"commonName":"x"}}`), 201)
	return slug
}

// attested is a certificate whose key store said something.
func (w *accessWorld) attested() string {
	slug := w.newCertificate()
	for _, c := range must1(w.admin.Store.Config(w.t.Context()))(w.t).Certificates {
		if c.Slug == slug {
			must(w.t, w.admin.Store.Write(w.t.Context(), func(tx store.Tx) error { return tx.PutSetting("key.attestation/"+c.KeyID, []byte(`{"token":{}}`)) }))
		}
	}
	return slug
}

// keyAccessRows are the rows of webhooks, trusted build systems, invitations,
// stops and keys.
func keyAccessRows() []accessRow {
	const org = "/Api/v1/{organizationId}/"
	const policy, certificate = org + "Projects/{projectSlug}/SigningPolicies/{signingPolicySlug}", org + "Certificates/{certificateSlug}"
	const hooks, hook = org + "Projects/{projectSlug}/Webhooks", org + "Projects/{projectSlug}/Webhooks/{webhookId}"
	const systems, system = org + "TrustedBuildSystems", org + "TrustedBuildSystems/{trustedBuildSystemId}"
	managers := append(slices.Clone(admins), colCA)
	type call = func(*accessWorld) (string, string, string)
	with := func(make func(*accessWorld) string, before, after, body string) call {
		return func(w *accessWorld) (string, string, string) {
			return before + make(w) + after, jsonType, strings.ReplaceAll(body, "%s", w.next())
		}
	}
	aHook, aSystem, aPolicy, aCertificate := (*accessWorld).newWebhook, (*accessWorld).newBuildSystem, (*accessWorld).newPolicy, (*accessWorld).newCertificate
	const project, inProject, inPolicies = "Projects/hash-signing", "Projects/hash-signing/Webhooks/", "Projects/hash-signing/SigningPolicies/"
	person := func(w *accessWorld) string { return w.newUser(model.InteractiveUser, false).ID }
	synchronized := func(w *accessWorld) string { return w.newUser(model.InteractiveUser, true).ID }
	return []accessRow{
		{method: "GET", pattern: org + "Organization/Quota", allowed: everyone, status: 200, call: get("Organization/Quota")},
		{method: "GET", pattern: org + "SigningRequests/{signingRequestId}/X509Certificate", allowed: everyone, status: 200, call: requestCall(model.WorkflowCompleted, "/X509Certificate", "")},
		{method: "GET", pattern: hooks, allowed: artifacts, status: 200, call: get(project + "/Webhooks")},
		{method: "POST", pattern: hooks, allowed: artifacts, status: 201, call: post(project+"/Webhooks", `{"url":"https://example.test/%s"}`)},
		{method: "DELETE", pattern: hook, allowed: artifacts, status: 204, call: with(aHook, inProject, "", "")},
		{method: "POST", pattern: hook + "/Edit", allowed: artifacts, status: 200, call: with(aHook, inProject, "/Edit", `{"isActive":false}`)},
		{method: "GET", pattern: hook + "/Deliveries", allowed: artifacts, status: 200, call: with(aHook, inProject, "/Deliveries", "")},
		{method: "GET", pattern: systems, allowed: everyone, status: 200, call: get("TrustedBuildSystems")},
		{method: "POST", pattern: systems, allowed: admins, status: 201, call: post("TrustedBuildSystems", `{"name":"%s"}`)},
		{method: "GET", pattern: system, allowed: everyone, status: 200, call: with(aSystem, "TrustedBuildSystems/", "", "")},
		{method: "DELETE", pattern: system, allowed: admins, status: 204, call: with(aSystem, "TrustedBuildSystems/", "", "")},
		{method: "POST", pattern: system + "/Edit", allowed: admins, status: 200, call: with(aSystem, "TrustedBuildSystems/", "/Edit", `{"name":"%s"}`)},
		{method: "POST", pattern: system + "/RegenerateToken", allowed: admins, status: 200, call: with(aSystem, "TrustedBuildSystems/", "/RegenerateToken", "")},
		{method: "POST", pattern: org + "InteractiveUsers/{userId}/Invite", allowed: people, status: 200, call: with(person, "InteractiveUsers/", "/Invite", "")},
		{method: "POST", pattern: org + "InteractiveUsers/{userId}/Invite", allowed: directory, status: 200, call: with(synchronized, "InteractiveUsers/", "/Invite", ""), what: "synchronized"},
		{method: "POST", pattern: policy + "/Stop", allowed: projects, status: 200, call: with(aPolicy, inPolicies, "/Stop", `{"reason":"x"}`)},
		{method: "POST", pattern: policy + "/Resume", allowed: projects, status: 200, call: with(aPolicy, inPolicies, "/Resume", `{"reason":"x"}`)},
		{method: "GET", pattern: policy + "/Signatures", allowed: append(slices.Clone(projects), colGR), status: 200, call: get(inPolicies + "rsa2048/Signatures")},
		{method: "POST", pattern: certificate + "/Stop", allowed: managers, status: 200, call: with(aCertificate, "Certificates/", "/Stop", `{"reason":"x"}`)},
		{method: "POST", pattern: certificate + "/Resume", allowed: managers, status: 200, call: with(aCertificate, "Certificates/", "/Resume", `{"reason":"x"}`)},
		{method: "GET", pattern: certificate + "/Signatures", allowed: append(slices.Clone(managers), colGR), status: 200, call: get("Certificates/rsa2048/Signatures")},
		{method: "POST", pattern: org + "Certificates/CreateGpgKey", allowed: managers, status: 201, call: post("Certificates/CreateGpgKey", `{"slug":"%s","userName":"x","email":"x@example.test"}`)},
		{method: "POST", pattern: org + "Certificates/ImportPfx", allowed: managers, status: 201, call: func(w *accessWorld) (string, string, string) {
			contentType, body := pfxForm(w.next(), "right")
			return "Certificates/ImportPfx", contentType, body
		}},
		{method: "POST", pattern: certificate + "/Edit", allowed: managers, status: 200, call: with(aCertificate, "Certificates/", "/Edit", `{"name":"y"}`)},
		{method: "POST", pattern: certificate + "/Renew", allowed: managers, status: 201, call: post("Certificates/p256/Renew", `{"slug":"%s"}`)},
		{method: "POST", pattern: certificate + "/RenewGpgKey", allowed: managers, status: 200, call: post("Certificates/gpg-rsa3072/RenewGpgKey", "")},
		{method: "POST", pattern: certificate + "/GpgRevocation", allowed: managers, status: 200, call: post("Certificates/gpg-rsa3072/GpgRevocation", `{"reason":"compromised"}`)},
		{method: "POST", pattern: certificate + "/DeletePrivateKey", allowed: managers, status: 200, call: func(w *accessWorld) (string, string, string) {
			slug := w.newCertificate()
			return "Certificates/" + slug + "/DeletePrivateKey", jsonType, `{"confirmSlug":"` + slug + `"}`
		}},
		{method: "GET", pattern: certificate + "/Attestation", allowed: everyone, status: 200, call: with((*accessWorld).attested, "Certificates/", "/Attestation", "")},
	}
}

// tryKeys tries the same routes against the document.
func tryKeys(t *testing.T, b *bench, c *contract) {
	t.Helper()
	_, ga := b.addUser(t, "key administrator", model.CIUser, model.GlobalAdministrator)
	b.administrated(t, model.CertificateAdministrator)
	b.sealing(t)
	try := func(method, path, body string, status int) *httptest.ResponseRecorder {
		t.Helper()
		headers := []string{"Authorization: Bearer " + ga.Reveal()}
		if body != "" {
			headers = append(headers, "Content-Type: application/json")
		}
		return c.check(t, b, b.request(t, method, path, strings.NewReader(body), headers...), status)
	}
	member := func(w *httptest.ResponseRecorder, name string) string {
		t.Helper()
		var m map[string]any
		must(t, json.Unmarshal(w.Body.Bytes(), &m))
		s, _ := m[name].(string)
		return s
	}
	try("GET", "Organization/Quota", "", 200)
	try("POST", "Organization/Edit", `{"documentRetentionDays":7,"requestRetentionDays":400}`, 200)
	try("POST", "Organization/Edit", `{"documentRetentionDays":-1}`, 400)

	const hooks = "Projects/hash-signing/Webhooks"
	hook := member(try("POST", hooks, `{"url":"https://example.test/hook","authorization":"Bearer s3cret","notices":true}`, 201), "id")
	if w := try("GET", hooks+"?limit=1", "", 200); strings.Contains(w.Body.String(), "s3cret") {
		t.Errorf("the authorization value is told: %s", w.Body)
	}
	try("POST", hooks, `{"url":"http://example.test/hook"}`, 400)
	try("POST", hooks+"/"+hook+"/Edit", `{"notices":false}`, 200)
	try("GET", hooks+"/"+hook+"/Deliveries?limit=2", "", 200)
	try("DELETE", hooks+"/"+hook, "", 204)
	try("DELETE", hooks+"/"+hook, "", 403)

	made := try("POST", "TrustedBuildSystems", `{"name":"ci","projects":["hash-signing"]}`, 201)
	system, first := member(made, "id"), member(made, "token")
	try("POST", "TrustedBuildSystems", `{"name":"ci"}`, 400)
	try("GET", "TrustedBuildSystems", "", 200)
	try("GET", "TrustedBuildSystems/"+system, "", 200)
	try("POST", "TrustedBuildSystems/"+system+"/Edit", `{"projects":["nowhere"]}`, 400)
	try("POST", "TrustedBuildSystems/"+system+"/Edit", `{"name":"ci 2"}`, 200)
	if second := member(try("POST", "TrustedBuildSystems/"+system+"/RegenerateToken", "", 200), "token"); second == first || len(second) != 44 {
		t.Errorf("the new token is %q", second)
	}
	try("DELETE", "TrustedBuildSystems/"+system, "", 204)

	person := member(try("POST", "InteractiveUsers", `{"name":"Robin","email":"robin@example.test"}`, 201), "id")
	old := member(try("POST", "InteractiveUsers/"+person+"/Invite", "", 200), "invitationCode")
	code := member(try("POST", "InteractiveUsers/"+person+"/Invite", "", 200), "invitationCode")
	accept := func(code string, status int) *httptest.ResponseRecorder {
		t.Helper()
		r := b.request(t, "POST", "Invitations/Accept", strings.NewReader(`{"invitationCode":"`+code+`"}`), "Content-Type: application/json", "Authorization: ")
		return c.check(t, b, r, status)
	}
	accept(old, 403)
	token := member(accept(code, 201), "apiToken")
	accept(code, 403)
	accept("", 400)
	if got := b.do(t, "GET", "InteractiveUsers/Me", nil, "Authorization: Bearer "+token); got.Code != 200 {
		t.Errorf("the token of the invitation: %d %s", got.Code, got.Body)
	}
	try("POST", "InteractiveUsers/"+person+"/Invite", "", 400)

	contentType, body := classic(t, "p256", wire.Scheme{Algorithm: wire.ECDSA}, "")
	signed := b.do(t, "POST", "SigningRequests", body, contentType)
	request := member(signed, "SigningRequestId")
	certificate := try("GET", "SigningRequests/"+request+"/X509Certificate", "", 200).Body.Bytes()
	if want := try("GET", "Certificates/p256/X509Certificate", "", 200).Body.Bytes(); !bytes.Equal(certificate, want) {
		t.Error("the certificate of the request is another one")
	}
	for _, base := range []string{"Projects/hash-signing/SigningPolicies/p256", "Certificates/p256"} {
		if w := try("GET", base+"/Signatures?limit=500&from=2020-01-01", "", 200); !strings.Contains(w.Body.String(), request) || !strings.Contains(w.Body.String(), `"outcome":"completed"`) {
			t.Errorf("%s: %s", base, w.Body)
		}
		try("POST", base+"/Stop", `{}`, 400)
		w := try("POST", base+"/Stop", `{"reason":"test"}`, 200)
		if !strings.Contains(w.Body.String(), request) || !strings.Contains(w.Body.String(), base+"/Signatures") {
			t.Errorf("%s: %s", base, w.Body)
		}
		contentType, body := classic(t, "p256", wire.Scheme{Algorithm: wire.ECDSA}, "")
		if w := b.do(t, "POST", "SigningRequests", body, contentType); w.Code != 400 {
			t.Errorf("signed after the stop of %s: %d %s", base, w.Code, w.Body)
		}
		try("POST", base+"/Resume", `{"reason":"test"}`, 200)
	}
	contentType, body = classic(t, "p256", wire.Scheme{Algorithm: wire.ECDSA}, "")
	if w := b.do(t, "POST", "SigningRequests", body, contentType); w.Code != 200 {
		t.Errorf("resumed: %d %s", w.Code, w.Body)
	}

	try("POST", "Certificates/CreateGpgKey", `{"slug":"pgp","userName":"Example","email":"packages@example.test","keySizeInBits":2048}`, 201)
	try("POST", "Certificates/CreateGpgKey", `{"slug":"pgp","userName":"Example","email":"packages@example.test"}`, 400)
	try("POST", "Certificates/pgp/RenewGpgKey", `{"validTo":"2099-01-01T00:00:00Z"}`, 200)
	if w := try("POST", "Certificates/pgp/GpgRevocation", `{"reason":"retired","text":"gone"}`, 200); !strings.Contains(w.Body.String(), "BEGIN PGP PUBLIC KEY BLOCK") {
		t.Errorf("%s", w.Body)
	}
	try("POST", "Certificates/p256/GpgRevocation", `{}`, 400)
	try("POST", "Certificates/pgp/DeletePrivateKey", `{"confirmSlug":"wrong"}`, 400)
	try("POST", "Certificates/pgp/DeletePrivateKey", `{"confirmSlug":"pgp"}`, 200)
	try("POST", "Certificates/pgp/GpgRevocation", "", 200) // the one that was made with the key

	importPFX := func(password string, status int) {
		t.Helper()
		contentType, body := pfxForm("imported", password)
		c.check(t, b, b.request(t, "POST", "Certificates/ImportPfx", strings.NewReader(body), "Content-Type: "+contentType, "Authorization: Bearer "+ga.Reveal()), status)
	}
	importPFX("wrong", 400)
	importPFX("right", 201)
	try("POST", "Certificates/imported/Edit", `{"name":"New","requiresApproval":true}`, 200)
	try("POST", "Certificates/p256/Edit", `{"requiresApproval":true}`, 400) // a policy uses it without
	try("POST", "Projects/hash-signing/SigningPolicies", `{"slug":"no-approval","certificateSlug":"imported"}`, 400)
	try("POST", "Projects/hash-signing/SigningPolicies", `{"slug":"with-approval","certificateSlug":"imported","requiredApprovals":1}`, 201)
	try("POST", "Certificates/imported/Renew", `{"slug":"imported-2","creationMethod":"SelfSigned"}`, 201)
	try("POST", "Certificates/imported/Renew", `{"slug":"imported-3","creationMethod":"x"}`, 400)
	try("GET", "Certificates/imported/Attestation", "", 404)
	w := &accessWorld{bench: b, t: t}
	w.tokens[colGA] = ga
	try("GET", "Certificates/"+w.attested()+"/Attestation", "", 200)
}

// Lists are walked page by page: everything comes once, whatever the size of a
// page, and whatever is added meanwhile.
func TestPagesOfLists(t *testing.T) {
	b := newBench(t)
	_, ga := b.addUser(t, "administrator", model.CIUser, model.GlobalAdministrator)
	for range 7 {
		decoded[any](t, b.ask(t, ga, "POST", "UserGroups", `{"name":"`+uuid.NewString()+`"}`), 201)
	}
	type list struct {
		Items []struct {
			ID                string
			SigningPolicyID   string
			CertificateID     string
			SigningPolicySlug string
		}
		NextCursor string
	}
	for _, path := range []string{"UserGroups", "CIUsers", "Projects", "Projects/hash-signing/SigningPolicies", "Projects/hash-signing/ArtifactConfigurations", "Certificates"} {
		all := decoded[list](t, b.ask(t, ga, "GET", path, ""), 200)
		if all.NextCursor != "" || len(all.Items) == 0 {
			t.Errorf("%s: %d items, next %q", path, len(all.Items), all.NextCursor)
		}
		for size := 1; size <= 3; size++ {
			var got []string
			for cursor := ""; ; {
				p := decoded[list](t, b.ask(t, ga, "GET", path+"?limit="+string(rune('0'+size))+"&cursor="+cursor, ""), 200)
				if len(p.Items) > size {
					t.Fatalf("%s: %d items on a page of %d", path, len(p.Items), size)
				}
				for _, i := range p.Items {
					got = append(got, i.ID+i.SigningPolicyID+i.CertificateID)
				}
				if cursor = p.NextCursor; cursor == "" {
					break
				}
			}
			var want []string
			for _, i := range all.Items {
				want = append(want, i.ID+i.SigningPolicyID+i.CertificateID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s by %d: %v, want %v", path, size, got, want)
			}
		}
		for _, bad := range []string{"?limit=0", "?limit=1001", "?limit=x", "?cursor=x", "?limit=1&Limit=2"} {
			if w := b.ask(t, ga, "GET", path+bad, ""); w.Code != 400 {
				t.Errorf("%s%s: %d", path, bad, w.Code)
			}
		}
	}
	// The object that a cursor names may be gone.
	p := decoded[list](t, b.ask(t, ga, "GET", "UserGroups?limit=2", ""), 200)
	decoded[any](t, b.ask(t, ga, "DELETE", "UserGroups/"+p.Items[1].ID, ""), 204)
	if rest := decoded[list](t, b.ask(t, ga, "GET", "UserGroups?cursor="+p.NextCursor, ""), 200); len(rest.Items) != 5 {
		t.Errorf("%d items behind one that is gone", len(rest.Items))
	}
}

// A policy that demands a trusted build system signs for the token pair of one
// that is linked to its project, and for nothing else.
func TestTrustedBuildSystems(t *testing.T) {
	b := newBench(t)
	_, ga := b.addUser(t, "administrator", model.CIUser, model.GlobalAdministrator)
	decoded[any](t, b.ask(t, ga, "POST", "Projects/hash-signing/SigningPolicies/p256/Edit", `{"requiresTrustedBuildSystem":true}`), 200)
	made := decoded[buildSystemAnswer](t, b.ask(t, ga, "POST", "TrustedBuildSystems", `{"name":"ci","projects":["hash-signing"]}`), 201)
	sign := func(suffix string) int {
		t.Helper()
		contentType, body := classic(t, "p256", wire.Scheme{Algorithm: wire.ECDSA}, "")
		return b.do(t, "POST", "SigningRequests", body, contentType, "Authorization: Bearer "+b.token.Reveal()+suffix).Code
	}
	try := func(what string, suffix string, want int) {
		t.Helper()
		if got := sign(suffix); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	edit := func(body string) {
		t.Helper()
		decoded[any](t, b.ask(t, ga, "POST", "TrustedBuildSystems/"+made.ID+"/Edit", body), 200)
	}
	try("without the pair", "", 403)
	try("with an unknown one", ":AQunknown", 401)
	try("with an API token in its place", ":"+ga.Reveal(), 401)
	try("with the pair", ":"+made.Token, 200)
	entries, err := b.admin.AuditRows(t.Context(), admin.Call{}, admin.AuditPage{OrganizationReference: admin.OrganizationReference{Organization: b.org}, Type: "HashSigning.Intent"})
	must(t, err)
	if n := len(entries.Items); n != 1 || !strings.Contains(string(entries.Items[n-1].Leaf), `"trustedBuildSystemId":"`+made.ID) {
		t.Errorf("the audit entry does not name the trusted build system: %s", entries.Items[n-1].Leaf)
	}
	edit(`{"projects":[]}`)
	try("not linked to the project", ":"+made.Token, 403)
	edit(`{"projects":["hash-signing"],"isActive":false}`)
	try("switched off", ":"+made.Token, 401)
	edit(`{"isActive":true}`)
	// An asynchronous request keeps its proof until it is signed.
	submit := func() string {
		t.Helper()
		contentType, body := slow(t, "ProjectSlug=hash-signing", "SigningPolicySlug=p256", `@Artifact={"SignatureAlgorithm":"Ecdsa","Base64EncodedHash":"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="}`)
		w := b.do(t, "POST", "SigningRequests/SubmitWithArtifact", body, contentType, "Authorization: Bearer "+b.token.Reveal()+":"+made.Token)
		return decoded[struct{ SigningRequestID string }](t, w, 201).SigningRequestID
	}
	kept, removed := submit(), ""
	_, err = b.runner.RunDue(t.Context())
	must(t, err)
	if s := decoded[struct{ Status string }](t, b.do(t, "GET", "SigningRequests/"+kept+"/Status", nil), 200).Status; s != "Completed" {
		t.Errorf("the request of a trusted build: %s", s)
	}
	removed = submit()
	decoded[any](t, b.ask(t, ga, "DELETE", "TrustedBuildSystems/"+made.ID, ""), 204)
	_, err = b.runner.RunDue(t.Context())
	must(t, err)
	if s := decoded[struct{ Status string }](t, b.do(t, "GET", "SigningRequests/"+removed+"/Status", nil), 200).Status; s != "Failed" {
		t.Errorf("the request of a build system that was removed: %s", s)
	}
}
