package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strings"
	"unicode/utf8"
)

// Submission is a multipart signing request (POST SigningRequests and
// SigningRequests/SubmitWithArtifact) as it came in: the form is checked, the
// artifact is not read yet.
type Submission struct {
	ProjectSlug               string
	SigningPolicySlug         string
	ArtifactConfigurationSlug string // "" asks for the project's default
	Description               string
	Artifact                  []byte // the classic form's payload, see ParsePayload
	// Asynchronous holds what such requests say besides; nil for a fast one,
	// which is answered with its signature.
	Asynchronous *Asynchronous
}

// ErrMediaType is returned by ReadSubmission for a body that is not
// multipart/form-data with a boundary (status 415).
var ErrMediaType = errors.New("the Content-Type is not multipart/form-data with a boundary")

const (
	maxFormParts = 64      // the longest documented form has some twenty fields
	maxFormText  = 1 << 16 // bytes of one text field
)

// The fields of a fast signing request. The table of all fields is in
// asynchronous.go.
const (
	fieldProject       = "ProjectSlug"
	fieldPolicy        = "SigningPolicySlug"
	fieldConfiguration = "ArtifactConfigurationSlug"
	fieldDescription   = "Description"
	fieldFast          = "IsFastSigningRequest"
	fieldArtifact      = "Artifact"
)

// ReadSubmission reads a multipart signing request to the end of body and
// refuses what is not clear: unknown fields, fields given twice, text that is
// not UTF-8, a body that ends early. The artifact may carry any or no file name
// and part type. Errors are ErrMediaType, FieldErrors, or the error of body
// itself, e.g. *http.MaxBytesError.
func ReadSubmission(contentType string, body io.Reader) (*Submission, error) {
	form, err := readForm(contentType, body, SubmitWithArtifact)
	if err != nil {
		return nil, err
	}
	fast := string(form.values[fieldFast])
	switch {
	case strings.EqualFold(fast, "true"):
		return form.fastSubmission()
	case fast != "" && !strings.EqualFold(fast, "false"):
		form.errs.Add(fieldFast, "IsFastSigningRequest must be true or false.")
	}
	return form.asynchronousSubmission(SubmitWithArtifact)
}

// readForm reads a form with the fields of a route.
func readForm(contentType string, body io.Reader, route Route) (*formReader, error) {
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != "multipart/form-data" || params["boundary"] == "" {
		return nil, ErrMediaType
	}
	source := &sourceReader{r: body, closing: []byte("\n--" + params["boundary"] + "--"), tail: []byte("\n")}
	form := &formReader{parts: multipart.NewReader(source, params["boundary"]), route: route, errs: FieldErrors{}, values: map[string][]byte{}, files: map[string]string{}}
	err = form.read()
	if err == nil {
		// Up to the end, so that the server notices when the client hangs up.
		_, err = io.Copy(io.Discard, source)
	}
	if err == nil && !source.closed {
		err = errEndsEarly
	}
	switch {
	case source.err != nil && !errors.Is(source.err, io.ErrUnexpectedEOF):
		return nil, source.err // the connection's or the limit's error, not the form's
	case err != nil:
		return nil, Field("", "The form cannot be read: "+err.Error()+".")
	}
	return form, nil
}

