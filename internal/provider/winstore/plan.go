package winstore

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
)

// Wanted is a key of the service that tools shall find.
type Wanted struct {
	Policy      string // project/policy, the container's name
	Certificate []byte // DER; nil: the key has none
	Issuers     [][]byte
	RSA, ECDSA  bool
	OpenPGP     bool
}

// Request says what shall become of the stores.
type Request struct {
	Location     Location
	Provider     Provider
	Organization string                   // of the keys; UUID
	Want         []Wanted                 // in the order of the report
	Scope        func(policy string) bool // which policies this is about; others stay as they are
	FriendlyName func(w Wanted, c *x509.Certificate) string
	Sync         bool // remove entries of the scope that nobody wants any more
	Everybody    bool // with Sync: whatever their organization
	TrustRoot    bool // put roots into Root
	Adopt        bool // link certificates that lie in My without a private key
}

// Kind is what is done with an entry.
type Kind string

// The kinds.
const (
	Add    Kind = "added"
	Update Kind = "updated" // link, friendly name or mark change; the certificate stays
	Remove Kind = "removed"
	Keep   Kind = "unchanged"
	Refuse Kind = "refused" // the text says why; the entry stays as it is
	Pass   Kind = "passed over"
)

// Action is one line of a plan.
type Action struct {
	Kind     Kind
	Location Location
	Store    string
	Policy   string // "" for issuers
	DER      []byte // nil where there is no certificate
	Text     string // why; "" where the kind says it all

	link         *Link
	friendlyName string
	mark         Mark
}

// Changes tells whether an action changes a store.
func (a Action) Changes() bool { return a.Kind == Add || a.Kind == Update || a.Kind == Remove }

// Plan compares what the stores hold with what is wanted. It changes nothing. The
// answer has one line for each wanted key, then the issuers, then what goes.
func Plan(have []Entry, r Request) []Action {
	p := planner{Request: r, have: have, wanted: map[string]string{}, issuers: map[string]bool{}}
	for _, w := range r.Want {
		p.key(w)
	}
	for _, w := range r.Want {
		p.chain(w)
	}
	if r.Sync {
		p.removeKeys()
		p.removeIssuers()
	}
	return p.actions
}

type planner struct {
	Request
	have    []Entry
	actions []Action
	wanted  map[string]string // DER of a certificate in My: policy
	issuers map[string]bool   // DER of those that wanted certificates need
	removed map[string]bool   // DER of what goes from My
}

func (p *planner) add(a Action) {
	a.Location = p.Location
	p.actions = append(p.actions, a)
}

// find gives the entry of a certificate; own leaves out those of other locations.
func (p *planner) find(store string, der []byte, own bool) *Entry {
	for i := range p.have {
		e := &p.have[i]
		if e.Store == store && bytes.Equal(e.DER, der) && !(own && e.Inherited) {
			return e
		}
	}
	return nil
}

// unfit says why a key cannot be linked, "" when it can.
func (p *planner) unfit(w Wanted) string {
	switch {
	case w.OpenPGP:
		return "OpenPGP keys have no certificate that Windows knows"
	case len(w.Certificate) == 0:
		return "the signing policy has no certificate"
	case !w.RSA && p.Provider.RSAOnly:
		return p.Provider.Name + " has RSA keys only; use --provider KSP"
	case !w.RSA && !w.ECDSA:
		return "Windows has no such keys (RSA and ECDSA only)"
	}
	return ""
}

// key plans the entry of one key in My.
func (p *planner) key(w Wanted) {
	a := Action{Store: My, Policy: w.Policy, DER: w.Certificate, mark: Mark{Organization: p.Organization, Policy: w.Policy}}
	cert, err := x509.ParseCertificate(w.Certificate)
	if why := p.unfit(w); why != "" || err != nil {
		if why == "" {
			why = "its certificate cannot be read"
		}
		a.Kind, a.Text, a.DER = Pass, why, nil
		p.add(a)
		return
	}
	if other := p.wanted[string(w.Certificate)]; other != "" {
		a.Kind, a.Text = Refuse, "the certificate is that of "+other+" too, and an entry has one link; register one of the two (--project, --signing-policy)"
		p.add(a)
		return
	}
	p.wanted[string(w.Certificate)] = w.Policy
	link := LinkOf(p.Provider, w.Policy, p.Location)
	a.link, a.friendlyName = &link, p.FriendlyName(w, cert)
	a.Kind, a.Text = p.judge(a)
	p.add(a)
}

