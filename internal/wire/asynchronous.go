package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Route is one of the ways to submit an asynchronous signing request (SignPath
// REST API documentation, "Submit a signing request").
type Route uint8

// The routes. Each has its own fields, see formFields.
const (
	SubmitWithArtifact Route = 1 << iota // the artifact is a part of the form
	SubmitWithoutArtifact
	SubmitWithLink
	Resubmit
	fastRequest // not a route: SubmitWithArtifact with IsFastSigningRequest=true

	submits = SubmitWithArtifact | SubmitWithoutArtifact | SubmitWithLink
)

// Asynchronous is what asynchronous requests say besides.
type Asynchronous struct {
	// SigningPolicyID and ArtifactConfigurationID are lower-case UUIDs, given in
	// place of the slugs; "" where slugs were.
	SigningPolicyID         string
	ArtifactConfigurationID string
	CancellationTimeout     time.Duration // 0: none
	Parameters              []Parameter   // user-defined, by name
	Origin                  *Origin       // nil: nothing was told
	BuildSettings           []byte        // the file of Origin.BuildData.BuildSettingsFile; nil: none
	ArtifactName            string        // file name, without folders; may be empty
	ArtifactSHA256          string        // announced, lower-case hex; "" for SubmitWithArtifact
	Link                    *ArtifactLink // SubmitWithLink only
	// OriginalSigningRequestID is the request that is repeated; Resubmit only.
	OriginalSigningRequestID string
}

// Parameter is a user-defined value (field "Parameters.{name}").
type Parameter struct{ Name, Value string }

// ArtifactLink says where the artifact is to be fetched.
type ArtifactLink struct {
	URL     *url.URL
	Headers []Parameter // of the request; they may hold secrets
}

// Origin is what a client tells of where an artifact comes from. It is stored
// and echoed; nothing is decided on it.
type Origin struct {
	BuildData      *BuildData      `json:"buildData,omitempty"`
	RepositoryData *RepositoryData `json:"repositoryData,omitempty"`
}

// BuildData is about the build.
type BuildData struct {
	URL               string             `json:"url,omitempty"`
	BuildSettingsFile *BuildSettingsFile `json:"buildSettingsFile,omitempty"`
}

// BuildSettingsFile is a file that says how was built.
type BuildSettingsFile struct {
	DownloadLink string `json:"downloadLink,omitempty"` // answers only
	FileName     string `json:"fileName"`
}

// RepositoryData is about the source code.
type RepositoryData struct {
	URL                         string `json:"url,omitempty"`
	BranchName                  string `json:"branchName,omitempty"`
	CommitID                    string `json:"commitId,omitempty"`
	SourceControlManagementType string `json:"sourceControlManagementType,omitempty"`
}

// formField is one line of the table of fields.
type formField struct {
	name   string
	routes Route
	file   bool
	prefix bool // every name that begins with this one
}

// Names of fields that more than one function needs; the others stand in the
// table alone.
const (
	fieldPolicyID        = "SigningPolicyId"
	fieldConfigurationID = "ArtifactConfigurationId"
	fieldTimeout         = "CancellationTimeoutInSeconds"
	fieldParameters      = "Parameters."
	fieldBuildSettings   = "Origin.BuildData.BuildSettingsFile"
	fieldFileName        = "UnsignedArtifactMetadata.FileName"
	fieldFileHash        = "UnsignedArtifactMetadata.Sha256Hash"
	fieldLinkURL         = "ArtifactRetrievalLink.Url"
	fieldLinkFileName    = "ArtifactRetrievalLink.FileName"
	fieldLinkHash        = "ArtifactRetrievalLink.Sha256Hash"
	fieldLinkHeaders     = "ArtifactRetrievalLink.HttpHeaders["
	fieldOriginal        = "OriginalSigningRequestId"
)

// formFields is the table of all fields of signing requests, and where they
// may stand. Names are matched without regard to case.
var formFields = []formField{
	{name: fieldProject, routes: submits | Resubmit | fastRequest},
	{name: fieldPolicy, routes: submits | Resubmit | fastRequest},
	{name: fieldConfiguration, routes: submits | fastRequest},
	{name: fieldDescription, routes: submits | Resubmit | fastRequest},
	{name: fieldFast, routes: submits | Resubmit | fastRequest},
	{name: fieldArtifact, routes: SubmitWithArtifact | fastRequest, file: true},
	{name: fieldPolicyID, routes: submits | Resubmit},
	{name: fieldConfigurationID, routes: submits},
	{name: fieldTimeout, routes: submits | Resubmit},
	{name: fieldParameters, routes: submits, prefix: true},
	{name: "Origin.RepositoryData.SourceControlManagementType", routes: submits},
	{name: "Origin.RepositoryData.Url", routes: submits},
	{name: "Origin.RepositoryData.BranchName", routes: submits},
	{name: "Origin.RepositoryData.CommitId", routes: submits},
	{name: "Origin.BuildData.Url", routes: submits},
	{name: fieldBuildSettings, routes: submits, file: true},
	{name: fieldFileName, routes: SubmitWithoutArtifact},
	{name: fieldFileHash, routes: SubmitWithoutArtifact},
	{name: fieldLinkURL, routes: SubmitWithLink},
	{name: fieldLinkFileName, routes: SubmitWithLink},
	{name: fieldLinkHash, routes: SubmitWithLink},
	{name: fieldLinkHeaders, routes: SubmitWithLink, prefix: true},
	{name: fieldOriginal, routes: Resubmit},
}

// Bounds of asynchronous requests.
const (
	maxParameterName = 100 // characters
	maxTimeout       = 31 * 24 * time.Hour
	maxFileName      = 255 // characters
)

// fieldNamed finds a field and the key that its value is kept under.
func fieldNamed(name string) (*formField, string) {
	for i := range formFields {
		f := &formFields[i]
		switch {
		case strings.EqualFold(f.name, name) && !f.prefix:
			return f, f.name
		case f.prefix && len(name) > len(f.name) && strings.EqualFold(name[:len(f.name)], f.name):
			return f, f.name + fold(name[len(f.name):])
		}
	}
	return nil, ""
}

// ReadAsynchronous reads a submission that is multipart/form-data or JSON, with
// the same names in both; in JSON, a dot in the name of a field is an object
// ({"origin":{"buildData":{"url":…}}}), HttpHeaders an array of objects, and
// unknown members are ignored. Errors are as those of ReadSubmission.
func ReadAsynchronous(route Route, contentType string, body io.Reader) (*Submission, error) {
	if mediaType, _, err := mime.ParseMediaType(contentType); err == nil && isJSON(mediaType) {
		form, err := readJSONForm(body, route)
		if err != nil {
			return nil, err
		}
		return form.asynchronousSubmission(route)
	}
	form, err := readForm(contentType, body, route)
	if err != nil {
		return nil, err
	}
	return form.asynchronousSubmission(route)
}

func isJSON(mediaType string) bool {
	return mediaType == "application/json" || mediaType == "text/json" ||
		strings.HasPrefix(mediaType, "application/") && strings.HasSuffix(mediaType, "+json")
}

// readJSONForm turns the members of an object into the fields of a form.
func readJSONForm(body io.Reader, route Route) (*formReader, error) {
	data, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	data = bytes.TrimPrefix(data, byteOrderMark)
	if err := CheckJSON(data); err != nil {
		return nil, Field("", "The request cannot be read: "+err.Error()+".")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var members map[string]any
	if err := d.Decode(&members); err != nil || members == nil {
		return nil, Field("", "The request cannot be read: it is not a JSON object.")
	}
	f := &formReader{route: route, errs: FieldErrors{}, values: map[string][]byte{}, files: map[string]string{}}
	f.flatten("", members)
	return f, nil
}

// flatten enters members under the names that they have in a form. Their
// nesting is bounded by CheckJSON.
func (f *formReader) flatten(name string, v any) {
	var text string
	switch v := v.(type) {
	case nil:
		return
	case map[string]any:
		for _, member := range sortedKeys(v) {
			inner := member
			if name != "" {
				inner = name + "." + member
			}
			f.flatten(inner, v[member])
		}
		return
	case []any:
		for i, element := range v {
			f.flatten(name+"["+strconv.Itoa(i)+"]", element)
		}
		return
	case string:
		text = v
	case bool:
		text = strconv.FormatBool(v)
	case json.Number:
		text = v.String()
	}
	known, key := fieldNamed(name)
	if known == nil || known.routes&f.route == 0 {
		return
	}
	if len(f.values) == maxFormParts {
		f.errs.Add("", fmt.Sprintf("The request has more than %d members.", maxFormParts))
		return
	}
	limit := int64(maxFormText)
	if known.file {
		limit = 1 << 40
	}
	f.put(known, key, name, []byte(text), limit)
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// asynchronousSubmission checks what was read.
func (f *formReader) asynchronousSubmission(route Route) (*Submission, error) {
	if fast := string(f.values[fieldFast]); route != SubmitWithArtifact && fast != "" && !strings.EqualFold(fast, "false") {
		f.errs.Add(fieldFast, "Fast signing requests go to SigningRequests/SubmitWithArtifact or SigningRequests/SignHash.")
	}
	s := f.common()
	a := &Asynchronous{
		SigningPolicyID:         f.uuid(fieldPolicyID),
		ArtifactConfigurationID: f.uuid(fieldConfigurationID),
		CancellationTimeout:     f.timeout(),
		Parameters:              f.parameters(),
		BuildSettings:           f.values[fieldBuildSettings],
	}
	a.Origin = f.origin()
	s.Asynchronous = a
	f.target(s, route)
	switch route {
	case SubmitWithArtifact:
		f.requireArtifact(s)
		a.ArtifactName = f.files[fieldArtifact]
	case SubmitWithoutArtifact:
		a.ArtifactName, a.ArtifactSHA256 = fileName(string(f.values[fieldFileName])), f.hash(fieldFileHash)
	case SubmitWithLink:
		a.ArtifactName, a.ArtifactSHA256 = fileName(string(f.values[fieldLinkFileName])), f.hash(fieldLinkHash)
		a.Link = f.link()
	case Resubmit:
		if a.OriginalSigningRequestID = f.uuid(fieldOriginal); f.values[fieldOriginal] == nil {
			f.errs.Add(fieldOriginal, "OriginalSigningRequestId is missing; give the ID of the request to repeat.")
		}
	}
	if len(f.errs) > 0 {
		return nil, f.errs
	}
	return s, nil
}

// target checks that project and policy are named either by slugs or by IDs.
func (f *formReader) target(s *Submission, route Route) {
	a := s.Asynchronous
	given := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return len(f.values[n]) > 0 })
	}
	ids, slugs := given(fieldPolicyID, fieldConfigurationID), given(fieldProject, fieldPolicy, fieldConfiguration)
	switch {
	case ids && slugs && !(route == Resubmit && s.SigningPolicySlug == ""):
		f.errs.Add(fieldPolicyID, "IDs and slugs must not be mixed: give SigningPolicyId and ArtifactConfigurationId, or the slugs.")
	case ids && a.SigningPolicyID == "" && f.errs[fieldPolicyID] == nil:
		f.errs.Add(fieldPolicyID, "SigningPolicyId is missing.")
	case ids:
	case route == Resubmit:
		if s.SigningPolicySlug == "" {
			f.errs.Add(fieldPolicy, "SigningPolicySlug is missing.")
		}
	default:
		requireSlugs(f.errs, s.ProjectSlug, s.SigningPolicySlug)
	}
}

