package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

const boundary = "b0undary"

// form writes a multipart body from "name=value" lines; a line that begins with
// a header ("Content-…") is a whole part of its own.
func form(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("--" + boundary + "\r\n")
		if strings.HasPrefix(p, "Content-") {
			b.WriteString(p + "\r\n")
			continue
		}
		name, v, _ := strings.Cut(p, "=")
		fmt.Fprintf(&b, "Content-Disposition: form-data; name=%q\r\n\r\n%s\r\n", name, v)
	}
	return b.String() + "--" + boundary + "--\r\n"
}

var goodForm = []string{"ProjectSlug=p", "SigningPolicySlug=s", "IsFastSigningRequest=true", "Artifact={}"}

func with(parts ...string) string { return form(append(append([]string{}, goodForm...), parts...)...) }

func TestReadSubmission(t *testing.T) {
	want := Submission{ProjectSlug: "p", SigningPolicySlug: "s", Artifact: []byte("{}")}
	full := want
	full.ArtifactConfigurationSlug, full.Description = "a", "Grüße\r\n2"
	for _, c := range []struct {
		name, body string
		want       Submission
	}{
		{"documented fields", form(goodForm...), want},
		{"any order", form("Artifact={}", "IsFastSigningRequest=true", "SigningPolicySlug=s", "ProjectSlug=p"), want},
		{"names in another case", form("projectSlug=p", "signingpolicyslug=s", "isFastSigningRequest=True", "ARTIFACT={}"), want},
		{"optional fields", with("ArtifactConfigurationSlug=a", "Description=Grüße\r\n2"), full},
		{"empty optional fields", with("ArtifactConfigurationSlug=", "Description="), want},
		{"file name and type", form("ProjectSlug=p", "SigningPolicySlug=s", "IsFastSigningRequest=true",
			"Content-Disposition: form-data; name=\"Artifact\"; filename=\"payload.json\"\r\nContent-Type: application/json\r\n\r\n{}"), want},
		{"other file name, no type", form("ProjectSlug=p", "SigningPolicySlug=s", "IsFastSigningRequest=true",
			"Content-Disposition: form-data; name=\"Artifact\"; filename=\"../x.bin\"\r\n\r\n{}"), want},
		{".NET spelling", form(
			"Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=ProjectSlug\r\n\r\np",
			"Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=SigningPolicySlug\r\n\r\ns",
			"Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=IsFastSigningRequest\r\n\r\ntrue",
			"Content-Disposition: form-data; name=Artifact; filename=payload.json; filename*=utf-8''payload.json\r\n\r\n{}"), want},
		{"Apache spelling", form("ProjectSlug=p", "SigningPolicySlug=s",
			"Content-Disposition: form-data; name=\"IsFastSigningRequest\"\r\nContent-Type: text/plain; charset=ISO-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\ntrue",
			"Content-Disposition: form-data; name=\"Artifact\"; filename=\"payload.json\"\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n{}"), want},
		{"preamble and epilogue", "preamble\r\n" + form(goodForm...) + "epilogue", want},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.body), iotest.OneByteReader(strings.NewReader(c.body))} {
			got, err := ReadSubmission("multipart/form-data; boundary="+boundary, r)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			if fmt.Sprintf("%+v", *got) != fmt.Sprintf("%+v", c.want) {
				t.Errorf("%s: %+v, want %+v", c.name, *got, c.want)
			}
		}
	}
}

func TestReadSubmissionRefusals(t *testing.T) {
	good := form(goodForm...)
	for _, c := range []struct {
		name, body, field, says string
	}{
		{"empty", "", "", "ends before its closing boundary"},
		{"no multipart", "ProjectSlug=p", "", "ends before its closing boundary"},
		{"no closing boundary", strings.TrimSuffix(good, "--\r\n"), "", "ends before its closing boundary"},
		{"cut in the artifact", good[:strings.Index(good, "{}")+1], "", "ends before its closing boundary"},
		{"cut in a header", good[:strings.LastIndex(good, "form-data")], "", "ends before its closing boundary"},
		{"cut in the header of a part that nobody needs", with("Description=x")[:len(with())-len("--b0undary--\r\n")+len("--b0undary\r\nContent-Disposition: ")], "", "ends before its closing boundary"},
		{"a part without name", form("Content-Disposition: form-data\r\n\r\nx"), "", "has no name"},
		{"a part that is no field", form("Content-Disposition: attachment; name=\"ProjectSlug\"\r\n\r\nx"), "", "has no name"},
		{"base64", with("Content-Disposition: form-data; name=\"Description\"\r\nContent-Transfer-Encoding: base64\r\n\r\neA=="), "", "transfer encoding"},
		{"quoted-printable", with("Content-Disposition: form-data; name=\"Description\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=41"), "", "transfer encoding"},
		{"too many parts", with(make([]string, maxFormParts)...), "", "has no name"},
		{"too many fields", with(strings.Split(strings.Repeat("x=1,", maxFormParts), ",")[:maxFormParts]...), "", "more than 64 fields"},
		{"an unknown field", with("Colour=red"), "Colour", "no such field"},
		{"a name that is not UTF-8", with("a\xff=1"), "", ""},
		{"twice", with("ProjectSlug=q"), "ProjectSlug", "more than once"},
		{"twice in another case", with("projectslug=p"), "ProjectSlug", "more than once"},
		{"twice, first empty", form("Description=", "Description=x", "ProjectSlug=p", "SigningPolicySlug=s", "IsFastSigningRequest=true", "Artifact={}"), "Description", "more than once"},
		{"two artifacts", with("Artifact={}"), "Artifact", "more than once"},
		{"no artifact", form(goodForm[:3]...), "Artifact", "missing"},
		{"no project", form(goodForm[1:]...), "ProjectSlug", "missing"},
		{"no policy", form(goodForm[0], goodForm[2], goodForm[3]), "SigningPolicySlug", "missing"},
		{"an empty policy", form(goodForm[0], "SigningPolicySlug=", goodForm[2], goodForm[3]), "SigningPolicySlug", "missing"},
		{"text that is not UTF-8", with("Description=\xff"), "Description", "UTF-8"},
		{"a long text", with("Description=" + strings.Repeat("x", maxFormText+1)), "Description", "longer"},
		{"another flag", form("ProjectSlug=p", "SigningPolicySlug=s", "IsFastSigningRequest=yes", "Artifact={}"), "IsFastSigningRequest", "true or false"},
		{"asynchronous fields", with("parameters.version=1"), "parameters.version", "does not go with"},
		{"ids instead of slugs", with("SigningPolicyId=1"), "SigningPolicyId", "does not go with"},
	} {
		_, err := ReadSubmission("multipart/form-data; boundary="+boundary, strings.NewReader(c.body))
		var fields FieldErrors
		if !errors.As(err, &fields) || !strings.Contains(strings.Join(fields[c.field], " "), c.says) {
			t.Errorf("%s: %v, want %q under %q", c.name, err, c.says, c.field)
		}
	}
}