// sourceReader remembers what the multipart reader hides: the error of the
// body, and whether the closing boundary was there (a body that ends inside the
// header of a part looks to it like the regular end).
type sourceReader struct {
	r       io.Reader
	err     error
	closing []byte // line feed and closing boundary
	tail    []byte // the last bytes, shorter than closing
	closed  bool
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if !s.closed {
		s.tail = append(s.tail, p[:n]...)
		s.closed = bytes.Contains(s.tail, s.closing)
		s.tail = s.tail[max(0, len(s.tail)-len(s.closing)+1):]
	}
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

var errEndsEarly = errors.New("it ends before its closing boundary")

type formReader struct {
	parts  *multipart.Reader
	route  Route
	errs   FieldErrors
	values map[string][]byte // by the names of the table of fields
	files  map[string]string // file names, likewise
	others []string          // fields that a fast request must not have, as the client wrote them
	names  []string          // fields with free names, as the client wrote them
}

// read takes the form apart. Its errors end the reading and are no field's fault.
func (f *formReader) read() error {
	for n := 0; ; n++ {
		part, err := f.parts.NextRawPart()
		switch {
		case err == io.EOF: // the closing boundary (see sourceReader); a wrapped EOF is none
			return nil
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return errEndsEarly
		case err != nil:
			return errors.New("it is not well-formed multipart/form-data")
		case n == maxFormParts:
			return fmt.Errorf("it has more than %d fields", maxFormParts)
		}
		name := part.FormName()
		if name == "" {
			return errors.New("a part has no name; give each a Content-Disposition: form-data; name=…")
		}
		if !utf8.ValidString(name) {
			return errors.New("the name of a field is not UTF-8")
		}
		switch encoding := part.Header.Get("Content-Transfer-Encoding"); strings.ToLower(encoding) {
		case "", "7bit", "8bit", "binary":
		default:
			return fmt.Errorf("the field %q has the transfer encoding %q; send it without (RFC 7578 section 4.7)", clip(name), clip(encoding))
		}
		if err := f.field(name, part); err != nil {
			return err
		}
	}
}

func (f *formReader) field(name string, part *multipart.Part) error {
	known, key := fieldNamed(name)
	if known == nil || known.routes&f.route == 0 {
		f.errs.Add(clip(name), "There is no such field in this kind of signing request.")
		_, err := io.Copy(io.Discard, part)
		return endsEarly(err)
	}
	if known.routes&fastRequest == 0 {
		f.others = append(f.others, clip(name))
	}
	limit := int64(maxFormText)
	if known.file {
		limit = 1 << 40 // the body's own limit holds
		f.files[key] = fileName(part.FileName())
	}
	value, err := io.ReadAll(io.LimitReader(part, limit+1))
	if err != nil {
		return endsEarly(err)
	}
	f.put(known, key, name, value, limit)
	return nil
}

// put keeps the value of a field.
func (f *formReader) put(known *formField, key, name string, value []byte, limit int64) {
	label := key
	if known.prefix {
		label = clip(name)
		f.names = append(f.names, name)
	}
	switch {
	case f.values[key] != nil:
		f.errs.Add(label, label+" is given more than once.")
	case known.file:
	case int64(len(value)) > limit:
		f.errs.Add(label, fmt.Sprintf("%s is longer than %d bytes.", label, limit))
	case !utf8.Valid(value):
		f.errs.Add(label, label+" is not UTF-8.")
	case bytes.IndexByte(value, 0) >= 0:
		f.errs.Add(label, label+" has a NUL character in it.")
	}
	f.values[key] = value
}

func endsEarly(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errEndsEarly
	}
	return err
}

func (f *formReader) fastSubmission() (*Submission, error) {
	for _, name := range f.others {
		f.errs.Add(name, "This field does not go with IsFastSigningRequest=true.")
	}
	s := f.common()
	requireSlugs(f.errs, s.ProjectSlug, s.SigningPolicySlug)
	f.requireArtifact(s)
	if len(f.errs) > 0 {
		return nil, f.errs
	}
	return s, nil
}

// common are the fields that every kind of submission has.
func (f *formReader) common() *Submission {
	return &Submission{
		ProjectSlug:               string(f.values[fieldProject]),
		SigningPolicySlug:         string(f.values[fieldPolicy]),
		ArtifactConfigurationSlug: string(f.values[fieldConfiguration]),
		Description:               string(f.values[fieldDescription]),
		Artifact:                  f.values[fieldArtifact],
	}
}

func (f *formReader) requireArtifact(s *Submission) {
	if s.Artifact == nil {
		f.errs.Add(fieldArtifact, "Artifact is missing; give the hash signing document (payload.json) as a file.")
	}
}

func requireSlugs(errs FieldErrors, project, policy string) {
	if project == "" {
		errs.Add(fieldProject, "ProjectSlug is missing.")
	}
	if policy == "" {
		errs.Add(fieldPolicy, "SigningPolicySlug is missing.")
	}
}

// WriteClassicForm makes the classic request for one digest: the value of
// Content-Type and the whole body. The order of the parts is ProjectSlug,
// SigningPolicySlug, IsFastSigningRequest, Artifact (payload.json), so that a
// service can refuse early.
func WriteClassicForm(project, policy string, p *Payload) (contentType string, body []byte, err error) {
	var a bytes.Buffer
	e := json.NewEncoder(&a)
	e.SetEscapeHTML(false) // metadata shall look in the service's audit log as it did here
	if err := e.Encode(p); err != nil {
		return "", nil, fmt.Errorf("encoding the payload: %w", err)
	}
	artifact := bytes.TrimRight(a.Bytes(), "\n")
	var b bytes.Buffer
	b.Grow(len(artifact) + len(project) + len(policy) + 1024)
	w := multipart.NewWriter(&b)
	for _, f := range [...]struct{ name, value string }{{fieldProject, project}, {fieldPolicy, policy}, {fieldFast, "true"}} {
		if err := w.WriteField(f.name, f.value); err != nil {
			return "", nil, fmt.Errorf("writing the form: %w", err)
		}
	}
	part, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="` + fieldArtifact + `"; filename="payload.json"`},
		"Content-Type":        {"application/json"},
	})
	if err == nil {
		_, err = part.Write(artifact)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return "", nil, fmt.Errorf("writing the form: %w", err)
	}
	return w.FormDataContentType(), b.Bytes(), nil
}
