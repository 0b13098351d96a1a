package winstore

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"
)

const org, otherOrg = "7f3c2d10-5c3e-4b7a-9d52-0e6f1a2b3c4d", "11111111-5c3e-4b7a-9d52-0e6f1a2b3c4d"

var now = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

// authority issues certificates; names are what tests compare.
type authority struct {
	key    *ecdsa.PrivateKey
	cert   *x509.Certificate
	serial int64
}

func issue(t *testing.T, by *authority, name string, from, to int) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.AddDate(0, 0, from), NotAfter: now.AddDate(0, 0, to), IsCA: true, BasicConstraintsValid: true}
	parent, signer := template, key
	if by != nil {
		by.serial++
		template.SerialNumber = big.NewInt(by.serial)
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key: key, cert: cert}
}

func (a *authority) der() []byte { return a.cert.Raw }

// world is a small one: two keys below one intermediate.
type world struct{ root, middle, other, rsa, old, ec *authority }

func newWorld(t *testing.T) *world {
	w := &world{root: issue(t, nil, "root", -900, 900)}
	w.middle = issue(t, w.root, "middle", -900, 900)
	w.other = issue(t, w.root, "other", -900, 900)
	w.rsa = issue(t, w.middle, "rsa", -10, 300)
	w.old = issue(t, w.middle, "rsa", -300, -1)
	w.ec = issue(t, w.middle, "ec", -10, 300)
	return w
}

func (w *world) wanted() []Wanted {
	chain := [][]byte{w.middle.der(), w.root.der()}
	return []Wanted{
		{Policy: "app/ec", Certificate: w.ec.der(), Issuers: chain, ECDSA: true},
		{Policy: "app/rsa", Certificate: w.rsa.der(), Issuers: chain, RSA: true},
	}
}

func ksp(t *testing.T) Provider {
	t.Helper()
	p, ok := ProviderNamed("KSP")
	if !ok {
		t.Fatal("no KSP")
	}
	return p
}

func (w *world) request(t *testing.T) Request {
	return Request{Location: CurrentUser, Provider: ksp(t), Organization: org, Want: w.wanted(),
		FriendlyName: func(w Wanted, _ *x509.Certificate) string { return "SignPath " + w.Policy }}
}

// my is an entry as this package makes it.
func my(t *testing.T, der []byte, policy, organization string) Entry {
	link := LinkOf(ksp(t), policy, CurrentUser)
	return Entry{Location: CurrentUser, Store: My, DER: der, Link: &link, FriendlyName: "SignPath " + policy, Description: Mark{organization, policy}.String()}
}

func issuerEntry(store string, der []byte) Entry {
	return Entry{Location: CurrentUser, Store: store, DER: der, Description: Mark{Organization: org}.String()}
}

// lines writes a plan as "kind store CN: text".
func lines(plan []Action) (all []string) {
	for _, a := range plan {
		name := a.Policy
		if c, err := x509.ParseCertificate(a.DER); err == nil {
			name += "(" + c.Subject.CommonName + ")"
		}
		all = append(all, strings.TrimSuffix(fmt.Sprintf("%s %s %s: %s", a.Kind, a.Store, name, a.Text), ": "))
	}
	return all
}

