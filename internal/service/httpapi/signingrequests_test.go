package httpapi

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"signpath/internal/service/audit"
	"signpath/internal/service/egress"
	"signpath/internal/service/jobs"
	"signpath/internal/service/limits"
	"signpath/internal/service/model"
	"signpath/internal/service/requests"
	"signpath/internal/service/store"
	"signpath/internal/testkit/testkeys"
	"signpath/internal/wire"
)

const hashDocument = `{"SignatureAlgorithm":"RsaPkcs1","RsaHashAlgorithm":"2.16.840.1.101.3.4.2.1","Base64EncodedHash":"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=","Metadata":{"a":"<b>"}}`

// makeRequests gives the bench the room of asynchronous requests, and a server
// to fetch artifacts from.
func (b *bench) makeRequests(t *testing.T, st store.Store, log *audit.Log) {
	t.Helper()
	b.artifact = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Private-Token") != "s3cret-of-the-link":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/redirect":
			http.Redirect(w, r, "/payload.json", http.StatusFound)
		default:
			_, _ = io.WriteString(w, hashDocument)
		}
	}))
	t.Cleanup(b.artifact.Close)
	roots := x509.NewCertPool()
	roots.AddCert(b.artifact.Certificate())
	quiet := slog.New(slog.DiscardHandler)
	b.requests = &requests.Service{
		Store: st, Log: log, Signing: b.service, APIURL: "https://sign.example.test/Api", Logger: quiet,
		ArtifactHosts: []string{strings.TrimPrefix(b.artifact.URL, "https://")},
		Egress:        egress.New(egress.Config{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Roots: roots}),
	}
	b.runner = &jobs.Runner{Store: st, Handlers: b.requests.Handlers(), Logger: quiet}
}

// work does what is due.
func (b *bench) work(t *testing.T) {
	t.Helper()
	for {
		n, err := b.runner.RunDue(t.Context())
		must(t, err)
		if n == 0 {
			return
		}
	}
}

// slow makes the form of an asynchronous request; fields are "name=value", a
// name that begins with @ is a file.
func slow(t *testing.T, fields ...string) (contentType string, body io.Reader) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		if file, ok := strings.CutPrefix(name, "@"); ok {
			part, err := w.CreateFormFile(file, "dir/"+strings.ToLower(file)+".json")
			must(t, err)
			_, _ = io.WriteString(part, value)
			continue
		}
		must(t, w.WriteField(name, value))
	}
	must(t, w.Close())
	return "Content-Type: " + w.FormDataContentType(), &b
}

var slowForm = []string{"ProjectSlug=hash-signing", "SigningPolicySlug=rsa2048", "@Artifact=" + hashDocument}

func (b *bench) submitted(t *testing.T, fields ...string) wire.SubmitAnswer {
	t.Helper()
	contentType, body := slow(t, fields...)
	w := b.do(t, "POST", "SigningRequests/SubmitWithArtifact", body, contentType)
	if w.Code != 201 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var a wire.SubmitAnswer
	must(t, json.Unmarshal(w.Body.Bytes(), &a))
	if w.Header().Get("Location") != "https://sign.example.test/Api/v1/"+b.org+"/SigningRequests/"+a.SigningRequestID {
		t.Errorf("Location %q", w.Header().Get("Location"))
	}
	return a
}

func (b *bench) status(t *testing.T, id string) wire.StatusAnswer {
	t.Helper()
	w := b.do(t, "GET", "SigningRequests/"+id+"/Status", nil)
	var a wire.StatusAnswer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return a
}

