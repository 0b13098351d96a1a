package httpapi

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"signpath/internal/service/keys/keystest"
	"signpath/internal/service/limits"
	"signpath/internal/service/model"
	"signpath/internal/service/pki"
	"signpath/internal/service/store"
	"signpath/internal/testkit/testkeys"
	"signpath/internal/wire"
)

// withEd25519 adds the policy ed25519, and ed25519-sha2 that leaves SHA-512 out.
func (b *bench) withEd25519(t *testing.T) {
	t.Helper()
	key, sealed := keystest.Import(t, b.soft, "ed25519")
	key.OrganizationID = b.org
	ca, err := pki.NewDevCA(t.Context())
	must(t, err)
	template, err := pki.LeafTemplateFor("ed25519")
	must(t, err)
	now := time.Now().UTC().Truncate(time.Millisecond)
	c := model.Certificate{ID: uuid.NewString(), OrganizationID: b.org, Slug: "ed25519", Name: "ed25519", Type: wire.CertificateX509, Creation: model.SelfSigned, KeyID: key.ID, NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour), Chain: ca.Chain(), Active: true, Created: now}
	c.Leaf, err = ca.Leaf(t.Context(), template, testkeys.Signer(t, "ed25519").Public())
	must(t, err)
	project := model.Project{ID: b.policies["rsa2048"].ProjectID}
	b.change(t, func(tx store.Tx) error {
		must(t, tx.PutKey(key, sealed))
		must(t, tx.PutCertificate(c))
		b.putPolicy(t, tx, project, "ed25519", c, func(*model.SigningPolicy) {})
		b.putPolicy(t, tx, project, "ed25519-sha2", c, func(p *model.SigningPolicy) { p.Hashes = []wire.Hash{wire.SHA256, wire.SHA384} })
		return nil
	})
}

// classicBody is the classic form with any text as its artifact.
func classicBody(t *testing.T, policy, artifact string) (contentType string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range [][2]string{{"ProjectSlug", "hash-signing"}, {"SigningPolicySlug", policy}, {"IsFastSigningRequest", "true"}} {
		must(t, w.WriteField(f[0], f[1]))
	}
	part, err := w.CreateFormFile("Artifact", "payload.json")
	must(t, err)
	_, err = io.WriteString(part, artifact)
	must(t, err)
	must(t, w.Close())
	return "Content-Type: " + w.FormDataContentType(), b.Bytes()
}

// The larger bodies are for messages alone: a request to sign a digest keeps its
// bound, whatever its members say.
func TestEdDSABodies(t *testing.T) {
	b := newBench(t)
	b.withEd25519(t)
	message := bytes.Repeat([]byte("message "), wire.MaxMessage/8)
	encode := base64.StdEncoding.EncodeToString
	exact, longer := encode(message), encode(append(bytes.Clone(message), 'x'))
	far := encode(make([]byte, maxMessageBody))
	padding := strings.Repeat(" ", maxBody)
	const digest = `"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="`
	for _, c := range []struct {
		name, policy, classic, newer string // members of the two forms
		status                       int
		field, newerField, says      string
	}{
		{"small", "ed25519", `"Base64EncodedMessage":"bQ=="`, `"message":"bQ=="`, 200, "", "", ""},
		{"1 MiB", "ed25519", `"Base64EncodedMessage":"` + exact + `"`, `"message":"` + exact + `"`, 200, "", "", ""},
		{"one byte more", "ed25519", `"Base64EncodedMessage":"` + longer + `"`, `"message":"` + longer + `"`, 400, "", "HashSigningData.Message", "has 1048577 bytes; 1048576 are allowed"},
		{"large and not base64", "ed25519", `"Base64EncodedMessage":"` + exact + `%"`, `"message":"` + exact + `%"`, 400, "", "HashSigningData.Message", "base64"},
		{"over the bound of the body", "ed25519", `"Base64EncodedMessage":"` + far + `"`, `"message":"` + far + `"`, 413, "", "", "1572864 bytes"},
		{"a digest", "ed25519", `"Base64EncodedHash":` + digest, `"hash":` + digest, 400, "", "HashSigningData.Hash", "does not go with SignatureAlgorithm EdDsa"},
		{"a key of another type", "rsa2048", `"Base64EncodedMessage":"` + exact + `"`, `"message":"` + exact + `"`, 400, "", "", "does not fit the key"},
		{"SHA-512 is not allowed", "ed25519-sha2", `"Base64EncodedMessage":"bQ=="`, `"message":"bQ=="`, 400, "", "", "does not allow Sha512"},
	} {
		contentType, body := classicBody(t, c.policy, `{"SignatureAlgorithm":"EdDsa",`+c.classic+`}`)
		w := b.do(t, "POST", "SigningRequests", bytes.NewReader(body), contentType)
		checkEdDSAAnswer(t, c.name+", classic", w, c.status, c.field, c.says, message)
		w = b.do(t, "POST", "SigningRequests/SignHash", strings.NewReader(`{"projectSlug":"hash-signing","signingPolicySlug":"`+c.policy+`","hashSigningData":{"signatureAlgorithm":"EdDsa",`+c.newer+`}}`), "Content-Type: application/json")
		checkEdDSAAnswer(t, c.name+", SignHash", w, c.status, c.newerField, c.says, message)
	}
	// Digests, with a body that only a message may have, announced or not.
	contentType, body := classicBody(t, "rsa2048", `{"SignatureAlgorithm":"RsaPkcs1","RsaHashAlgorithm":"2.16.840.1.101.3.4.2.1","Base64EncodedHash":`+digest+padding+`}`)
	for _, c := range []struct {
		path, contentType string
		body              io.Reader
	}{
		{"SigningRequests", contentType, bytes.NewReader(body)},
		{"SigningRequests", contentType, io.MultiReader(bytes.NewReader(body))},
		{"SigningRequests/SignHash", "Content-Type: application/json", strings.NewReader(signHashBody("rsa2048") + padding)},
		{"SigningRequests/SignHash", "Content-Type: application/json", io.MultiReader(strings.NewReader(signHashBody("rsa2048") + padding))},
	} {
		w := b.do(t, "POST", c.path, c.body, c.contentType)
		checkEdDSAAnswer(t, "a digest, "+c.path, w, 413, "", "1048576 bytes", nil)
	}
}

