package faults

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"signpath/e2e/rig"
	"signpath/internal/testkit/faultproxy"
)

// The documented waiting time, scaled down: a call with all its retries, and one attempt.
const (
	total   = 2 * time.Second
	attempt = time.Second
)

var scaledDown = []string{
	fmt.Sprintf("SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=%v", total.Seconds()),
	fmt.Sprintf("SIGNPATH_HTTP_REQUEST_TIMEOUT_IN_SECONDS=%v", attempt.Seconds()),
	"SIGNPATH_TIMEOUTS_FIRST_RETRY_DELAY=0.2",
}

// Documented codes.
const (
	functionFailed = "CKR_FUNCTION_FAILED" // not reached, or asked to come again
	deviceError    = "CKR_DEVICE_ERROR"    // the service is broken
	argumentsBad   = "CKR_ARGUMENTS_BAD"   // the service refused
	generalError   = "CKR_GENERAL_ERROR"   // not to be trusted
)

// fault is what goes wrong on the way and what a tool must be told, by the
// documented table of return values.
type fault struct {
	name   string
	fault  faultproxy.Fault
	code   string
	retry  bool // it may get better by waiting
	short  bool // in every family's list
	signed bool // makes sense for signatures only
}

func faults() []fault {
	all := []fault{
		{name: "connection reset", fault: faultproxy.Fault{Kind: faultproxy.Reset}, code: functionFailed, retry: true},
		{name: "closed without an answer", fault: faultproxy.Fault{Kind: faultproxy.CloseAfterRequest}, code: functionFailed, retry: true},
		{name: "half an answer", fault: faultproxy.Fault{Kind: faultproxy.Close, After: 20}, code: functionFailed, retry: true},
		{name: "half a body", fault: faultproxy.Fault{Kind: faultproxy.WrongLength, Delta: 10}, code: functionFailed, retry: true},
		{name: "no answer", fault: faultproxy.Fault{Kind: faultproxy.Stall}, code: functionFailed, retry: true, short: true},
		{name: "half an answer, then nothing", fault: faultproxy.Fault{Kind: faultproxy.Stall, After: 20}, code: functionFailed, retry: true},
		{name: "slow answer", fault: faultproxy.Fault{Kind: faultproxy.Slow, Chunk: 1, Pause: 50 * time.Millisecond}, code: functionFailed, retry: true},
		{name: "not HTTP", fault: faultproxy.Fault{Kind: faultproxy.Garbage}, code: deviceError},
		{name: "no content", fault: status(204), code: deviceError},
		{name: "not JSON", fault: answer(`{"Signature":`), code: deviceError},
		{name: "a page", fault: answer(`<html><body>Welcome to the hotel's network</body></html>`), code: deviceError},
		{name: "other JSON", fault: answer(`{"hello":"world"}`), code: deviceError},
		{name: "signature not in base64", fault: answer(`{"Signature":"!"}`), code: deviceError, signed: true},
		{name: "empty signature", fault: answer(`{"Signature":""}`), code: deviceError, signed: true},
		{name: "wrong signature", fault: answer(fmt.Sprintf(`{"Signature":%q}`, base64.StdEncoding.EncodeToString(slices.Repeat([]byte{7}, 64)))), code: deviceError, signed: true, short: true},
		{name: "signature of another length", fault: answer(fmt.Sprintf(`{"Signature":%q}`, base64.StdEncoding.EncodeToString(make([]byte, 256)))), code: deviceError, signed: true},
	}
	for _, code := range []int{301, 302, 303, 307, 308} {
		f := status(code)
		f.Header = http.Header{"Location": {"https://elsewhere.example/"}}
		all = append(all, fault{name: fmt.Sprint("redirect ", code), fault: f, code: deviceError})
	}
	for code := 400; code <= 451; code++ {
		f := fault{name: fmt.Sprint(code), fault: status(code), code: argumentsBad, short: code == 400}
		if code == http.StatusRequestTimeout || code == http.StatusTooManyRequests {
			f.code, f.retry = functionFailed, true
		}
		if http.StatusText(code) != "" { // those that have a name
			all = append(all, f)
		}
	}
	for _, code := range []int{500, 501, 502, 503, 504, 505, 507, 599} {
		f := fault{name: fmt.Sprint(code), fault: status(code), code: deviceError, retry: true}
		if code >= 502 && code <= 504 {
			f.code, f.short = functionFailed, code == 503
		}
		all = append(all, f)
	}
	return all
}

// always are the faults that the quick families have in every run; the others
// differ in their number only.
func (f fault) always() bool {
	return f.short || !slices.Contains([]string{"301", "303", "308", "402", "406", "410", "411", "412", "414", "416", "417", "418", "421", "423", "424", "425", "426", "428", "431", "451", "501", "505", "507", "599"}, strings.TrimPrefix(f.name, "redirect "))
}

func status(code int) faultproxy.Fault {
	return faultproxy.Fault{Kind: faultproxy.Status, Status: code, Body: http.StatusText(code)}
}

func answer(body string) faultproxy.Fault {
	return faultproxy.Fault{Kind: faultproxy.Status, Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: body}
}

