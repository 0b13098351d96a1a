package winstore

import (
	"crypto/x509"
	"time"
)

// Listed is an entry of My that leads to one of our providers, for people.
type Listed struct {
	Location     Location  `json:"location"`
	Thumbprint   string    `json:"thumbprint"`
	CommonName   string    `json:"commonName"`
	Policy       string    `json:"policy"` // project/policy, the name of the key container
	Provider     string    `json:"provider"`
	FriendlyName string    `json:"friendlyName"`
	NotAfter     time.Time `json:"notAfter"`
	Organization string    `json:"organization,omitempty"` // "" when the entry was made by other means
	State        State     `json:"state"`
}

// State is what is to say about an entry.
type State string

// The states, the first that fits.
const (
	Expired   State = "expired"
	NotYet    State = "not yet valid"
	Foreign   State = "of another organization"
	Gone      State = "gone"    // no such signing policy in sight
	Outdated  State = "renewed" // the signing policy has another certificate now
	ByHand    State = "linked by other means"
	Good      State = "ok"
	Unchecked State = "not compared" // the service was not asked
)

// List tells of all entries that lead to our providers. want is nil when the service
// was not asked; scope says which policies it was asked for.
func List(have []Entry, want []Wanted, organization string, scope func(policy string) bool, now time.Time) []Listed {
	current := map[string]string{}
	for _, w := range want {
		current[w.Policy] = string(w.Certificate)
	}
	all := []Listed{}
	for _, e := range have {
		if e.Store != My || e.Link == nil || e.Inherited {
			continue
		}
		provider, ok := providerOf(e.Link.Provider)
		if !ok {
			continue
		}
		l := Listed{Location: e.Location, Thumbprint: Thumbprint(e.DER), Policy: e.Link.Container, Provider: provider.Short, FriendlyName: e.FriendlyName}
		mark, made := e.ours()
		l.Organization = mark.Organization
		c, err := x509.ParseCertificate(e.DER)
		if err == nil {
			l.CommonName, l.NotAfter = c.Subject.CommonName, c.NotAfter.UTC()
		}
		known, inSight := current[l.Policy]
		switch {
		case err == nil && now.After(c.NotAfter):
			l.State = Expired
		case err == nil && now.Before(c.NotBefore):
			l.State = NotYet
		case made && organization != "" && mark.Organization != organization:
			l.State = Foreign
		case want == nil || scope != nil && !scope(l.Policy):
			l.State = Unchecked
		case !inSight:
			l.State = Gone
		case known != string(e.DER):
			l.State = Outdated
		case !made:
			l.State = ByHand
		default:
			l.State = Good
		}
		all = append(all, l)
	}
	return all
}
