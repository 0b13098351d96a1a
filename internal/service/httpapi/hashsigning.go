package httpapi

import (
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"signpath/internal/service/requests"
	"signpath/internal/service/signing"
	"signpath/internal/wire"
)

// submit is the classic form: POST SigningRequests and
// SigningRequests/SubmitWithArtifact. With IsFastSigningRequest=true the answer
// is the payload with its signature; without, the ID of an asynchronous request.
func (a *api) submit(x *exchange) error {
	body, err := x.messageBody()
	if err != nil {
		return err
	}
	s, err := wire.ReadSubmission(x.r.Header.Get("Content-Type"), body)
	if err != nil {
		return body.orTooLarge(err)
	}
	if s.Asynchronous != nil {
		if err := body.orTooLarge(nil); err != nil {
			return err
		}
		return a.withRequests(func(r *requests.Service, x *exchange) error {
			return a.submitAsynchronous(r, x, s, wire.SubmitWithArtifact)
		})(x)
	}
	h, err := wire.ParsePayload(s.Artifact)
	if !h.SignsMessage() {
		err = body.orTooLarge(err)
	}
	if err != nil {
		return err
	}
	result, err := a.sign(x, signing.Request{
		ProjectSlug:               s.ProjectSlug,
		SigningPolicySlug:         s.SigningPolicySlug,
		ArtifactConfigurationSlug: s.ArtifactConfigurationSlug,
		Description:               s.Description,
		Hash:                      h,
	})
	if err != nil {
		return err
	}
	answer := wire.NewPayload(*h)
	answer.Signature = base64.StdEncoding.EncodeToString(result.Signature)
	answer.SigningRequestID, answer.WebLink, answer.KeyVersion = result.SigningRequestID, result.WebLink, result.KeyVersion
	return x.json(http.StatusOK, answer)
}

// signHash is the newer form: POST SigningRequests/SignHash.
func (a *api) signHash(x *exchange) error {
	if err := checkJSONType(x.r.Header.Get("Content-Type")); err != nil {
		return err
	}
	body, err := x.messageBody()
	if err != nil {
		return err
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var r wire.SignHashRequest
	if err := wire.DecodeJSON(data, &r); err != nil {
		return body.orTooLarge(wire.Field("", "The request cannot be read: "+err.Error()+"."))
	}
	h, err := r.Check()
	if !h.SignsMessage() {
		err = body.orTooLarge(err)
	}
	if err != nil {
		return err
	}
	result, err := a.sign(x, signing.Request{
		ProjectSlug:               r.ProjectSlug,
		SigningPolicySlug:         r.SigningPolicySlug,
		ArtifactConfigurationSlug: r.ArtifactConfigurationSlug,
		Description:               r.Description,
		Hash:                      h,
	})
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, wire.SignHashAnswer{
		SigningRequestID:  result.SigningRequestID,
		WebLink:           result.WebLink,
		HashSigningData:   wire.HashOnly{Hash: base64.StdEncoding.EncodeToString(h.Digest)},
		HashSigningResult: wire.HashSigningResult{Signature: base64.StdEncoding.EncodeToString(result.Signature)},
		KeyVersion:        result.KeyVersion,
	})
}

// sign adds what both forms share. The token goes along, because the signing
// service checks it again against the snapshot that the signature is recorded with.
func (a *api) sign(x *exchange, r signing.Request) (*signing.Result, error) {
	r.OrganizationID, r.Authorization, r.Caller = x.organizationID, x.authorization(), x.caller
	key, err := idempotencyKey(x.r.Header)
	if err != nil {
		return nil, err
	}
	once := func() (*signing.Result, error) { return a.Signing.Sign(x.r.Context(), r) }
	if key == "" {
		return once()
	}
	result, replayed, err := a.replays.do(x.r.Context(), replayID(x.principal.Token.ID, key), fingerprint(&r), once)
	if !replayed {
		return result, err
	}
	// Whoever may not sign any more gets no remembered signature either: the
	// signing service says why.
	if len(a.Signing.MySigningPolicies(x.principal, r.ProjectSlug, r.SigningPolicySlug)) == 0 {
		return once()
	}
	x.w.Header().Set(replayedHeader, "true")
	return result, nil
}

// messageBody is the body of a request that may hold a message in place of a digest.
type messageBody struct {
	io.Reader
	got  int64 // bytes so far
	size int64 // bytes so far or announced, whichever is more
}

func (b *messageBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.got += int64(n)
	b.size = max(b.size, b.got)
	return n, err
}

// orTooLarge replaces err when the body was longer than one with a digest may be.
func (b *messageBody) orTooLarge(err error) error {
	if b.size > maxBody {
		return &http.MaxBytesError{Limit: maxBody}
	}
	return err
}

func (x *exchange) messageBody() (*messageBody, error) {
	r, err := x.boundedBody(maxMessageBody)
	return &messageBody{Reader: r, size: x.r.ContentLength}, err
}

// requestBody is the body of a request without a message.
func (x *exchange) requestBody() (io.Reader, error) { return x.boundedBody(maxBody) }

// boundedBody is the body of a request; reading past the bound (in bytes) gives *http.MaxBytesError.
func (x *exchange) boundedBody(bound int64) (io.Reader, error) {
	if e := x.r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return nil, wire.NewProblem(http.StatusUnsupportedMediaType, "Request bodies must not be compressed; leave Content-Encoding out.")
	}
	if x.r.ContentLength > bound {
		return nil, &http.MaxBytesError{Limit: bound}
	}
	return bodyReader{http.MaxBytesReader(x.w.ResponseWriter, x.r.Body, bound), &x.bodyCut}, nil
}

var errNotJSON = errors.New("the Content-Type is not JSON")

// checkJSONType accepts application/json, application/*+json and text/json, in UTF-8.
func checkJSONType(contentType string) error {
	mediaType, params, err := mime.ParseMediaType(contentType)
	known := mediaType == "application/json" || mediaType == "text/json" ||
		strings.HasPrefix(mediaType, "application/") && strings.HasSuffix(mediaType, "+json")
	if err != nil || !known {
		return errNotJSON
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "utf8") {
		return wire.NewProblem(http.StatusUnsupportedMediaType, "JSON must be UTF-8 here.")
	}
	return nil
}
