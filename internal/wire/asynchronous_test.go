package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

const (
	anID    = "0F8FAD5B-D9CB-469F-A165-70867728950E"
	anIDlow = "0f8fad5b-d9cb-469f-a165-70867728950e"
)

var digest = strings.Repeat("ab", 32)

// submissionOf reads a form of a route.
func submissionOf(route Route, contentType, body string) (*Submission, error) {
	if route == SubmitWithArtifact && strings.HasPrefix(contentType, "multipart/") {
		return ReadSubmission(contentType, strings.NewReader(body))
	}
	return ReadAsynchronous(route, contentType, strings.NewReader(body))
}

const formType = "multipart/form-data; boundary=" + boundary

// What the documentation and public clients send, in both encodings.
func TestReadAsynchronous(t *testing.T) {
	file := func(name, fileName, content string) string {
		return "Content-Disposition: form-data; name=\"" + name + "\"; filename=\"" + fileName + "\"\r\n\r\n" + content
	}
	for _, c := range []struct {
		name, contentType, body string
		route                   Route
		want                    string // JSON of the submission
	}{
		{"with artifact", formType, form("projectSlug=p", "signingPolicySlug=s", file("Artifact", `C:\build\payload.json`, "{}"), "Description=d", "parameters.Version=1", "Parameters.b=", "cancellationTimeoutInSeconds=60"), SubmitWithArtifact,
			`{"ProjectSlug":"p","SigningPolicySlug":"s","Description":"d","Artifact":"e30=","Asynchronous":{"CancellationTimeout":60000000000,"Parameters":[{"Name":"Version","Value":"1"},{"Name":"b","Value":""}],"ArtifactName":"payload.json"}}`},
		{"flag off", formType, form("ProjectSlug=p", "SigningPolicySlug=s", "IsFastSigningRequest=False", "Artifact={}"), SubmitWithArtifact,
			`{"ProjectSlug":"p","SigningPolicySlug":"s","Artifact":"e30=","Asynchronous":{}}`},
		{"ids", formType, form("SigningPolicyId="+anID, "ArtifactConfigurationId="+anID, "Artifact={}"), SubmitWithArtifact,
			`{"Artifact":"e30=","Asynchronous":{"SigningPolicyID":"` + anIDlow + `","ArtifactConfigurationID":"` + anIDlow + `"}}`},
		{"origin", formType, form("ProjectSlug=p", "SigningPolicySlug=s", "Artifact={}", "origin.repositoryData.url=u", "Origin.RepositoryData.BranchName=b", "Origin.RepositoryData.CommitId=c", "Origin.RepositoryData.SourceControlManagementType=git",
			"Origin.BuildData.Url=v", file("Origin.BuildData.BuildSettingsFile", "../ci.yml", "x")), SubmitWithArtifact,
			`{"ProjectSlug":"p","SigningPolicySlug":"s","Artifact":"e30=","Asynchronous":{"BuildSettings":"eA==","Origin":{"buildData":{"url":"v","buildSettingsFile":{"fileName":"ci.yml"}},"repositoryData":{"url":"u","branchName":"b","commitId":"c","sourceControlManagementType":"git"}}}}`},
		{"without artifact", formType, form("ProjectSlug=p", "SigningPolicySlug=s", "unsignedArtifactMetadata.fileName=a.json", "unsignedArtifactMetadata.sha256Hash="+strings.ToUpper(digest)), SubmitWithoutArtifact,
			`{"ProjectSlug":"p","SigningPolicySlug":"s","Asynchronous":{"ArtifactName":"a.json","ArtifactSHA256":"` + digest + `"}}`},
		{"without artifact, JSON", "application/json", `{"projectSlug":"p","SigningPolicySlug":"s","artifactConfigurationSlug":null,"cancellationTimeoutInSeconds":5,"parameters":{"a.b":"c"},"origin":{"buildData":{"url":"v"},"repositoryData":null},
			"unsignedArtifactMetadata":{"sha256Hash":"q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s="},"somethingNew":{"a":[1,{"b":true}]}}`, SubmitWithoutArtifact,
			`{"ProjectSlug":"p","SigningPolicySlug":"s","Asynchronous":{"CancellationTimeout":5000000000,"Parameters":[{"Name":"a.b","Value":"c"}],"Origin":{"buildData":{"url":"v"}},"ArtifactSHA256":"` + digest + `"}}`},
		{"resubmit", formType, form("originalSigningRequestId="+anID, "signingPolicySlug=s", "description=d"), Resubmit,
			`{"SigningPolicySlug":"s","Description":"d","Asynchronous":{"OriginalSigningRequestID":"` + anIDlow + `"}}`},
		{"resubmit, JSON", "application/json; charset=utf-8", `{"originalSigningRequestId":"` + anID + `","signingPolicySlug":"s"}`, Resubmit,
			`{"SigningPolicySlug":"s","Asynchronous":{"OriginalSigningRequestID":"` + anIDlow + `"}}`},
	} {
		got, err := submissionOf(c.route, c.contentType, c.body)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var want Submission
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(c.name, err)
		}
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(want)
		if string(g) != string(w) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, g, w)
		}
	}
}

