package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"signpath/internal/service/authz"
	"signpath/internal/service/model"
	"signpath/internal/service/requests"
	"signpath/internal/service/signing"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

// Pages of the list of signing requests.
const (
	defaultPage = 50
	maxPage     = 200
)

// requestRoutes are the routes about asynchronous signing requests. The
// submission with artifact is a.submit, which fast requests share.
func requestRoutes(a *api, org string) []route {
	const id = "/SigningRequests/{signingRequestId}"
	post := func(path string, h func(*requests.Service, *exchange) error) route {
		return route{method: "POST", pattern: org + path, access: tokenFor, handler: a.withRequests(h)}
	}
	get := func(path string, h func(*requests.Service, *exchange) error) route {
		return route{method: "GET", pattern: org + path, access: tokenFor, handler: a.withRequests(h)}
	}
	submission := func(r wire.Route) func(*requests.Service, *exchange) error {
		return func(s *requests.Service, x *exchange) error { return a.readAndSubmit(s, x, r) }
	}
	return []route{
		get("/SigningRequests", a.listRequests),
		post("/SigningRequests/SubmitWithoutArtifact", submission(wire.SubmitWithoutArtifact)),
		post("/SigningRequests/SubmitWithArtifactRetrievalLink", submission(wire.SubmitWithLink)),
		post("/SigningRequests/Resubmit", submission(wire.Resubmit)),
		get(id, a.getRequest),
		get(id+"/Status", a.getStatus),
		get(id+"/SignedArtifact", a.signedArtifact),
		get(id+"/UnsignedArtifact", a.unsignedArtifact),
		get(id+"/BuildSettingsFile", a.buildSettingsFile),
		get(id+"/X509Certificate", a.requestCertificate),
		post(id+"/UploadUnsignedArtifact", a.uploadArtifact),
		post(id+"/Cancel", a.decision((*requests.Service).Cancel)),
		post(id+"/Approve", a.decision((*requests.Service).Approve)),
		post(id+"/Deny", a.decision((*requests.Service).Deny)),
	}
}

// withRequests gives a handler the room that keeps requests.
func (a *api) withRequests(h func(*requests.Service, *exchange) error) func(*exchange) error {
	return func(x *exchange) error {
		if a.Requests == nil {
			return wire.NewProblem(http.StatusServiceUnavailable, "This service signs fast signing requests only. Send IsFastSigningRequest=true, or use SigningRequests/SignHash.")
		}
		return h(a.Requests, x)
	}
}

// readAndSubmit takes a submission in a form or in JSON.
func (a *api) readAndSubmit(s *requests.Service, x *exchange, r wire.Route) error {
	body, err := x.requestBody()
	if err != nil {
		return err
	}
	form, err := wire.ReadAsynchronous(r, x.r.Header.Get("Content-Type"), body)
	if err != nil {
		return err
	}
	return a.submitAsynchronous(s, x, form, r)
}

// submitAsynchronous answers with the new request's ID and addresses. The same
// Idempotency-Key gives the same request.
func (a *api) submitAsynchronous(s *requests.Service, x *exchange, form *wire.Submission, r wire.Route) error {
	key, err := idempotencyKey(x.r.Header)
	if err != nil {
		return err
	}
	once := func() (*signing.Result, error) {
		made, err := s.Submit(x.r.Context(), requests.Submission{
			Principal: x.principal, Authorization: x.authorization(), Caller: x.caller, Form: form, Route: r,
		})
		if err != nil {
			return nil, err
		}
		return &signing.Result{SigningRequestID: made.ID}, nil
	}
	var made *signing.Result
	if key == "" {
		made, err = once()
	} else {
		var replayed bool
		made, replayed, err = a.replays.do(x.r.Context(), replayID(x.principal.Token.ID, key), submissionFingerprint(form, r), once)
		if replayed {
			x.w.Header().Set(replayedHeader, "true")
		}
	}
	if err != nil {
		return err
	}
	answer := wire.SubmitAnswer{SigningRequestID: made.SigningRequestID, WebLink: s.WebLink(x.organizationID, made.SigningRequestID)}
	if r == wire.SubmitWithoutArtifact {
		answer.UploadLink = s.Link(x.organizationID, made.SigningRequestID) + "/UploadUnsignedArtifact"
	}
	return a.createdAt(x, "SigningRequests/"+made.SigningRequestID, answer)
}

// submissionFingerprint tells whether two submissions ask for the same.
func submissionFingerprint(form *wire.Submission, r wire.Route) [32]byte {
	text, err := json.Marshal([]any{r, form})
	if err != nil { // texts and bytes can always be encoded
		panic(err)
	}
	return sha256.Sum256(text)
}

// found gives the request that the path names.
func (x *exchange) found(s *requests.Service) (*model.SigningRequest, error) {
	return s.Get(x.r.Context(), x.organizationID, x.params["signingRequestId"])
}