// The whole way of an asynchronous request, as a client of SignPath goes it.
func TestAsynchronousRequest(t *testing.T) {
	b := newBench(t)
	a := b.submitted(t, append(slices.Clone(slowForm), "Description=1.0", "Parameters.Version=1.0", "parameters.x=ä", "cancellationTimeoutInSeconds=600",
		"Origin.RepositoryData.Url=https://git.example.test/a", "Origin.RepositoryData.BranchName=main", "Origin.RepositoryData.CommitId=abc", "Origin.RepositoryData.SourceControlManagementType=git",
		"Origin.BuildData.Url=https://ci.example.test/1", "@Origin.BuildData.BuildSettingsFile=steps: []")...)
	if s := b.status(t, a.SigningRequestID); s.Status != "InProgress" || s.WorkflowStatus != "QueuedForProcessing" || s.IsFinalStatus {
		t.Errorf("%+v", s)
	}
	if w := b.do(t, "GET", "SigningRequests/"+a.SigningRequestID+"/SignedArtifact", nil); w.Code != 400 {
		t.Errorf("signed artifact before the end: %d", w.Code)
	}
	b.work(t)
	if s := b.status(t, strings.ToUpper(a.SigningRequestID)); s.Status != "Completed" || !s.IsFinalStatus {
		t.Errorf("%+v", s)
	}
	w := b.do(t, "GET", "SigningRequests/"+a.SigningRequestID, nil)
	var r map[string]any
	must(t, json.Unmarshal(w.Body.Bytes(), &r))
	for name, want := range map[string]any{
		"status": "Completed", "description": "1.0", "projectSlug": "hash-signing", "signingPolicySlug": "rsa2048", "artifactConfigurationSlug": "initial", "submitterName": "submitter",
		"webLink": a.WebLink, "unsignedArtifactFileName": "artifact.json", "keyVersion": 1.0,
		"signedArtifactLink": "https://sign.example.test/Api/v1/" + b.org + "/SigningRequests/" + a.SigningRequestID + "/SignedArtifact",
	} {
		if r[name] != want {
			t.Errorf("%s is %v, want %v", name, r[name], want)
		}
	}
	if text := fmt.Sprint(r["parameters"], r["origin"]); !strings.Contains(text, "Version:1.0") || !strings.Contains(text, "x:ä") || !strings.Contains(text, "commitId:abc") || !strings.Contains(text, "/BuildSettingsFile") {
		t.Error(text)
	}
	w = b.do(t, "GET", "SigningRequests/"+a.SigningRequestID+"/SignedArtifact", nil)
	signature, id, err := wire.ParseClassicAnswer(w.Body.Bytes())
	must(t, err)
	must(t, rsa.VerifyPKCS1v15(testkeys.Signer(t, "rsa2048").Public().(*rsa.PublicKey), crypto.SHA256, abc[:], signature))
	if id != a.SigningRequestID {
		t.Error(id)
	}
	if w = b.do(t, "GET", "SigningRequests/"+a.SigningRequestID+"/UnsignedArtifact", nil); w.Body.String() != hashDocument {
		t.Errorf("%s", w.Body)
	}
	if w = b.do(t, "GET", "SigningRequests/"+a.SigningRequestID+"/BuildSettingsFile", nil); w.Body.String() != "steps: []" || !strings.Contains(w.Header().Get("Content-Disposition"), "origin.builddata.buildsettingsfile.json") {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	if w = b.do(t, "POST", "SigningRequests/"+a.SigningRequestID+"/Cancel", nil); w.Code != 409 {
		t.Errorf("cancel at the end: %d %s", w.Code, w.Body)
	}
}

func TestFastRequestCanBeLookedUp(t *testing.T) {
	b := newBench(t)
	contentType, body := classic(t, "rsa2048", pkcs1, "")
	_, id, err := wire.ParseClassicAnswer(b.do(t, "POST", "SigningRequests", body, contentType).Body.Bytes())
	must(t, err)
	// Its outcome joins the next group commit: who asks at once waits for it.
	w := b.do(t, "GET", "SigningRequests/"+id, nil)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"isFastSigningRequest":true`) || !strings.Contains(w.Body.String(), `"status":"Completed"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := b.do(t, "GET", "SigningRequests/"+id+"/SignedArtifact", nil); w.Code != 400 || !strings.Contains(w.Body.String(), "fast signing request") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, act := range []string{"Cancel", "Approve", "Deny"} {
		if w := b.do(t, "POST", "SigningRequests/"+id+"/"+act, nil); w.Code != 409 || !strings.Contains(problemIn(t, w).Detail, "fast signing request") {
			t.Errorf("%s: %d %s", act, w.Code, w.Body)
		}
	}
}

func TestListOfRequests(t *testing.T) {
	b := newBench(t)
	var want []string
	for i := range 5 {
		fields := slices.Clone(slowForm)
		if i%2 == 1 {
			fields[1] = "SigningPolicySlug=approval"
		}
		want = append(want, b.submitted(t, fields...).SigningRequestID)
		time.Sleep(2 * time.Millisecond) // order by creation
	}
	slices.Reverse(want)
	list := func(query string) (ids []string, next string) {
		t.Helper()
		w := b.do(t, "GET", "SigningRequests?"+query, nil)
		var l wire.SigningRequestList
		if err := json.Unmarshal(w.Body.Bytes(), &l); err != nil || w.Code != 200 {
			t.Fatalf("%s: %d %s", query, w.Code, w.Body)
		}
		for _, r := range l.Items {
			ids = append(ids, r.SigningRequestID)
		}
		return ids, l.NextCursor
	}
	var all []string
	for cursor := ""; ; {
		page, next := list("limit=2&cursor=" + cursor)
		all = append(all, page...)
		if cursor = next; next == "" {
			break
		}
	}
	if !slices.Equal(all, want) {
		t.Errorf("pages: %v, want %v", all, want)
	}
	for query, n := range map[string]int{
		"": 5, "STATUS=waitingforapproval": 2, "status=InProgress": 3, "projectslug=HASH-signing": 5, "projectSlug=nowhere": 0,
		"projectSlug=hash-signing&signingPolicySlug=approval": 2, "projectSlug=hash-signing&signingPolicySlug=x": 0, "signingPolicyId=" + b.policies["rsa2048"].ID: 3,
		"submitterId=" + b.other.ID: 0, "from=2100-01-01T00:00:00Z": 0, "to=2100-01-01T00:00:00Z": 5,
	} {
		if ids, _ := list(query); len(ids) != n {
			t.Errorf("%s: %d, want %d", query, len(ids), n)
		}
	}
	for _, query := range []string{"limit=0", "limit=201", "limit=x", "cursor=x", "cursor=%FF", "status=x", "from=x", "signingPolicySlug=rsa2048", "submitterId=x", "other=1", "status=Denied&Status=Denied", "%zz"} {
		if w := b.do(t, "GET", "SigningRequests?"+query, nil); w.Code != 400 {
			t.Errorf("%s: %d", query, w.Code)
		}
	}
}

// A submission that is sent again with the same Idempotency-Key makes one request.
func TestIdempotentSubmission(t *testing.T) {
	b := newBench(t)
	var ids []string
	for range 3 {
		contentType, body := slow(t, slowForm...)
		w := b.do(t, "POST", "SigningRequests/SubmitWithArtifact", body, contentType, "Idempotency-Key: one")
		var a wire.SubmitAnswer
		must(t, json.Unmarshal(w.Body.Bytes(), &a))
		ids = append(ids, a.SigningRequestID)
	}
	if len(slices.Compact(ids)) != 1 {
		t.Error(ids)
	}
	contentType, body := slow(t, append(slices.Clone(slowForm), "Description=other")...)
	if w := b.do(t, "POST", "SigningRequests/SubmitWithArtifact", body, contentType, "Idempotency-Key: one"); w.Code != 409 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestArtifactLinks(t *testing.T) {
	b := newBench(t)
	other := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	sum := sha256.Sum256([]byte(hashDocument))
	good := hex.EncodeToString(sum[:])
	for _, c := range []struct {
		name, url, token, hash string
		status                 int
		says                   string
	}{
		{"good", b.artifact.URL + "/payload.json", "s3cret-of-the-link", good, 201, ""},
		{"without its header", b.artifact.URL + "/payload.json", "x", good, 400, "status 401"},
		{"another digest", b.artifact.URL + "/payload.json", "s3cret-of-the-link", strings.Repeat("0", 64), 400, "was announced"},
		{"redirect", b.artifact.URL + "/redirect", "s3cret-of-the-link", good, 400, "status 302"},
		{"another host", other.URL + "/payload.json", "s3cret-of-the-link", good, 400, "does not fetch artifacts from"},
		{"no TLS", "http" + strings.TrimPrefix(b.artifact.URL, "https"), "s3cret-of-the-link", good, 400, "https://"},
		{"a user", strings.Replace(b.artifact.URL, "https://", "https://u:p@", 1), "s3cret-of-the-link", good, 400, "without a user"},
	} {
		contentType, body := slow(t, "ProjectSlug=hash-signing", "SigningPolicySlug=rsa2048", "ArtifactRetrievalLink.Url="+c.url, "ArtifactRetrievalLink.FileName=payload.json",
			"ArtifactRetrievalLink.Sha256Hash="+c.hash, "ArtifactRetrievalLink.HttpHeaders[0].Key=Private-Token", "ArtifactRetrievalLink.HttpHeaders[0].Value="+c.token)
		w := b.do(t, "POST", "SigningRequests/SubmitWithArtifactRetrievalLink", body, contentType)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
	}
	if strings.Contains(b.log.String(), "s3cret") {
		t.Error("the log has a header of a link in it")
	}
}

func TestRateLimits(t *testing.T) {
	b := newBench(t)
	b.limits = Limits{Requests: limits.NewLimiter(limits.Rate{PerSecond: 0.001, Burst: 3}), Failures: limits.NewLimiter(limits.Rate{PerSecond: 0.001, Burst: 2})}
	b.handler = New(Config{Signing: b.service, Logger: slog.New(slog.NewJSONHandler(b.log, nil)), Limits: b.limits})
	for i, want := range []int{200, 200, 200, 429, 429} {
		w := b.do(t, "GET", "Cryptoki/MySigningPolicies", nil)
		if w.Code != want || (want == 429) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("%d: %d, Retry-After %q", i, w.Code, w.Header().Get("Retry-After"))
		}
	}
	if w := b.do(t, "GET", "Cryptoki/MySigningPolicies", nil, "Authorization: Bearer "+b.otherToken.Reveal()); w.Code != 200 {
		t.Errorf("another token: %d", w.Code)
	}
	before := strings.Count(b.log.String(), "\n")
	for i := range 40 {
		w := b.do(t, "GET", "Cryptoki/MySigningPolicies", nil, "Authorization: Bearer wrong")
		if want := map[bool]int{true: 401, false: 429}[i < 2]; w.Code != want || want == 429 && w.Header().Get("Retry-After") == "" {
			t.Fatalf("%d: %d", i, w.Code)
		}
	}
	if n := strings.Count(b.log.String(), "\n") - before; n > 10 {
		t.Errorf("%d lines for a flood of 40", n)
	}
	if w := b.do(t, "GET", "Cryptoki/MySigningPolicies", nil, "Authorization: Bearer "+b.otherToken.Reveal()); w.Code != 200 {
		t.Errorf("a valid token from the same address: %d", w.Code)
	}
}

// newRequest keeps a request of the column's user in a step.
func (w *accessWorld) newRequest(workflow model.RequestWorkflow) string {
	now := time.Now().UTC().Truncate(time.Millisecond)
	policy := w.policies["rsa2048"]
	user := w.users[colSubmitter]
	configuration, _ := w.service.Snapshot().ArtifactConfiguration(policy.ProjectID, "initial")
	r := model.SigningRequest{
		ID: uuid.NewString(), OrganizationID: w.org, ProjectID: policy.ProjectID, SigningPolicyID: policy.ID, ArtifactConfigurationID: configuration.ID,
		SubmitterID: user.ID, Workflow: workflow, Artifact: []byte(hashDocument), BuildSettings: []byte("x"), Created: now, Changed: now,
	}
	if workflow == model.WorkflowCompleted {
		r.Result, r.Certificate = []byte(hashDocument), []byte{0x30, 0x00}
	}
	must(w.t, w.admin.Store.Write(w.t.Context(), func(tx store.Tx) error { return tx.PutSigningRequest(r) }))
	return r.ID
}

func requestCall(workflow model.RequestWorkflow, path, body string) func(*accessWorld) (string, string, string) {
	return func(w *accessWorld) (string, string, string) {
		return "SigningRequests/" + w.newRequest(workflow) + path, jsonType, body
	}
}

// requestAccessRows are the rows of signing requests.
func requestAccessRows() []accessRow {
	const all, one = "/Api/v1/{organizationId}/SigningRequests", "/Api/v1/{organizationId}/SigningRequests/{signingRequestId}"
	readers := append(slices.Clone(artifacts), colGR, colReader, colSubmitter, colGroup, colApprover)
	const target = `"projectSlug":"hash-signing","signingPolicySlug":"rsa2048"`
	return []accessRow{
		{method: "GET", pattern: all, allowed: everyone, status: 200, call: get("SigningRequests")},
		{method: "POST", pattern: all + "/SubmitWithoutArtifact", allowed: submitters, status: 201, call: post("SigningRequests/SubmitWithoutArtifact", `{`+target+`}`)},
		{method: "POST", pattern: all + "/SubmitWithArtifactRetrievalLink", allowed: submitters, status: 201, call: func(w *accessWorld) (string, string, string) {
			return "SigningRequests/SubmitWithArtifactRetrievalLink", jsonType, `{` + target + `,"artifactRetrievalLink":{"url":"` + w.artifact.URL + `/a","httpHeaders":[{"key":"Private-Token","value":"s3cret-of-the-link"}]}}`
		}},
		{method: "POST", pattern: all + "/Resubmit", allowed: submitters, status: 201, call: func(w *accessWorld) (string, string, string) {
			return "SigningRequests/Resubmit", jsonType, `{"originalSigningRequestId":"` + w.newRequest(model.WorkflowCompleted) + `","signingPolicySlug":"rsa2048"}`
		}},
		{method: "GET", pattern: one, allowed: everyone, status: 200, call: requestCall(model.WorkflowCompleted, "", "")},
		{method: "GET", pattern: one + "/Status", allowed: everyone, status: 200, call: requestCall(model.WorkflowCompleted, "/Status", "")},
		{method: "GET", pattern: one + "/SignedArtifact", allowed: readers, status: 200, call: requestCall(model.WorkflowCompleted, "/SignedArtifact", "")},
		{method: "GET", pattern: one + "/UnsignedArtifact", allowed: readers, status: 200, call: requestCall(model.WorkflowCompleted, "/UnsignedArtifact", "")},
		{method: "GET", pattern: one + "/BuildSettingsFile", allowed: readers, status: 200, call: requestCall(model.WorkflowCompleted, "/BuildSettingsFile", "")},
		{method: "POST", pattern: one + "/UploadUnsignedArtifact", allowed: []int{colSubmitter}, status: 202, call: requestCall(model.WorkflowWaitingForArtifactUpload, "/UploadUnsignedArtifact", hashDocument)},
		{method: "POST", pattern: one + "/Cancel", allowed: append(slices.Clone(projects), colSubmitter), status: 204, call: requestCall(model.WorkflowQueuedForProcessing, "/Cancel", "")},
		{method: "POST", pattern: one + "/Approve", allowed: []int{colApprover}, status: 204, call: requestCall(model.WorkflowWaitingForApproval, "/Approve", `{"reason":"x"}`)},
		{method: "POST", pattern: one + "/Deny", allowed: []int{colApprover}, status: 204, call: requestCall(model.WorkflowWaitingForApproval, "/Deny", "")},
	}
}

// tryRequests tries the routes of signing requests against the document.
func tryRequests(t *testing.T, b *bench, c *contract) {
	t.Helper()
	send := func(path string, want int, fields ...string) *httptest.ResponseRecorder {
		t.Helper()
		contentType, body := slow(t, fields...)
		return c.check(t, b, b.request(t, "POST", path, body, contentType), want)
	}
	sendJSON := func(path, body string, want int) *httptest.ResponseRecorder {
		t.Helper()
		return c.check(t, b, b.request(t, "POST", path, strings.NewReader(body), "Content-Type: application/json"), want)
	}
	read := func(path string, want int) *httptest.ResponseRecorder {
		t.Helper()
		return c.check(t, b, b.request(t, "GET", path, nil), want)
	}
	id := func(w *httptest.ResponseRecorder) string {
		t.Helper()
		var a wire.SubmitAnswer
		must(t, json.Unmarshal(w.Body.Bytes(), &a))
		return a.SigningRequestID
	}
	completed := id(send("SigningRequests", 201, append(slices.Clone(slowForm), "IsFastSigningRequest=false", "@Origin.BuildData.BuildSettingsFile=x")...))
	byID := id(send("SigningRequests/SubmitWithArtifact", 201, "SigningPolicyId="+b.policies["approval"].ID, "@Artifact="+hashDocument))
	send("SigningRequests/SubmitWithArtifact", 400, append(slices.Clone(slowForm), "SigningPolicyId="+b.policies["approval"].ID)...) // mixed
	send("SigningRequests/SubmitWithArtifact", 400, "SigningPolicyId=x", "@Artifact="+hashDocument)
	b.work(t)
	read("SigningRequests?limit=1", 200)
	read("SigningRequests?limit=x", 400)
	read("SigningRequests/"+completed, 200)
	read("SigningRequests/"+completed+"/Status", 200)
	read("SigningRequests/"+completed+"/SignedArtifact", 200)
	read("SigningRequests/"+completed+"/UnsignedArtifact", 200)
	read("SigningRequests/"+completed+"/BuildSettingsFile", 200)
	read("SigningRequests/"+byID+"/BuildSettingsFile", 404)
	read("SigningRequests/"+byID+"/SignedArtifact", 400)
	read("SigningRequests/11111111-1111-4111-8111-111111111111", 403)

	sum := sha256.Sum256([]byte(hashDocument))
	later := id(sendJSON("SigningRequests/SubmitWithoutArtifact", `{"projectSlug":"hash-signing","signingPolicySlug":"rsa2048","parameters":{"a":"b"},"origin":{"repositoryData":{"url":"u"}},"unsignedArtifactMetadata":{"fileName":"payload.json","sha256Hash":"`+hex.EncodeToString(sum[:])+`"}}`, 201))
	send("SigningRequests/SubmitWithoutArtifact", 201, "ProjectSlug=hash-signing", "SigningPolicySlug=rsa2048", "UnsignedArtifactMetadata.FileName=a")
	upload := "SigningRequests/" + later + "/UploadUnsignedArtifact"
	c.check(t, b, b.request(t, "POST", upload, strings.NewReader("{}"), "Content-Type: application/octet-stream"), 400)
	c.check(t, b, b.request(t, "POST", upload, strings.NewReader(hashDocument), "Content-Type: multipart/form-data; boundary=x"), 415)
	c.check(t, b, b.request(t, "POST", upload, strings.NewReader(hashDocument), "Content-Type: application/octet-stream"), 202)
	c.check(t, b, b.request(t, "POST", upload, strings.NewReader(hashDocument), "Content-Type: application/octet-stream"), 409)

	link := func(address string) string {
		return `{"projectSlug":"hash-signing","signingPolicySlug":"rsa2048","artifactRetrievalLink":{"url":"` + address + `/payload.json","httpHeaders":[{"key":"Private-Token","value":"s3cret-of-the-link"}]}}`
	}
	sendJSON("SigningRequests/SubmitWithArtifactRetrievalLink", link(b.artifact.URL), 201)
	sendJSON("SigningRequests/SubmitWithArtifactRetrievalLink", link("https://127.0.0.1:1"), 400)

	again := id(sendJSON("SigningRequests/Resubmit", `{"originalSigningRequestId":"`+completed+`","signingPolicySlug":"approval"}`, 201))
	send("SigningRequests/Resubmit", 201, "OriginalSigningRequestId="+completed, "SigningPolicyId="+b.policies["rsa2048"].ID, "Description=d")
	sendJSON("SigningRequests/Resubmit", `{"originalSigningRequestId":"`+again+`","signingPolicySlug":"approval"}`, 409)
	sendJSON("SigningRequests/Resubmit", `{"signingPolicySlug":"approval"}`, 400)
	read("SigningRequests/"+again, 200)

	// The submitter is no approver, and could not approve if it were.
	sendJSON("SigningRequests/"+again+"/Approve", `{}`, 403)
	sendJSON("SigningRequests/"+again+"/Deny", `{"reason":"x"}`, 403)
	b.change(t, func(tx store.Tx) error {
		p := b.policies["approval"]
		p.Approvers = []string{b.other.ID}
		return tx.PutSigningPolicy(p)
	})
	asOther := func(path, body string, want int) {
		t.Helper()
		c.check(t, b, b.request(t, "POST", path, strings.NewReader(body), "Content-Type: application/json", "Authorization: Bearer "+b.otherToken.Reveal()), want)
	}
	asOther("SigningRequests/"+again+"/Approve", `{"reason":"fine"}`, 204)
	asOther("SigningRequests/"+byID+"/Deny", `{"reason":"no"}`, 204)
	b.work(t)
	if s := b.status(t, again); s.Status != "Completed" {
		t.Errorf("%+v", s)
	}
	if s := b.status(t, byID); s.Status != "Denied" {
		t.Errorf("%+v", s)
	}
	read("SigningRequests/"+again, 200)
	one := id(send("SigningRequests", 201, slowForm...))
	c.check(t, b, b.request(t, "POST", "SigningRequests/"+one+"/Cancel", nil), 204)
	c.check(t, b, b.request(t, "POST", "SigningRequests/"+one+"/Cancel", nil), 409)
}

// A cursor is one that this service gave, or it is none.
func FuzzCursor(f *testing.F) {
	f.Add(cursorOf(&model.SigningRequest{ID: "0f8fad5b-d9cb-469f-a165-70867728950e", Created: time.UnixMilli(1_700_000_000_123)}))
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		at, id, ok := readCursor(text)
		if ok && cursorOf(&model.SigningRequest{ID: id, Created: at}) != text { // e.g. "+1" for the number
			if again, againID, ok := readCursor(cursorOf(&model.SigningRequest{ID: id, Created: at})); !ok || againID != id || !again.Equal(at) {
				t.Errorf("%q means %v %s", text, at, id)
			}
		}
	})
}

// When the quota is used up, a request is not taken in that could only fail
// later. Until then, requests that wait do not count.
func TestAsynchronousQuota(t *testing.T) {
	b := newBench(t)
	b.service.Quota = limits.NewQuotas(b.admin.Store)
	b.change(t, func(tx store.Tx) error {
		return tx.PutOrganization(model.Organization{ID: b.org, Name: "Test", Active: true, Created: time.Now(), YearlySignatures: 1, QuotaStart: time.Now().Add(-time.Hour)})
	})
	first, second := b.submitted(t, slowForm...), b.submitted(t, slowForm...)
	b.work(t)
	ends := []string{b.status(t, first.SigningRequestID).Status, b.status(t, second.SigningRequestID).Status}
	if slices.Sort(ends); !slices.Equal(ends, []string{"Completed", "Failed"}) {
		t.Errorf("%v; there was one signature for the two", ends)
	}
	contentType, body := slow(t, slowForm...)
	if w := b.do(t, "POST", "SigningRequests/SubmitWithArtifact", body, contentType); w.Code != 403 || !strings.Contains(problemIn(t, w).Detail, "1 signatures") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
