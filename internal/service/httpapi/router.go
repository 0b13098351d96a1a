package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"signpath/internal/wire"
)

// access says what a route asks of the caller.
type access int

const (
	public   access = iota // no token
	tokenFor               // a token of the organization in the path
)

// route is one line of the table of routes.
type route struct {
	method  string // GET stands for HEAD too
	pattern string // segments in braces are parameters
	access  access
	handler func(*exchange) error

	segments []string
	literals int // segments that are no parameters
}

// newRoutes is the table of routes. Literal segments match without regard to
// case, because SignPath's own clients write /Api, /API and /api.
func newRoutes(a *api) []route {
	const org = "/Api/v1/{organizationId}"
	const policy = org + "/Projects/{projectSlug}/SigningPolicies/{signingPolicySlug}"
	routes := []route{
		{method: "GET", pattern: "/Api/healthz", access: public, handler: a.health},
		{method: "GET", pattern: "/Api/healthzd", access: public, handler: a.deepHealth},
		{method: "GET", pattern: "/Api/openapi.yaml", access: public, handler: a.openAPI},
		{method: "GET", pattern: "/Api/swagger", access: public, handler: a.swagger},
		{method: "GET", pattern: "/Api/swagger/index.html", access: public, handler: a.swagger},
		{method: "GET", pattern: "/Api/v1/Meta/SystemInfo", access: public, handler: a.systemInfo},
		{method: "GET", pattern: org + "/Cryptoki/MySigningPolicies", access: tokenFor, handler: a.mySigningPolicies},
		{method: "POST", pattern: org + "/SigningRequests", access: tokenFor, handler: a.submit},
		{method: "POST", pattern: org + "/SigningRequests/SubmitWithArtifact", access: tokenFor, handler: a.submit},
		{method: "POST", pattern: org + "/SigningRequests/SignHash", access: tokenFor, handler: a.signHash},
		{method: "GET", pattern: policy, access: tokenFor, handler: a.signingPolicy},
		{method: "GET", pattern: policy + "/Certificate", access: tokenFor, handler: a.certificate},
		{method: "GET", pattern: policy + "/Certificate/X509Certificate", access: tokenFor, handler: a.x509Certificate},
		{method: "GET", pattern: policy + "/Certificate/GpgPublicKey", access: tokenFor, handler: a.gpgPublicKey},
	}
	routes = append(routes, a.certificateRoutes(org)...)
	routes = slices.Concat(routes, projectRoutes(a, org), userRoutes(a, org), groupRoutes(a, org))
	routes = slices.Concat(routes, webhookRoutes(a, org), buildSystemRoutes(a, org), invitationRoutes(a, org), stopRoutes(a, org), keyRoutes(a, org))
	routes = append(routes, auditRoutes(a)...)
	routes = append(routes, requestRoutes(a, org)...)
	for i := range routes {
		routes[i].segments = strings.Split(routes[i].pattern, "/")[1:]
		for _, segment := range routes[i].segments {
			if !strings.HasPrefix(segment, "{") {
				routes[i].literals++
			}
		}
	}
	return routes
}

// find gives the route of a request and the values of its parameters. Its
// errors are the 404 and 405 documents; for 405, allow lists the methods.
func (a *api) find(r *http.Request) (found *route, params map[string]string, allow []string, err error) {
	segments, ok := pathSegments(r.URL)
	if ok {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		// Of the routes that fit, those with the most literal segments count:
		// SigningRequests/SignHash is no signing request with the ID "SignHash".
		most := -1
		for i := range a.routes {
			rt := &a.routes[i]
			if rt.literals < most || !rt.fits(segments) {
				continue
			}
			if rt.literals > most {
				most, found, allow = rt.literals, nil, nil
			}
			if rt.method == method {
				found = rt
			}
			allow = append(allow, rt.method)
			if rt.method == http.MethodGet {
				allow = append(allow, http.MethodHead)
			}
		}
		if found != nil {
			return found, found.parameters(segments), nil, nil
		}
	}
	if allow != nil {
		slices.Sort(allow)
		allow = slices.Compact(allow)
		return nil, nil, allow, wire.NewProblem(http.StatusMethodNotAllowed, "This address answers "+strings.Join(allow, ", ")+" only.")
	}
	return nil, nil, nil, wire.NewProblem(http.StatusNotFound, "There is no such address in this API. See "+a.PublicURL+"/Api/swagger for what there is.")
}

// pathSegments splits the path and decodes each segment once, so that an
// escaped slash stays inside its segment. An ApiUrl that ends in a slash gives
// an empty segment after "Api", and a path may end in a slash: both are taken
// away. All other empty segments stay and match nothing but parameters.
func pathSegments(u *url.URL) ([]string, bool) {
	segments := strings.Split(u.EscapedPath(), "/")
	if segments[0] != "" { // "*" or no path
		return nil, false
	}
	segments = segments[1:]
	for i, s := range segments {
		decoded, err := url.PathUnescape(s)
		if err != nil {
			return nil, false
		}
		segments[i] = decoded
	}
	if n := len(segments); n > 1 && segments[n-1] == "" {
		segments = segments[:n-1]
	}
	if len(segments) > 2 && segments[1] == "" {
		segments = slices.Delete(segments, 1, 2)
	}
	return segments, true
}

// fits tells whether a path is one of the route.
func (rt *route) fits(segments []string) bool {
	if len(segments) != len(rt.segments) {
		return false
	}
	for i, want := range rt.segments {
		if !strings.HasPrefix(want, "{") && !strings.EqualFold(want, segments[i]) {
			return false
		}
	}
	return true
}

// parameters are the values of the parameters in a path that fits.
func (rt *route) parameters(segments []string) map[string]string {
	var params map[string]string
	for i, want := range rt.segments {
		if strings.HasPrefix(want, "{") {
			if params == nil {
				params = make(map[string]string, 3)
			}
			params[want[1:len(want)-1]] = segments[i]
		}
	}
	return params
}