// judge says what becomes of a wanted certificate that is, or is not, in My.
func (p *planner) judge(a Action) (Kind, string) {
	e := p.find(My, a.DER, true)
	if e == nil {
		return Add, ""
	}
	mark, ours := e.ours()
	switch {
	case ours && mark.Organization != a.mark.Organization:
		return Refuse, "it is registered for organization " + mark.Organization + "; unregister it there first"
	case ours && *e.Link == *a.link && e.FriendlyName == a.friendlyName && mark == a.mark:
		return Keep, ""
	case ours:
		return Update, changes(*e, a)
	case e.Link != nil && *e.Link == *a.link:
		return Keep, "it was linked by other means, and stays theirs"
	case e.Link != nil:
		return Refuse, fmt.Sprintf("it has a private key of the provider %q; remove that entry first if it shall not be used any more", e.Link.Provider)
	case p.Adopt:
		return Update, "it lay there without a private key"
	}
	return Refuse, "it lies there without a private key; --adopt links it"
}

// changes says what an update changes.
func changes(e Entry, a Action) string {
	var all []string
	if !strings.EqualFold(e.Link.Provider, a.link.Provider) {
		all = append(all, "provider "+e.Link.Provider+" becomes "+a.link.Provider)
	}
	if e.Link.Container != a.link.Container {
		all = append(all, "key "+e.Link.Container+" becomes "+a.link.Container)
	}
	if e.FriendlyName != a.friendlyName {
		all = append(all, "friendly name")
	}
	return strings.Join(all, ", ")
}

// chain plans the issuers of a key that is linked.
func (p *planner) chain(w Wanted) {
	if p.wanted[string(w.Certificate)] != w.Policy || len(w.Certificate) == 0 {
		return
	}
	for _, der := range w.Issuers {
		c, err := x509.ParseCertificate(der)
		if err != nil || p.issuers[string(der)] {
			continue
		}
		store := CA
		if isRoot(c) {
			if store = Root; !p.TrustRoot {
				continue
			}
		}
		p.issuers[string(der)] = true
		if p.find(store, der, false) != nil {
			continue // whoever put it there
		}
		p.add(Action{Kind: Add, Store: store, DER: der, Text: "issuer of " + w.Policy, mark: Mark{Organization: p.Organization}})
	}
}

// removeKeys plans the end of entries of ours that nobody wants.
func (p *planner) removeKeys() {
	p.removed = map[string]bool{}
	renewed := map[string]bool{}
	for _, w := range p.Want {
		renewed[w.Policy] = len(w.Certificate) > 0
	}
	for _, e := range p.have {
		mark, ours := e.ours()
		if !ours || e.Store != My || p.wanted[string(e.DER)] != "" || !p.Everybody && mark.Organization != p.Organization || p.Scope != nil && !p.Scope(mark.Policy) {
			continue
		}
		text := "the signing policy is not in sight any more"
		switch {
		case len(p.Want) == 0:
			text = ""
		case renewed[mark.Policy]:
			text = "the signing policy has another certificate now"
		}
		p.removed[string(e.DER)] = true
		p.add(Action{Kind: Remove, Store: My, Policy: mark.Policy, DER: e.DER, Text: text})
	}
}

// removeIssuers plans the end of issuers of ours that no entry needs any more:
// neither a wanted one nor one that stays in My, whoever made it. A root that was
// asked for once stays as long as there is something below it.
func (p *planner) removeIssuers() {
	var needed []*x509.Certificate
	for der := range p.issuers {
		if c, err := x509.ParseCertificate([]byte(der)); err == nil {
			needed = append(needed, c)
		}
	}
	for _, e := range p.have {
		if e.Store == My && !p.removed[string(e.DER)] {
			if c, err := x509.ParseCertificate(e.DER); err == nil {
				needed = append(needed, c)
			}
		}
	}
	var candidates []Entry
	for _, e := range p.have {
		if mark, ours := e.ours(); ours && e.Store != My && (p.Everybody || mark.Organization == p.Organization) && !p.issuers[string(e.DER)] {
			candidates = append(candidates, e)
		}
	}
	// An issuer that is needed needs its own issuer.
	for changed := true; changed; {
		changed = false
		candidates = slices.DeleteFunc(candidates, func(e Entry) bool {
			c, err := x509.ParseCertificate(e.DER)
			if err != nil || !slices.ContainsFunc(needed, func(n *x509.Certificate) bool { return bytes.Equal(n.RawIssuer, c.RawSubject) }) {
				return false
			}
			needed, changed = append(needed, c), true
			return true
		})
	}
	for _, e := range candidates {
		p.add(Action{Kind: Remove, Store: e.Store, DER: e.DER, Text: "no entry needs this issuer any more"})
	}
}