// faulty puts a fault proxy in front of the service, and gives the settings that lead to it.
func faulty(t *testing.T, s *rig.Service) (front, []string) {
	t.Helper()
	target := rig.Must(url.Parse(s.Env["SIGNPATH_API_URL"]))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(rig.Must(os.ReadFile(s.Env["SIGNPATH_TRUSTED_CA_FILE"])))
	p, err := faultproxy.HTTP(target, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	ca := rig.Write(t, filepath.Join(t.TempDir(), "proxy-ca.pem"), p.CA())
	return front{p}, append([]string{"SIGNPATH_API_URL=" + p.URL(target.Path).String(), "SIGNPATH_TRUSTED_CA_FILE=" + ca}, scaledDown...)
}

// front is a fault proxy in front of a service.
type front struct{ *faultproxy.Proxy }

// spoil lets the next requests pass and spoils all that come then. It gives the
// number of the first of those.
func (p front) spoil(t *testing.T, pass int, f faultproxy.Fault) (first int) {
	t.Helper()
	first = p.Requests() + pass
	p.Next(pass, faultproxy.Fault{})
	if err := p.Set(f); err != nil {
		t.Fatal(err)
	}
	return first
}

// Where a fault hits: the list of keys at login, or the signature behind it.
var phases = []struct {
	function string
	before   int // requests that go well
}{{"C_Login", 0}, {"C_Sign", 1}}

// TestFaults lets everything go wrong between module and service, once while the
// tool logs in and once while it signs.
func TestFaults(t *testing.T) {
	s := rig.TheService(t)
	for _, fam := range families {
		for _, f := range faults() {
			if !rig.All && (!f.always() || !f.short && (fam.java || fam.daemon || fam.name == "osslsigncode")) {
				continue
			}
			for _, phase := range phases {
				if phase.function == "C_Login" && (f.signed || fam.searches || fam.java && !(rig.All && f.short)) {
					continue
				}
				t.Run(fam.name+"/"+phase.function+"/"+f.name, func(t *testing.T) {
					t.Parallel()
					most, longest := 1, total
					if fam.relogs { // one request more, which is not repeated
						most, longest = 2, total+attempt
					}
					// The documented waiting time, once: also for tools that ask again for a failed signature.
					timed(t, longest+hurry, func() time.Duration {
						p, settings := faulty(t, s)
						first := 0 // the request that goes wrong
						tl, r := fam.sign(t, s, func() { first = p.spoil(t, phase.before, f.fault) }, settings...)
						r.Fails(t)
						tl.InLog(t, phase.function, f.code)
						arrived := p.Arrived()
						if len(arrived) <= first {
							t.Fatalf("%d requests: the tool did not come that far:\n%s", len(arrived), r.Output)
						}
						arrived = arrived[first:]
						switch {
						case !f.retry && len(arrived) > most:
							t.Errorf("%d requests, though nothing gets better by repeating:\n%s", len(arrived), tl.Log())
						case f.retry && f.fault.Kind != faultproxy.Stall && f.fault.Kind != faultproxy.Slow && len(arrived) < 2:
							t.Errorf("%d request: it was not tried again:\n%s", len(arrived), tl.Log())
						}
						s.Nowhere(t, s.Env["SIGNPATH_API_TOKEN"], tl.Tool, r)
						return arrived[len(arrived)-1].Sub(arrived[0])
					})
				})
			}
		}
	}
}

// TestFaultsPass shows that one fault that passes costs a pause and no
// signature; and that a request whose answer was lost is not signed twice.
func TestFaultsPass(t *testing.T) {
	s := rig.TheService(t)
	for _, fam := range families {
		for _, f := range append(faults(), fault{name: "lost answer", fault: faultproxy.Fault{Kind: faultproxy.LostAnswer}, retry: true, short: true}) {
			if !f.retry || !rig.All && (!f.short || fam.java && f.name != "lost answer") {
				continue
			}
			t.Run(fam.name+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				p, settings := faulty(t, s)
				before := 0
				arm := func() {
					before = p.Requests()
					if !fam.searches { // a search tries once only
						p.Next(1, f.fault)
					}
					p.Next(1, faultproxy.Fault{})
					p.Next(1, f.fault)
				}
				// Time enough for two attempts and what a busy machine takes.
				tl, r := fam.sign(t, s, arm, append(settings, "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=60")...)
				r.OK(t)
				if n := p.Requests() - before; n < 3 || n < 4 && !fam.searches {
					t.Errorf("%d requests, want at least list, list, signature, signature:\n%s", n, tl.Log())
				}
				if f.name == "lost answer" && fam.name == "openssl" {
					intents := 0
					export := rig.Run(t, nil, rig.Binary, "audit", "export", "--data", s.File("data")).OK(t)
					digest := fmt.Sprintf("%x", rig.SHA256Of([]byte("an artifact of "+t.Name())))
					for line := range strings.SplitSeq(export.Output, "\n") {
						if strings.Contains(line, "HashSigning.Intent") && strings.Contains(line, digest) {
							intents++
						}
					}
					if intents != 1 {
						t.Errorf("the key was used %d times for one signature", intents)
					}
				}
			})
		}
	}
}

// TestFaultsWaitOnce: tools that ask again for a signature that failed do not
// wait again. The total is long enough to tell once from twice.
func TestFaultsWaitOnce(t *testing.T) {
	s := rig.TheService(t)
	for _, fam := range families {
		if fam.java && !rig.All {
			continue
		}
		t.Run(fam.name, func(t *testing.T) {
			t.Parallel()
			const once = 4 * time.Second
			timed(t, once+2*time.Second, func() time.Duration {
				p, settings := faulty(t, s)
				first := 0
				tl, r := fam.sign(t, s, func() { first = p.spoil(t, 1, status(503)) }, append(settings, fmt.Sprintf("SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=%v", once.Seconds()))...)
				r.Fails(t)
				arrived := p.Arrived()
				if len(arrived) <= first {
					t.Fatalf("%d requests: the tool did not come that far:\n%s", len(arrived), r.Output)
				}
				span := time.Since(arrived[first]) // until the tool ended
				if asked := strings.Count(tl.Log(), "C_Sign"); fam.repeats && asked < 2 {
					t.Errorf("the tool asked %d times: this test shows nothing any more:\n%s", asked, tl.Log())
				}
				return span
			})
		})
	}
}