func TestArtifactLink(t *testing.T) {
	for name, c := range map[string]struct{ contentType, body string }{
		"form": {formType, form("ProjectSlug=p", "SigningPolicySlug=s", "ArtifactRetrievalLink.Url=https://h/x?y", "ArtifactRetrievalLink.FileName=a", "ArtifactRetrievalLink.Sha256Hash="+digest,
			"artifactRetrievalLink.httpHeaders[0].key=Authorization", "ArtifactRetrievalLink.HttpHeaders[0].Value=Bearer x", "ArtifactRetrievalLink.HttpHeaders[1].Key=B", "ArtifactRetrievalLink.HttpHeaders[1].Value=")},
		"JSON": {"application/json", `{"projectSlug":"p","signingPolicySlug":"s","artifactRetrievalLink":{"url":"https://h/x?y","fileName":"a","sha256Hash":"` + digest + `","httpHeaders":[{"key":"Authorization","value":"Bearer x"},{"key":"B","value":""}]}}`},
	} {
		s, err := submissionOf(SubmitWithLink, c.contentType, c.body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		a := s.Asynchronous
		if a.Link.URL.String() != "https://h/x?y" || fmt.Sprint(a.Link.Headers) != "[{Authorization Bearer x} {B }]" || a.ArtifactName != "a" || a.ArtifactSHA256 != digest {
			t.Errorf("%s: %+v %+v", name, a, a.Link)
		}
	}
}

func TestReadAsynchronousRefusals(t *testing.T) {
	base := []string{"ProjectSlug=p", "SigningPolicySlug=s"}
	plus := func(parts ...string) string { return form(append(append([]string{}, base...), parts...)...) }
	for _, c := range []struct {
		name, contentType, body string
		route                   Route
		field, says             string
	}{
		{"no artifact", formType, plus(), SubmitWithArtifact, "Artifact", "missing"},
		{"mixed", formType, plus("Artifact={}", "SigningPolicyId="+anID), SubmitWithArtifact, "SigningPolicyId", "not be mixed"},
		{"an ID that is none", formType, form("Artifact={}", "SigningPolicyId=x"), SubmitWithArtifact, "SigningPolicyId", "not a UUID"},
		{"the empty ID", formType, form("Artifact={}", "SigningPolicyId=00000000-0000-0000-0000-000000000000"), SubmitWithArtifact, "SigningPolicyId", "not a UUID"},
		{"no policy", formType, form("Artifact={}", "ArtifactConfigurationId="+anID), SubmitWithArtifact, "SigningPolicyId", "missing"},
		{"no slugs", formType, form("Artifact={}"), SubmitWithArtifact, "ProjectSlug", "missing"},
		{"time-out 0", formType, plus("Artifact={}", "CancellationTimeoutInSeconds=0"), SubmitWithArtifact, "CancellationTimeoutInSeconds", "from 1 to"},
		{"time-out too long", formType, plus("Artifact={}", "CancellationTimeoutInSeconds=2678401"), SubmitWithArtifact, "CancellationTimeoutInSeconds", "from 1 to"},
		{"time-out of words", formType, plus("Artifact={}", "CancellationTimeoutInSeconds=1h"), SubmitWithArtifact, "CancellationTimeoutInSeconds", "from 1 to"},
		{"parameter twice", formType, plus("Artifact={}", "Parameters.a=1", "parameters.A=2"), SubmitWithArtifact, "parameters.A", "more than once"},
		{"parameter without name", formType, plus("Artifact={}", "Parameters.=1"), SubmitWithArtifact, "Parameters.", "no such field"},
		{"parameter with a long name", formType, plus("Artifact={}", "Parameters."+strings.Repeat("x", 101)+"=1"), SubmitWithArtifact, "Parameters." + strings.Repeat("x", 69) + "…", "at most 100"},
		{"NUL", formType, plus("Artifact={}", "Description=a\x00"), SubmitWithArtifact, "Description", "NUL"},
		{"artifact where none belongs", formType, plus("Artifact={}"), SubmitWithoutArtifact, "Artifact", "no such field"},
		{"digest", formType, plus("UnsignedArtifactMetadata.Sha256Hash=abc"), SubmitWithoutArtifact, "UnsignedArtifactMetadata.Sha256Hash", "SHA-256"},
		{"fast without artifact", formType, plus("IsFastSigningRequest=true"), SubmitWithoutArtifact, "IsFastSigningRequest", "SignHash"},
		{"no link", formType, plus(), SubmitWithLink, "ArtifactRetrievalLink.Url", "https://"},
		{"link without TLS", formType, plus("ArtifactRetrievalLink.Url=http://h/"), SubmitWithLink, "ArtifactRetrievalLink.Url", "https://"},
		{"link with a user", formType, plus("ArtifactRetrievalLink.Url=https://u@h/"), SubmitWithLink, "ArtifactRetrievalLink.Url", "user"},
		{"header that is none", formType, plus("ArtifactRetrievalLink.Url=https://h/", "ArtifactRetrievalLink.HttpHeaders[0].Key=a b"), SubmitWithLink, "ArtifactRetrievalLink.HttpHeaders[0].Key", "not an HTTP header"},
		{"header with a line break", formType, plus("ArtifactRetrievalLink.Url=https://h/", "ArtifactRetrievalLink.HttpHeaders[0].Key=a", "ArtifactRetrievalLink.HttpHeaders[0].Value=b\r\nc: d"), SubmitWithLink, "ArtifactRetrievalLink.HttpHeaders[0].Key", "not an HTTP header"},
		{"nothing to repeat", formType, form("SigningPolicySlug=s"), Resubmit, "OriginalSigningRequestId", "missing"},
		{"repeat without policy", formType, form("OriginalSigningRequestId=" + anID), Resubmit, "SigningPolicySlug", "missing"},
		{"repeat with parameters", formType, form("OriginalSigningRequestId="+anID, "SigningPolicySlug=s", "Parameters.a=b"), Resubmit, "Parameters.a", "no such field"},
		{"JSON array", "application/json", `[]`, Resubmit, "", "not a JSON object"},
		{"JSON null", "application/json", `null`, Resubmit, "", "not a JSON object"},
		{"JSON cut", "application/json", `{"a":`, Resubmit, "", "ends too early"},
		{"JSON twice", "application/json", `{"originalSigningRequestId":"` + anID + `","OriginalSigningRequestId":"` + anID + `","signingPolicySlug":"s"}`, Resubmit, "OriginalSigningRequestId", "more than once"},
		{"JSON, too many", "application/json", `{"parameters":{` + strings.TrimSuffix(manyMembers(100), ",") + `}}`, SubmitWithoutArtifact, "", "more than 64"},
	} {
		_, err := submissionOf(c.route, c.contentType, c.body)
		var fields FieldErrors
		if !errors.As(err, &fields) || !strings.Contains(strings.Join(fields[c.field], " "), c.says) {
			t.Errorf("%s: %v, want %q under %q", c.name, err, c.says, c.field)
		}
	}
	if _, err := ReadAsynchronous(Resubmit, "text/plain", strings.NewReader("x")); !errors.Is(err, ErrMediaType) {
		t.Errorf("another media type: %v", err)
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"p%d":"x",`, i)
	}
	return b.String()
}

func TestFileName(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "a.exe": "a.exe", "/etc/passwd": "passwd", `C:\x\y.exe`: "y.exe", "..": "", ".": "", "a/..": "", "a\r\nb": "ab", `a"b`: "ab", "ä.exe": "ä.exe", "\xff": "", strings.Repeat("x", 300): strings.Repeat("x", 255),
	} {
		if got := fileName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzReadAsynchronous(f *testing.F) {
	f.Add(uint8(1), true, form("ProjectSlug=p", "SigningPolicySlug=s", "Artifact={}", "Parameters.a=b"))
	f.Add(uint8(1), false, `{"projectSlug":"p","signingPolicySlug":"s","unsignedArtifactMetadata":{"sha256Hash":"`+digest+`"}}`)
	f.Add(uint8(2), false, `{"artifactRetrievalLink":{"url":"https://h/","httpHeaders":[{"key":"a","value":"b"}]},"projectSlug":"p","signingPolicySlug":"s"}`)
	f.Add(uint8(3), true, form("OriginalSigningRequestId="+anID, "SigningPolicySlug=s"))
	f.Fuzz(func(t *testing.T, n uint8, multi bool, body string) {
		route := []Route{SubmitWithArtifact, SubmitWithoutArtifact, SubmitWithLink, Resubmit}[n%4]
		contentType := "application/json"
		if multi {
			contentType = formType
		}
		s, err := submissionOf(route, contentType, body)
		if err != nil {
			var fields FieldErrors
			if !errors.As(err, &fields) || len(fields) == 0 {
				t.Fatalf("an error without a cause: %v", err)
			}
			return
		}
		a := s.Asynchronous
		if a == nil { // a fast one
			return
		}
		for _, id := range []string{a.SigningPolicyID, a.ArtifactConfigurationID, a.OriginalSigningRequestID} {
			if id != "" && !IsUUID(id) {
				t.Errorf("ID %q", id)
			}
		}
		if strings.ContainsAny(a.ArtifactName, "/\\\"\r\n\x00") || a.CancellationTimeout < 0 || a.CancellationTimeout > maxTimeout || a.CancellationTimeout%time.Second != 0 {
			t.Errorf("%+v", a)
		}
		if (route == SubmitWithLink) != (a.Link != nil) || a.Link != nil && a.Link.URL.Scheme != "https" {
			t.Errorf("link %+v", a.Link)
		}
	})
}