// isUnknown tells that there may be a fast request with this ID.
func isUnknown(err error) bool {
	var p *wire.Problem
	return errors.As(err, &p) && p.Status == http.StatusForbidden
}

func (a *api) getRequest(s *requests.Service, x *exchange) error {
	r, err := x.found(s)
	if isUnknown(err) {
		fast, err := s.Fast(x.r.Context(), x.snapshot, x.organizationID, x.params["signingRequestId"])
		if err != nil {
			return err
		}
		return x.json(http.StatusOK, fast)
	}
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, s.Describe(x.snapshot, r))
}

func (a *api) getStatus(s *requests.Service, x *exchange) error {
	r, err := x.found(s)
	if isUnknown(err) {
		fast, err := s.Fast(x.r.Context(), x.snapshot, x.organizationID, x.params["signingRequestId"])
		if err != nil {
			return err
		}
		return x.json(http.StatusOK, fast.StatusAnswer)
	}
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, requests.StatusOf(r))
}

// contents finds a request whose artifacts the caller may read.
func (x *exchange) contents(a *api, s *requests.Service) (*model.SigningRequest, error) {
	r, err := x.found(s)
	if isUnknown(err) {
		if _, fastErr := s.Fast(x.r.Context(), x.snapshot, x.organizationID, x.params["signingRequestId"]); fastErr == nil {
			return nil, wire.Field("", "This was a fast signing request: its artifacts are not kept, the signature was in its answer.")
		}
	}
	if err != nil {
		return nil, err
	}
	if err := requests.MayRead(x.snapshot, x.principal, r); err != nil {
		return nil, err
	}
	return r, requests.Contents(r)
}

// requestCertificate gives the certificate of the signature. It is public, as
// certificates are.
func (a *api) requestCertificate(s *requests.Service, x *exchange) error {
	r, err := x.found(s)
	var certificate []byte
	switch {
	case isUnknown(err):
		certificate, err = s.FastCertificate(x.r.Context(), x.snapshot, x.organizationID, x.params["signingRequestId"])
	case err == nil:
		certificate, err = s.Certificate(x.r.Context(), x.snapshot, r)
	}
	if err != nil {
		return err
	}
	return x.attachment("application/pkix-cert", strings.ToLower(x.params["signingRequestId"])+".cer", certificate)
}

func (a *api) signedArtifact(s *requests.Service, x *exchange) error {
	r, err := x.contents(a, s)
	if err != nil {
		return err
	}
	if r.Result == nil {
		return wire.Field("", "The signing request has no signed artifact: it is "+string(r.Workflow)+".")
	}
	return x.attachment("application/json", fileNameOf(r), r.Result)
}

func (a *api) unsignedArtifact(s *requests.Service, x *exchange) error {
	r, err := x.contents(a, s)
	if err != nil {
		return err
	}
	if r.Artifact == nil {
		return wire.Field("", "The artifact of the signing request was not uploaded.")
	}
	return x.attachment("application/octet-stream", fileNameOf(r), r.Artifact)
}

func (a *api) buildSettingsFile(s *requests.Service, x *exchange) error {
	r, err := x.contents(a, s)
	if err != nil {
		return err
	}
	if r.BuildSettings == nil {
		return wire.NewProblem(http.StatusNotFound, "The signing request has no build settings file.")
	}
	name := "build-settings"
	if d := s.Describe(x.snapshot, r); d.Origin != nil && d.Origin.BuildData != nil && d.Origin.BuildData.BuildSettingsFile != nil && d.Origin.BuildData.BuildSettingsFile.FileName != "" {
		name = d.Origin.BuildData.BuildSettingsFile.FileName
	}
	return x.attachment("application/octet-stream", name, r.BuildSettings)
}

func fileNameOf(r *model.SigningRequest) string {
	if r.ArtifactName == "" {
		return "payload.json"
	}
	return r.ArtifactName
}

// uploadArtifact takes the artifact as the raw body.
func (a *api) uploadArtifact(s *requests.Service, x *exchange) error {
	if t, _, _ := mime.ParseMediaType(x.r.Header.Get("Content-Type")); strings.HasPrefix(t, "multipart/") {
		return wire.NewProblem(http.StatusUnsupportedMediaType, "Send the artifact itself as the body, not a form.")
	}
	body, err := x.requestBody()
	if err != nil {
		return err
	}
	content, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if err := s.Upload(x.r.Context(), x.principal, x.authorization(), x.caller, x.params["signingRequestId"], content); err != nil {
		return err
	}
	x.w.Header().Set("Content-Length", "0")
	x.w.WriteHeader(http.StatusAccepted)
	return nil
}