func checkEdDSAAnswer(t *testing.T, name string, w *httptest.ResponseRecorder, status int, field, says string, message []byte) {
	t.Helper()
	if w.Code != status {
		t.Errorf("%s: %d, want %d: %.300s", name, w.Code, status, w.Body)
		return
	}
	if status == 200 {
		var a struct {
			Base64EncodedMessage, Signature string
			HashSigningResult               wire.HashSigningResult
		}
		must(t, json.Unmarshal(w.Body.Bytes(), &a))
		signature, err := wire.DecodeBase64(a.Signature + a.HashSigningResult.Signature)
		must(t, err)
		if strings.HasPrefix(name, "small") {
			message = []byte("m")
		}
		if pub := testkeys.Signer(t, "ed25519").Public().(ed25519.PublicKey); !ed25519.Verify(pub, message, signature) {
			t.Errorf("%s: the signature does not verify", name)
		}
		return
	}
	p := problemIn(t, w)
	text := p.Detail
	if status == 400 {
		text = strings.Join(p.Errors[field], " ")
	}
	if !strings.Contains(text, says) {
		t.Errorf("%s: %+v, want the field %q to say %q", name, p, field, says)
	}
}

// A message counts like a digest, and an idempotency key is used up by both forms.
func TestEdDSAQuota(t *testing.T) {
	b := newBench(t)
	b.withEd25519(t)
	sign := func(text, key string) *httptest.ResponseRecorder {
		contentType, body := classicBody(t, "ed25519", `{"SignatureAlgorithm":"EdDsa","Base64EncodedMessage":"`+base64.StdEncoding.EncodeToString([]byte(text))+`"}`)
		return b.do(t, "POST", "SigningRequests", bytes.NewReader(body), contentType, "Idempotency-Key: "+key)
	}
	b.service.Quota = limits.NewQuotas(b.admin.Store)
	b.change(t, func(tx store.Tx) error {
		return tx.PutOrganization(model.Organization{ID: b.org, Name: "Test", Active: true, Created: time.Now(), YearlySignatures: 1, QuotaStart: time.Now().Add(-time.Hour)})
	})
	first := sign("one", "k")
	again := sign("one", "k")
	if first.Code != 200 || again.Code != 200 || again.Header().Get(replayedHeader) != "true" || first.Body.String() != again.Body.String() {
		t.Errorf("%d %s, then %d %s", first.Code, first.Body, again.Code, again.Body)
	}
	if w := sign("two", "k"); w.Code != 409 {
		t.Errorf("another message with the same key: %d %s", w.Code, w.Body)
	}
	w := sign("two", "l")
	if w.Code != 403 || !strings.Contains(problemIn(t, w).Detail, "1") {
		t.Errorf("beyond the quota: %d %s", w.Code, w.Body)
	}
}