func TestPlan(t *testing.T) {
	w := newWorld(t)
	rsa, ec := my(t, w.rsa.der(), "app/rsa", org), my(t, w.ec.der(), "app/ec", org)
	middle := issuerEntry(CA, w.middle.der())
	change := func(e Entry, f func(*Entry)) Entry {
		if e.Link != nil {
			link := *e.Link
			e.Link = &link
		}
		f(&e)
		return e
	}
	foreign := change(rsa, func(e *Entry) { e.Link.Provider, e.Description = "Microsoft Software Key Storage Provider", "" })
	bare := Entry{Location: CurrentUser, Store: My, DER: w.rsa.der()}
	byHand := change(rsa, func(e *Entry) { e.Description = "" })
	inherited := change(middle, func(e *Entry) { e.Inherited = true })
	all := []string{"added My app/ec(ec)", "added My app/rsa(rsa)", "added CA (middle): issuer of app/ec"}
	still := []string{"unchanged My app/ec(ec)", "unchanged My app/rsa(rsa)"}
	for _, tt := range []struct {
		name   string
		have   []Entry
		change func(*Request)
		want   []string
	}{
		{"empty stores", nil, nil, all},
		{"once more", []Entry{rsa, ec, middle}, func(r *Request) { r.Sync = true }, still},
		{"the intermediate is there by other means", []Entry{rsa, ec, change(middle, func(e *Entry) { e.Description = "" })}, nil, still},
		{"the intermediate lies in LocalMachine", []Entry{rsa, ec, inherited}, nil, still},
		{"root asked for", []Entry{rsa, ec, middle}, func(r *Request) { r.TrustRoot = true }, append(still[:2:2], "added Root (root): issuer of app/ec")},
		{"root there", []Entry{rsa, ec, middle, issuerEntry(Root, w.root.der())}, func(r *Request) { r.TrustRoot, r.Sync = true, true }, still},
		{"a root that was asked for once stays", []Entry{rsa, ec, middle, issuerEntry(Root, w.root.der())}, func(r *Request) { r.Sync = true }, still},
		{"another provider", []Entry{rsa, ec, middle}, func(r *Request) { r.Provider, _ = ProviderNamed("CSP") },
			[]string{"passed over My app/ec: SignPathCSP has RSA keys only; use --provider KSP", "updated My app/rsa(rsa): provider SignPathKSP becomes SignPathCSP"}},
		{"another friendly name", []Entry{rsa, ec, middle}, func(r *Request) {
			r.FriendlyName = func(Wanted, *x509.Certificate) string { return "mine" }
		}, []string{"updated My app/ec(ec): friendly name", "updated My app/rsa(rsa): friendly name"}},
		{"the policy was renamed", []Entry{change(rsa, func(e *Entry) { e.Link.Container = "old/rsa" }), ec, middle}, nil,
			[]string{"unchanged My app/ec(ec)", "updated My app/rsa(rsa): key old/rsa becomes app/rsa"}},
		{"another private key", []Entry{foreign, ec, middle}, func(r *Request) { r.Sync, r.Adopt = true, true },
			[]string{"unchanged My app/ec(ec)", `refused My app/rsa(rsa): it has a private key of the provider "Microsoft Software Key Storage Provider"; remove that entry first if it shall not be used any more`}},
		{"without a private key", []Entry{bare, ec, middle}, nil,
			[]string{"unchanged My app/ec(ec)", "refused My app/rsa(rsa): it lies there without a private key; --adopt links it"}},
		{"adopted", []Entry{bare, ec, middle}, func(r *Request) { r.Adopt = true },
			[]string{"unchanged My app/ec(ec)", "updated My app/rsa(rsa): it lay there without a private key"}},
		{"linked by certutil", []Entry{byHand, ec, middle}, nil,
			[]string{"unchanged My app/ec(ec)", "unchanged My app/rsa(rsa): it was linked by other means, and stays theirs"}},
		{"of another organization", []Entry{my(t, w.rsa.der(), "app/rsa", otherOrg), ec, middle}, func(r *Request) { r.Sync = true },
			[]string{"unchanged My app/ec(ec)", "refused My app/rsa(rsa): it is registered for organization " + otherOrg + "; unregister it there first"}},
		{"renewed", []Entry{my(t, w.old.der(), "app/rsa", org), ec, middle}, func(r *Request) { r.Sync = true },
			[]string{"unchanged My app/ec(ec)", "added My app/rsa(rsa)", "removed My app/rsa(rsa): the signing policy has another certificate now"}},
		{"renewed, without sync", []Entry{my(t, w.old.der(), "app/rsa", org), ec, middle}, nil,
			[]string{"unchanged My app/ec(ec)", "added My app/rsa(rsa)"}},
		{"gone", []Entry{rsa, ec, middle}, func(r *Request) { r.Sync, r.Want = true, r.Want[:1] },
			[]string{"unchanged My app/ec(ec)", "removed My app/rsa(rsa): the signing policy is not in sight any more"}},
		{"gone, but out of scope", []Entry{rsa, ec, middle}, func(r *Request) {
			r.Sync, r.Want, r.Scope = true, r.Want[:1], func(p string) bool { return p == "app/ec" }
		}, []string{"unchanged My app/ec(ec)"}},
		{"gone, made by others", []Entry{byHand, foreign, my(t, w.old.der(), "app/rsa", otherOrg), middle, ec}, func(r *Request) { r.Sync, r.Want = true, r.Want[:1] },
			[]string{"unchanged My app/ec(ec)"}},
		{"gone, marked by us, but with somebody else's key since", []Entry{change(rsa, func(e *Entry) { e.Link.Provider = "Microsoft Software Key Storage Provider" }), change(my(t, w.old.der(), "app/rsa", org), func(e *Entry) { e.Link = nil }), ec, middle}, func(r *Request) { r.Sync, r.Want = true, r.Want[:1] },
			[]string{"unchanged My app/ec(ec)"}},
		{"unregister", []Entry{rsa, ec, middle, issuerEntry(CA, w.other.der())}, func(r *Request) { r.Sync, r.Want = true, nil },
			[]string{"removed My app/rsa(rsa)", "removed My app/ec(ec)", "removed CA (middle): no entry needs this issuer any more", "removed CA (other): no entry needs this issuer any more"}},
		{"unregister one", []Entry{rsa, ec, middle, issuerEntry(Root, w.root.der())}, func(r *Request) {
			r.Sync, r.Want, r.Scope = true, nil, func(p string) bool { return p == "app/rsa" }
		}, []string{"removed My app/rsa(rsa)"}},
		{"unregister leaves what is not ours", []Entry{byHand, change(middle, func(e *Entry) { e.Description = "" }), inherited, my(t, w.ec.der(), "app/ec", otherOrg)}, func(r *Request) { r.Sync, r.Want = true, nil }, nil},
		{"unregister everybody's", []Entry{byHand, my(t, w.ec.der(), "app/ec", otherOrg)}, func(r *Request) { r.Sync, r.Want, r.Everybody = true, nil, true },
			[]string{"removed My app/ec(ec)"}},
		{"an issuer of somebody's entry stays", []Entry{{Store: My, DER: w.ec.der()}, middle, issuerEntry(Root, w.root.der())}, func(r *Request) { r.Sync, r.Want = true, nil }, nil},
		{"two policies with one certificate", nil, func(r *Request) { r.Want[0].Certificate, r.Want[0].ECDSA, r.Want[0].RSA = w.rsa.der(), false, true },
			[]string{"added My app/ec(rsa)", "refused My app/rsa(rsa): the certificate is that of app/ec too, and an entry has one link; register one of the two (--project, --signing-policy)", "added CA (middle): issuer of app/ec"}},
		{"what Windows does not have", nil, func(r *Request) {
			r.Want = []Wanted{{Policy: "a/gpg", OpenPGP: true}, {Policy: "a/none", RSA: true}, {Policy: "a/ed", Certificate: w.ec.der()}, {Policy: "a/bad", Certificate: []byte{1}, RSA: true}}
		}, []string{"passed over My a/gpg: OpenPGP keys have no certificate that Windows knows", "passed over My a/none: the signing policy has no certificate",
			"passed over My a/ed: Windows has no such keys (RSA and ECDSA only)", "passed over My a/bad: its certificate cannot be read"}},
	} {
		r := w.request(t)
		if tt.change != nil {
			tt.change(&r)
		}
		if got := lines(Plan(tt.have, r)); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
}

func TestLinks(t *testing.T) {
	for _, tt := range []struct {
		short string
		l     Location
		want  Link
	}{
		{"KSP", CurrentUser, Link{"SignPathKSP", "a/b", 0, 0, 0}},
		{"KSP", LocalMachine, Link{"SignPathKSP", "a/b", 0, 0, 0x20}},
		{"CSP", CurrentUser, Link{"SignPathCSP", "a/b", 24, 2, 0}},
		{"CSP", LocalMachine, Link{"SignPathCSP", "a/b", 24, 2, 0x20}},
	} {
		p, _ := ProviderNamed(tt.short)
		if got := LinkOf(p, "a/b", tt.l); got != tt.want {
			t.Errorf("%s in %s: %+v", tt.short, tt.l, got)
		}
	}
}

func TestMarks(t *testing.T) {
	for _, m := range []Mark{{org, "app/rsa"}, {org, ""}, {org, "issuer/issuer"}, {org, "a/b of organization c"}} {
		if got, ok := ParseMark(m.String()); !ok || got != m {
			t.Errorf("%+v is read as %+v, %v", m, got, ok)
		}
	}
	for _, text := range []string{"", "my certificate", markBegin, markBegin + "a/b", markBegin + "ab of organization " + org, markBegin + "a/b of organization ", markBegin + "/b of organization " + org, "x" + markBegin + "a/b of organization " + org} {
		if m, ok := ParseMark(text); ok {
			t.Errorf("%q is read as %+v", text, m)
		}
	}
}

func TestList(t *testing.T) {
	w := newWorld(t)
	early := issue(t, w.middle, "early", 10, 20)
	byHand := my(t, w.rsa.der(), "app/rsa", org)
	byHand.Description = ""
	for _, tt := range []struct {
		name  string
		entry Entry
		want  func([]Wanted) []Wanted
		scope func(string) bool
		state State
	}{
		{"ok", my(t, w.rsa.der(), "app/rsa", org), nil, nil, Good},
		{"by hand", byHand, nil, nil, ByHand},
		{"expired", my(t, w.old.der(), "app/rsa", org), nil, nil, Expired},
		{"early", my(t, early.der(), "app/rsa", org), nil, nil, NotYet},
		{"renewed", my(t, w.ec.der(), "app/rsa", org), nil, nil, Outdated},
		{"gone", my(t, w.rsa.der(), "app/gone", org), nil, nil, Gone},
		{"nothing in sight", my(t, w.rsa.der(), "app/rsa", org), func([]Wanted) []Wanted { return []Wanted{} }, nil, Gone},
		{"not asked", my(t, w.rsa.der(), "app/rsa", org), func([]Wanted) []Wanted { return nil }, nil, Unchecked},
		{"out of scope", my(t, w.rsa.der(), "app/rsa", org), nil, func(p string) bool { return false }, Unchecked},
		{"another organization", my(t, w.rsa.der(), "app/rsa", otherOrg), nil, nil, Foreign},
	} {
		want := w.wanted()
		if tt.want != nil {
			want = tt.want(want)
		}
		entries := []Entry{{Store: My, DER: w.middle.der()}, issuerEntry(CA, w.middle.der()), tt.entry}
		got := List(entries, want, org, tt.scope, now)
		if len(got) != 1 || got[0].State != tt.state || got[0].Policy != tt.entry.Link.Container || got[0].Provider != "KSP" || got[0].Thumbprint != Thumbprint(tt.entry.DER) {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}