// decision is a route that ends or furthers a request; the body may be empty or
// give a reason.
func (a *api) decision(act decide) func(*requests.Service, *exchange) error {
	return func(s *requests.Service, x *exchange) error {
		var in struct {
			Reason string `json:"reason"`
		}
		if err := x.readJSON(&in, true); err != nil {
			return err
		}
		err := act(s, x.r.Context(), x.principal, x.params["signingRequestId"], in.Reason)
		if isUnknown(err) {
			if _, fastErr := s.Fast(x.r.Context(), x.snapshot, x.organizationID, x.params["signingRequestId"]); fastErr == nil {
				return wire.NewProblem(http.StatusConflict, "This was a fast signing request: it ended with its answer.")
			}
		}
		if err != nil {
			return err
		}
		x.w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

// listRequests answers a page of asynchronous requests, newest first.
func (a *api) listRequests(s *requests.Service, x *exchange) error {
	f, err := x.requestFilter()
	if err != nil {
		return err
	}
	list := wire.SigningRequestList{Items: []wire.SigningRequestAnswer{}}
	if f != nil {
		limit := f.Limit
		f.Limit++ // one more tells whether there is a next page
		page, err := s.List(x.r.Context(), *f)
		if err != nil {
			return err
		}
		if len(page) > limit {
			page = page[:limit]
			list.NextCursor = cursorOf(&page[limit-1])
		}
		for i := range page {
			list.Items = append(list.Items, s.Describe(x.snapshot, &page[i]))
		}
	}
	return x.compressibleJSON(http.StatusOK, list)
}

// requestFilter reads the query; nil when a name in it matches nothing.
func (x *exchange) requestFilter() (*store.RequestFilter, error) {
	query, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		return nil, wire.Field("", "The query of the address cannot be read.")
	}
	values, errs := map[string]string{}, wire.FieldErrors{}
	known := []string{"projectSlug", "signingPolicySlug", "signingPolicyId", "submitterId", "status", "from", "to", "cursor", "limit"}
	for name, list := range query {
		i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, name) })
		switch {
		case i < 0:
			errs.Add(clipped(name), "There is no such filter; there are "+strings.Join(known, ", ")+".")
		case len(list) > 1 || values[known[i]] != "":
			errs.Add(known[i], "This is given more than once.")
		default:
			values[known[i]] = list[0]
		}
	}
	f := &store.RequestFilter{OrganizationID: x.organizationID, Limit: defaultPage}
	matches := x.filterNames(f, values, errs)
	if text := values["limit"]; text != "" {
		if f.Limit, err = strconv.Atoi(text); err != nil || f.Limit < 1 || f.Limit > maxPage {
			errs.Add("limit", "The limit is a number from 1 to "+strconv.Itoa(maxPage)+".")
		}
	}
	f.From, f.To = instant(errs, "from", values["from"]), instant(errs, "to", values["to"])
	if text := values["cursor"]; text != "" {
		var ok bool
		if f.Before, f.BeforeID, ok = readCursor(text); !ok {
			errs.Add("cursor", "This is not a cursor that this service gave.")
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	if !matches {
		return nil, nil
	}
	return f, nil
}

// filterNames fills in what names and IDs mean; false when one means nothing.
func (x *exchange) filterNames(f *store.RequestFilter, values map[string]string, errs wire.FieldErrors) bool {
	matches := true
	for name, to := range map[string]*string{"signingPolicyId": &f.SigningPolicyID, "submitterId": &f.SubmitterID} {
		if id := strings.ToLower(values[name]); id != "" {
			if *to = id; !wire.IsUUID(id) {
				errs.Add(name, "This is not a UUID.")
			}
		}
	}
	if slug := values["projectSlug"]; slug != "" {
		p, ok := x.snapshot.Project(x.organizationID, slug)
		matches = ok
		if ok {
			f.ProjectID = p.ID
		}
	}
	if slug := values["signingPolicySlug"]; slug != "" {
		switch {
		case values["projectSlug"] == "":
			errs.Add("signingPolicySlug", "Slugs of signing policies are those of a project: give projectSlug too.")
		case matches:
			p, ok := x.snapshot.SigningPolicy(f.ProjectID, slug)
			matches = ok
			if ok {
				f.SigningPolicyID = p.ID
			}
		}
	}
	if status := values["status"]; status != "" {
		if f.Workflows = requests.Workflows(status); f.Workflows == nil {
			errs.Add("status", "There is no such status.")
		}
	}
	return matches
}

func instant(errs wire.FieldErrors, name, text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() < 1970 {
		errs.Add(name, "This is not a time such as 2027-01-31T12:00:00Z.")
	}
	return t
}

// cursorOf names the last request of a page: creation and ID.
func cursorOf(r *model.SigningRequest) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(r.Created.UnixMilli(), 10) + "." + r.ID))
}

func readCursor(text string) (at time.Time, id string, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	millis, rest, found := bytes.Cut(b, []byte("."))
	n, numErr := strconv.ParseInt(string(millis), 10, 64)
	if err != nil || !found || numErr != nil || n <= 0 || !wire.IsUUID(string(rest)) {
		return time.Time{}, "", false
	}
	return time.UnixMilli(n).UTC(), string(rest), true
}

// decide is one of the methods that end or further a request.
type decide = func(s *requests.Service, ctx context.Context, p *authz.Principal, id, reason string) error
