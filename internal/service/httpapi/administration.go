package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"signpath/internal/service/admin"
	"signpath/internal/service/audit"
	"signpath/internal/service/auth"
	"signpath/internal/service/authz"
	"signpath/internal/service/model"
	"signpath/internal/service/signing"
	"signpath/internal/wire"
)

// Administration is the table of operations; *admin.Service implements it.
type Administration interface {
	Run(ctx context.Context, call admin.Call, operation string, input json.RawMessage) (json.RawMessage, error)
}

// check decides whether a principal may do what a request asks for, and finds
// what the path names, both in the given snapshot: it may be asked twice, see
// administer. Its errors are *wire.Problem, 403 for what is not there as for
// what may not be done (SignPath REST API documentation: unknown resources).
type check func(*authz.Snapshot, *authz.Principal) error

// organization is the check for actions on the organization itself.
func organization(action authz.Action) check {
	return func(s *authz.Snapshot, p *authz.Principal) error {
		return permit(s, p, action, authz.Resource{})
	}
}

// permit is nil when the matrix allows the action.
func permit(s *authz.Snapshot, p *authz.Principal, action authz.Action, on authz.Resource) error {
	if authz.Can(s, p, action, on) {
		return nil
	}
	return forbidden("The user '%s' may not do this: %s. It needs another role; ask an administrator of the organization.", p.User.Name, action)
}

func forbidden(format string, args ...any) error {
	return wire.NewProblem(http.StatusForbidden, fmt.Sprintf(format, args...))
}

// administer runs an operation in the name of the token's user and puts its
// result into output (nil: there is none to keep). The check is made before,
// and again when the configuration that the change is made on is a newer one:
// whoever lost a token or a right meanwhile changes nothing.
func (a *api) administer(x *exchange, allowed check, operation string, input, output any) error {
	if err := a.allowed(x, allowed); err != nil {
		return err
	}
	if a.Administration == nil {
		return wire.NewProblem(http.StatusServiceUnavailable, "This service does not offer administration through its API.")
	}
	encoded, err := json.Marshal(input)
	if err != nil {
		return fmt.Errorf("encoding the input of %s: %w", operation, err)
	}
	result, err := a.Administration.Run(x.r.Context(), x.adminCall(allowed), operation, encoded)
	if err != nil {
		return administrationProblem(err)
	}
	if output == nil {
		return nil
	}
	if err := json.Unmarshal(result, output); err != nil {
		return fmt.Errorf("reading the result of %s: %w", operation, err)
	}
	return nil
}

// allowed makes the check. What another replica has just granted or made is not
// in this snapshot yet; if there is no newer one, the refusal stands.
func (a *api) allowed(x *exchange, allowed check) error {
	err := allowed(x.snapshot, x.principal)
	if err == nil || !a.Signing.NewerThan(x.r.Context(), x.snapshot) {
		return err
	}
	snapshot := a.Signing.Snapshot()
	p, err := auth.Authenticate(snapshot, x.organizationID, x.authorization(), x.caller.IP, time.Now())
	if err != nil {
		return err
	}
	x.principal, x.snapshot = p, snapshot
	return allowed(snapshot, p)
}

// adminCall is the caller as the audit log will tell of it.
func (x *exchange) adminCall(allowed check) admin.Call {
	u := x.principal.User
	return admin.Call{
		Actor: audit.Actor{Type: string(u.Kind), ID: u.ID, Name: u.Name},
		IP:    x.caller.IP, UserAgent: x.caller.UserAgent, TraceID: x.caller.TraceID,
		Guard: func(cfg *model.Config) error {
			if cfg.Version == x.snapshot.Version() {
				return nil
			}
			s := authz.NewSnapshot(cfg)
			p, err := auth.Authenticate(s, x.organizationID, x.authorization(), x.caller.IP, time.Now())
			if err != nil {
				return err
			}
			return allowed(s, p)
		},
	}
}

// administrationProblem is problemOf for what operations answer. Their fields
// are spelled as SignPath spells fields in error documents: with a capital.
func administrationProblem(err error) error {
	var fields wire.FieldErrors
	switch {
	case errors.As(err, &fields):
		spelled := wire.FieldErrors{}
		for name, sentences := range fields {
			if n, ok := operationFields[name]; ok {
				name = n
			} else if r, size := utf8.DecodeRuneInString(name); size > 0 {
				name = string(unicode.ToUpper(r)) + name[size:]
			}
			spelled[name] = append(spelled[name], sentences...)
		}
		return spelled
	case errors.Is(err, admin.ErrNotFound):
		return wire.NewProblem(http.StatusForbidden, sentence(err))
	case errors.Is(err, admin.ErrQuota):
		return wire.NewProblem(http.StatusForbidden, sentence(err))
	case errors.Is(err, admin.ErrUnavailable):
		return &signing.Error{Problem: wire.NewProblem(http.StatusServiceUnavailable, "The key store cannot do this at the moment. Try again."), Cause: err}
	case errors.Is(err, admin.ErrConflict):
		return wire.NewProblem(http.StatusConflict, sentence(err))
	}
	return err
}

// operationFields are the fields of operations that have another name on the wire.
var operationFields = map[string]string{
	"active":                "IsActive",
	"artifactConfiguration": "ArtifactConfigurationSlug",
	"cursor":                "cursor", // as it stands in the query
	"limit":                 "limit",
	"certificate":           "CertificateSlug",
	"hashes":                "HashAlgorithms",
}

// sentence is an error's text as a sentence.
func sentence(err error) string {
	s := err.Error()
	r, size := utf8.DecodeRuneInString(s)
	return strings.TrimRight(string(unicode.ToUpper(r))+s[size:], ".") + "."
}

// readJSON reads a JSON body into v, a pointer to a struct. A body that is
// empty leaves v as it is, when that is allowed.
func (x *exchange) readJSON(v any, mayBeEmpty bool) error {
	body, err := x.requestBody()
	if err != nil {
		return err
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if len(data) == 0 && mayBeEmpty {
		return nil
	}
	if err := checkJSONType(x.r.Header.Get("Content-Type")); err != nil {
		return err
	}
	if err := wire.DecodeJSON(data, v); err != nil {
		return wire.Field("", "The request cannot be read: "+err.Error()+".")
	}
	return nil
}

// missing is the 400 for a member that must be there; hint ends its sentence.
func missing(field, hint string) error {
	return wire.Field(field, field+" is missing; "+hint+".")
}

// createdAt answers with what was made and where it is; path is relative to the
// organization.
func (a *api) createdAt(x *exchange, path string, v any) error {
	x.w.Header().Set("Location", a.PublicURL+"/Api/v1/"+x.organizationID+"/"+path)
	return x.json(http.StatusCreated, v)
}

// listOf is the answer of a list.
func listOf[T, Out any](list []T, next admin.Next, show func(T) Out) items[Out] {
	out := items[Out]{Items: make([]Out, len(list)), NextCursor: next.NextCursor}
	for i, v := range list {
		out.Items[i] = show(v)
	}
	return out
}

// clipped keeps foreign text in answers short.
func clipped(s string) string {
	const limit = 100
	if r := []rune(strings.ToValidUTF8(s, "?")); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return strings.ToValidUTF8(s, "?")
}