func TestReadSubmissionMediaType(t *testing.T) {
	for _, contentType := range []string{"", "application/json", "application/x-www-form-urlencoded", "multipart/form-data", "multipart/mixed; boundary=x", "multipart/form-data; boundary=", "multipart/form-data; boundary", "\xff"} {
		if _, err := ReadSubmission(contentType, strings.NewReader(form(goodForm...))); !errors.Is(err, ErrMediaType) {
			t.Errorf("%q: %v", contentType, err)
		}
	}
	if _, err := ReadSubmission("Multipart/Form-Data; Boundary=\""+boundary+"\"", strings.NewReader(form(goodForm...))); err != nil {
		t.Error(err)
	}
}

// The errors of the connection and of the size limit come through as they are.
func TestReadSubmissionBodyErrors(t *testing.T) {
	boom := errors.New("boom")
	good := form(goodForm...)
	for _, n := range []int{0, 10, strings.Index(good, "{}") + 1, len(good)} {
		_, err := ReadSubmission("multipart/form-data; boundary="+boundary, io.MultiReader(strings.NewReader(good[:n]), iotest.ErrReader(boom)))
		if !errors.Is(err, boom) {
			t.Errorf("after %d bytes: %v", n, err)
		}
		limited := http.MaxBytesReader(nil, io.NopCloser(strings.NewReader(good+strings.Repeat("x", 100))), int64(n))
		_, err = ReadSubmission("multipart/form-data; boundary="+boundary, limited)
		var tooLarge *http.MaxBytesError
		if !errors.As(err, &tooLarge) {
			t.Errorf("limit of %d bytes: %v", n, err)
		}
	}
}

// The body is read to its end, or net/http does not notice a client that hangs up.
func TestReadSubmissionReadsToTheEnd(t *testing.T) {
	r := strings.NewReader(form(goodForm...) + strings.Repeat("x", 10000))
	if _, err := ReadSubmission("multipart/form-data; boundary="+boundary, r); err != nil || r.Len() != 0 {
		t.Errorf("%v, %d bytes left", err, r.Len())
	}
}

func TestWriteClassicForm(t *testing.T) {
	p := NewPayload(HashSigning{Scheme: Scheme{RSAPSS, SHA256}, Digest: make([]byte, 32), Metadata: []byte(`{"a":"<&>"}`)})
	contentType, body, err := WriteClassicForm("p\r\n--x", "s", p)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ReadSubmission(contentType, bytes.NewReader(body))
	if err != nil || s.ProjectSlug != "p\r\n--x" || s.SigningPolicySlug != "s" {
		t.Fatalf("%+v, %v", s, err)
	}
	if h, err := ParsePayload(s.Artifact); err != nil || h.Scheme != (Scheme{RSAPSS, SHA256}) {
		t.Fatalf("%+v, %v", h, err)
	}
	_, params, _ := mime.ParseMediaType(contentType)
	r := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	var order []string
	for {
		part, err := r.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		order = append(order, part.FormName()+"|"+part.FileName()+"|"+part.Header.Get("Content-Type"))
	}
	want := "ProjectSlug||,SigningPolicySlug||,IsFastSigningRequest||,Artifact|payload.json|application/json"
	if got := strings.Join(order, ","); got != want {
		t.Errorf("parts %s, want %s", got, want)
	}
}

func FuzzReadSubmission(f *testing.F) {
	f.Add(form(goodForm...))
	f.Add(with("Description=x", "Colour=red"))
	f.Add("--b0undary\r\nContent-Disposition: form-data; name=a\r\n\r\n")
	f.Fuzz(func(t *testing.T, body string) {
		s, err := ReadSubmission("multipart/form-data; boundary="+boundary, strings.NewReader(body))
		var fields FieldErrors
		switch {
		case err == nil && (s.ProjectSlug == "" || s.SigningPolicySlug == "" || s.Artifact == nil):
			t.Fatalf("accepted %+v", s)
		case err != nil && !errors.As(err, &fields):
			t.Fatalf("error of another kind: %v", err)
		}
	})
}
