package auth

import (
	"net/http"
	"strings"
	"time"

	"signpath/internal/secret"
	"signpath/internal/service/authz"
	"signpath/internal/wire"
)

// maxHeader is the longest Authorization header that is looked at.
const maxHeader = 4096

// Credentials are what an Authorization header carries.
type Credentials struct {
	Token secret.Secret
	// TBSToken proves a trusted build system; empty when none was sent.
	TBSToken secret.Secret
}

// ParseHeader reads an Authorization header: "Bearer {token}" or "Bearer
// {token}:{tbsToken}" (SignPath REST API documentation, build system
// integration; the scheme without regard to case, RFC 9110 section 11.1). The
// error is a *wire.Problem with status 401.
func ParseHeader(header string) (Credentials, error) {
	fail := func(detail string) (Credentials, error) {
		return Credentials{}, wire.NewProblem(http.StatusUnauthorized, detail)
	}
	header = strings.Trim(header, " \t")
	if header == "" {
		return fail("The Authorization header is missing. Send 'Authorization: Bearer {API token}'.")
	}
	if len(header) > maxHeader {
		return fail("The Authorization header is too long for an API token.")
	}
	scheme, text, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return fail("The Authorization header does not have the scheme Bearer. Send 'Authorization: Bearer {API token}'.")
	}
	text = strings.TrimLeft(text, " ")
	token, tbs, pair := strings.Cut(text, ":")
	switch {
	case token == "":
		return fail("The Authorization header has no API token after 'Bearer'.")
	case !isToken(token) || pair && tbs != "" && !isToken(tbs):
		return fail("The API token in the Authorization header has characters that no token has. Check how it was copied or quoted.")
	case pair && tbs == "":
		return fail("The Authorization header has no trusted build system token after the colon.")
	}
	return Credentials{Token: secret.New(token), TBSToken: secret.New(tbs)}, nil
}

// isToken tells whether s is a token68 (RFC 9110 section 11.2).
func isToken(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case strings.IndexByte("-._~+/=", c) >= 0:
		default:
			return false
		}
	}
	return true
}

const unknownToken = "The API token is unknown. Check that it was copied in full, was not regenerated since, and belongs to this organization."

// Authenticate finds the principal of a request. organizationID is the path
// segment (a UUID in any case), header the Authorization header, address the
// caller's IP address without port ("" if it is not known). Errors are
// *wire.Problem: 400 for an organization ID that is none, 403 for a token that
// may not be used from this address, else 401; the cause is in its detail. A token of another organization is "unknown": the answer
// does not tell that it, or the organization, exists. Causes beyond that are
// told only to someone who holds the token.
func Authenticate(snap *authz.Snapshot, organizationID, header, address string, now time.Time) (*authz.Principal, error) {
	organizationID, problem := ParseOrganizationID(organizationID)
	if problem != nil {
		return nil, problem
	}
	cred, err := ParseHeader(header)
	if err != nil {
		return nil, err
	}
	p, known := snap.Token(HashToken(cred.Token.Reveal()))
	build, built := snap.TrustedBuildSystem(organizationID, HashToken(cred.TBSToken.Reveal()))
	built = built && !cred.TBSToken.IsEmpty()
	for _, c := range []struct {
		refused bool
		detail  string
	}{
		{!known || p.Organization.ID != organizationID, unknownToken},
		{!p.Organization.Active, "The organization is not active."},
		{!p.Token.Active, "The API token was revoked. Create a new one for the user."},
		{!p.Token.Expires.IsZero() && !now.Before(p.Token.Expires), "The API token expired on " + p.Token.Expires.UTC().Format("2006-01-02 15:04:05Z") + ". Create a new one for the user."},
		{!p.User.Active, "The user of the API token is not active."},
		// To ignore a wrong one would let a caller believe that the build was verified.
		{!cred.TBSToken.IsEmpty() && !built, "The trusted build system token is unknown in this organization. Check that it was copied in full, or send the API token alone, without the part after the colon."},
		{built && !build.Active, "The trusted build system is not active."},
	} {
		if c.refused {
			return nil, wire.NewProblem(http.StatusUnauthorized, c.detail)
		}
	}
	if !allowedFrom(p.Token.Addresses, address) {
		return nil, wire.NewProblem(http.StatusForbidden, "The API token may not be used from the address "+named(address)+". Use it from one of the addresses that it is limited to, or have its limits changed.")
	}
	if built {
		p.TrustedBuildSystem = build
	}
	return &p, nil
}

// ParseOrganizationID checks the path segment and gives it in lower case. A
// malformed, empty or zero UUID is a problem with status 400.
func ParseOrganizationID(s string) (string, *wire.Problem) {
	id := strings.ToLower(s)
	if !isUUID(id) {
		return "", wire.NewValidationProblem(wire.Field("OrganizationId", "The organization ID in the address is not a UUID. The address has the form {ApiUrl}/v1/{OrganizationId}/…"))
	}
	if strings.Trim(id, "0-") == "" {
		return "", wire.NewValidationProblem(wire.Field("OrganizationId", "The organization ID in the address is the empty UUID. Fill in the ID of your organization."))
	}
	return id, nil
}

// isUUID accepts the one text form 8-4-4-4-12 in lower-case hex (RFC 9562 section 4).
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}