// uuid reads a UUID in its one text form (RFC 9562 section 4), in any case.
func (f *formReader) uuid(name string) string {
	s := strings.ToLower(string(f.values[name]))
	if s == "" {
		if f.values[name] != nil && name == fieldOriginal {
			f.errs.Add(name, name+" is empty.")
		}
		return ""
	}
	if !IsUUID(s) {
		f.errs.Add(name, name+" is not a UUID.")
		return ""
	}
	return s
}

// IsUUID tells whether s is a UUID in lower case, and not the empty one.
func IsUUID(s string) bool {
	if len(s) != 36 || strings.Trim(s, "0-") == "" {
		return false
	}
	for i, c := range []byte(s) {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func (f *formReader) timeout() time.Duration {
	text := string(f.values[fieldTimeout])
	if text == "" {
		return 0
	}
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < 1 || seconds > int(maxTimeout/time.Second) {
		f.errs.Add(fieldTimeout, fmt.Sprintf("%s is not a number from 1 to %d.", fieldTimeout, int(maxTimeout/time.Second)))
		return 0
	}
	return time.Duration(seconds) * time.Second
}

func (f *formReader) parameters() []Parameter {
	var all []Parameter
	for _, name := range f.names {
		known, key := fieldNamed(name)
		if known.name != fieldParameters {
			continue
		}
		p := Parameter{Name: name[len(fieldParameters):], Value: string(f.values[key])}
		if len([]rune(p.Name)) > maxParameterName || strings.ContainsFunc(p.Name, unicode.IsControl) {
			f.errs.Add(clip(name), fmt.Sprintf("The name of a parameter has at most %d printable characters.", maxParameterName))
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Parameter) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func (f *formReader) origin() *Origin {
	text := func(name string) string { return string(f.values["Origin."+name]) }
	r := RepositoryData{
		URL: text("RepositoryData.Url"), BranchName: text("RepositoryData.BranchName"), CommitID: text("RepositoryData.CommitId"),
		SourceControlManagementType: text("RepositoryData.SourceControlManagementType"),
	}
	b := BuildData{URL: text("BuildData.Url")}
	if f.values[fieldBuildSettings] != nil {
		b.BuildSettingsFile = &BuildSettingsFile{FileName: f.files[fieldBuildSettings]}
	}
	var o Origin
	if r != (RepositoryData{}) {
		o.RepositoryData = &r
	}
	if b != (BuildData{}) {
		o.BuildData = &b
	}
	if o == (Origin{}) {
		return nil
	}
	return &o
}

// hash reads a SHA-256 digest, in hexadecimal or base64; "" when there is none.
func (f *formReader) hash(name string) string {
	text := string(f.values[name])
	if text == "" {
		return ""
	}
	if b, err := hex.DecodeString(text); err == nil && len(b) == 32 {
		return strings.ToLower(text)
	}
	if b, err := base64.StdEncoding.Strict().DecodeString(text); err == nil && len(b) == 32 {
		return hex.EncodeToString(b)
	}
	f.errs.Add(name, name+" is not a SHA-256 digest in hexadecimal.")
	return ""
}

func (f *formReader) link() *ArtifactLink {
	u, err := url.Parse(string(f.values[fieldLinkURL]))
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		f.errs.Add(fieldLinkURL, fieldLinkURL+" is not an address with https://, without a user in it.")
		return nil
	}
	l := &ArtifactLink{URL: u}
	for i := range maxFormParts {
		at := fieldLinkHeaders + strconv.Itoa(i) + "]."
		name, value := f.value(at+"Key"), f.value(at+"Value")
		if name == nil && value == nil {
			break
		}
		if !isToken(string(name)) || strings.ContainsFunc(string(value), unicode.IsControl) {
			f.errs.Add(at+"Key", "This is not an HTTP header.")
			continue
		}
		l.Headers = append(l.Headers, Parameter{string(name), string(value)})
	}
	return l
}

// value is that of a field with a free name.
func (f *formReader) value(name string) []byte {
	_, key := fieldNamed(name)
	return f.values[key]
}

// isToken tells whether s is a token (RFC 9110 section 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// fileName is the last segment of a name that a client gave, fit for headers
// and folders; "" when nothing is left.
func fileName(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || strings.ContainsRune(`"*:<>?|`, r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	s = path.Base("/" + strings.ReplaceAll(s, `\`, "/"))
	if s == "/" || s == ".." || s == "." {
		return ""
	}
	if r := []rune(s); len(r) > maxFileName {
		s = string(r[:maxFileName])
	}
	return s
}
