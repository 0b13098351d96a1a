package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"signpath/internal/secret"
	"signpath/internal/service/admin"
	"signpath/internal/service/audit"
	"signpath/internal/service/pki"
	"signpath/internal/service/store"
)

// What a development service is made of.
const (
	devOrganizationName = "Development"
	devProject          = "hash-signing"
	devCIUser           = "ci"
	devAdministrator    = "administrator"
	devOtherUser        = "other"
)

// devStateSetting keeps, sealed, what only a development service remembers.
const devStateSetting = "dev.state"

// devState is what was made first, the authority of the signing certificates,
// and the text of the tokens.
type devState struct {
	OrganizationID  string              `json:"organizationId,omitempty"`
	Root            []byte              `json:"root"`
	Intermediate    []byte              `json:"intermediate"`
	RootKey         string              `json:"rootKey"`
	IntermediateKey string              `json:"intermediateKey"`
	Tokens          map[string]devToken `json:"tokens"` // by user name
}

type devToken struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// developer fills a development service, each piece only when it is missing.
type developer struct {
	*terminal
	i     *installation
	local admin.Local
	state devState
}

// prepareDev makes the organization with everything in it, as far as it is missing.
func prepareDev(ctx context.Context, t *terminal, i *installation, specs []pki.KeySpec) (*devContent, error) {
	d := &developer{terminal: t, i: i, local: admin.Local{Service: i.admin, Call: admin.Call{Actor: admin.CurrentOperator()}}}
	if err := d.loadState(ctx); err != nil {
		return nil, err
	}
	ca, err := d.authority(ctx)
	if err != nil {
		return nil, err
	}
	i.issuer.authority = ca
	org, err := d.organization(ctx)
	if err != nil {
		return nil, err
	}
	content := &devContent{organizationID: org.ID, root: ca.Root()}
	if err := d.project(ctx); err != nil {
		return nil, err
	}
	if err := d.users(ctx); err != nil {
		return nil, err
	}
	if err := d.policies(ctx, specs); err != nil {
		return nil, err
	}
	if content.certificates, err = d.certificates(ctx); err != nil {
		return nil, err
	}
	content.ci = secret.New(d.state.Tokens[devCIUser].Text)
	content.admin = secret.New(d.state.Tokens[devAdministrator].Text)
	content.other = secret.New(d.state.Tokens[devOtherUser].Text)
	return content, nil
}

func (d *developer) loadState(ctx context.Context) error {
	sealed, err := d.i.store.Setting(ctx, devStateSetting)
	if err != nil || sealed == nil {
		return err
	}
	plain, err := d.i.kek.Open(devStateSetting, sealed)
	if err != nil {
		return fmt.Errorf("opening what the development service remembers: %w", err)
	}
	return json.Unmarshal(plain, &d.state)
}

func (d *developer) saveState(ctx context.Context, eventType string) error {
	plain, err := json.Marshal(d.state)
	if err != nil {
		return err
	}
	sealed, err := d.i.kek.Seal(devStateSetting, plain)
	if err != nil {
		return err
	}
	return d.i.log.Change(ctx, func(tx store.Tx) ([]audit.Event, error) {
		return []audit.Event{{Type: eventType, Actor: d.local.Call.Actor}}, tx.PutSetting(devStateSetting, sealed)
	})
}

// authority is the root and intermediate of the signing certificates.
func (d *developer) authority(ctx context.Context) (*pki.DevCA, error) {
	if d.state.Root != nil {
		return pki.LoadDevCA(pki.DevCAFiles{
			Root: d.state.Root, Intermediate: d.state.Intermediate,
			RootKey: secret.New(d.state.RootKey), IntermediateKey: secret.New(d.state.IntermediateKey),
		})
	}
	ca, err := pki.NewDevCA(ctx)
	if err != nil {
		return nil, err
	}
	files, err := ca.Files()
	if err != nil {
		return nil, err
	}
	d.state.Root, d.state.Intermediate = files.Root, files.Intermediate
	d.state.RootKey, d.state.IntermediateKey = files.RootKey.Reveal(), files.IntermediateKey.Reveal()
	return ca, d.saveState(ctx, "Development.AuthorityCreated")
}

func (d *developer) organization(ctx context.Context) (admin.Organization, error) {
	var all admin.Organizations
	if err := d.local.Run(ctx, "organization.list", struct{}{}, &all); err != nil {
		return admin.Organization{}, err
	}
	for _, o := range all.Items {
		if o.ID == d.state.OrganizationID || d.state.OrganizationID == "" && o.Name == devOrganizationName {
			d.state.OrganizationID = o.ID
			return o, nil
		}
	}
	var out admin.Organization
	if err := d.local.Run(ctx, "organization.create", admin.NewOrganization{Name: devOrganizationName}, &out); err != nil {
		return out, err
	}
	d.state.OrganizationID = out.ID // saved with the tokens, which are new too
	return out, nil
}

func (d *developer) project(ctx context.Context) error {
	var all admin.Projects
	if err := d.local.Run(ctx, "project.list", d.ref(), &all); err != nil {
		return err
	}
	if slices.ContainsFunc(all.Items, func(p admin.Project) bool { return p.Slug == devProject }) {
		return nil
	}
	return d.local.Run(ctx, "project.create", admin.NewProject{OrganizationReference: d.ref(), Slug: devProject, Name: "Hash signing"}, nil)
}

// ref is the development service's own organization; people may add others.
func (d *developer) ref() admin.OrganizationReference {
	return admin.OrganizationReference{Organization: d.state.OrganizationID}
}

// users makes the three users and their tokens.
func (d *developer) users(ctx context.Context) error {
	wanted := []admin.NewUser{
		{OrganizationReference: d.ref(), Name: devCIUser, Kind: "ci"},
		{OrganizationReference: d.ref(), Name: devAdministrator, Kind: "interactive", Email: "administrator@example.com", Roles: []string{"GlobalAdministrator"}},
		{OrganizationReference: d.ref(), Name: devOtherUser, Kind: "ci"},
	}
	var users admin.Users
	if err := d.local.Run(ctx, "user.list", d.ref(), &users); err != nil {
		return err
	}
	var tokens admin.Tokens
	if err := d.local.Run(ctx, "token.list", admin.TokenFilter{OrganizationReference: d.ref()}, &tokens); err != nil {
		return err
	}
	if d.state.Tokens == nil {
		d.state.Tokens = map[string]devToken{}
	}
	changed := false
	for _, u := range wanted {
		if !slices.ContainsFunc(users.Items, func(o admin.User) bool { return o.Name == u.Name }) {
			if err := d.local.Run(ctx, "user.create", u, nil); err != nil {
				return err
			}
		}
		known := d.state.Tokens[u.Name].ID
		if slices.ContainsFunc(tokens.Items, func(t admin.Token) bool { return t.ID == known && t.Active }) {
			continue
		}
		var created admin.CreatedToken
		if err := d.local.Run(ctx, "token.create", admin.NewToken{OrganizationReference: d.ref(), User: u.Name, Name: "development", Replace: true}, &created); err != nil {
			return err
		}
		d.state.Tokens[u.Name] = devToken{created.ID, created.Text.Reveal()}
		changed = true
	}
	if !changed {
		return nil
	}
	return d.saveState(ctx, "Development.TokensCreated")
}

// policies makes the missing keys, several at a time and the slow ones first,
// and then the missing policies in the order of the list.
func (d *developer) policies(ctx context.Context, specs []pki.KeySpec) error {
	var certs admin.Certificates
	if err := d.local.Run(ctx, "certificate.list", d.ref(), &certs); err != nil {
		return err
	}
	missing := slices.DeleteFunc(slices.Clone(specs), func(s pki.KeySpec) bool {
		return slices.ContainsFunc(certs.Items, func(c admin.Certificate) bool { return c.Slug == s.Name })
	})
	slices.SortStableFunc(missing, func(a, b pki.KeySpec) int { return cmp.Compare(b.Bits, a.Bits) })
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, s := range missing {
		group.Go(func() error {
			_, err := slow(d.terminal, "making the key "+s.Name, func() (struct{}, error) { return struct{}{}, d.key(groupCtx, s) })
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	var policies admin.Policies
	if err := d.local.Run(ctx, "policy.list", admin.ProjectFilter{OrganizationReference: d.ref(), Project: devProject}, &policies); err != nil {
		return err
	}
	for _, s := range specs {
		if slices.ContainsFunc(policies.Items, func(p admin.Policy) bool { return p.Slug == s.Name }) {
			continue
		}
		if err := d.local.Run(ctx, "policy.create", admin.NewPolicy{OrganizationReference: d.ref(), Project: devProject, Slug: s.Name, Certificate: s.Name, Submitters: []string{devCIUser}}, nil); err != nil {
			return err
		}
	}
	return nil
}

// purposeProfiles are the purposes of development keys as profiles of certificates.
var purposeProfiles = map[pki.Purpose]string{
	pki.PurposeCode: admin.ProfileCodeSigning,
	pki.PurposeTLS:  admin.ProfileTLS,
	pki.PurposeMail: admin.ProfileMail,
}

// keyStore is where X.509 keys are made: on the token, if there is one.
func (d *developer) keyStore() string {
	if len(d.i.tokens) == 0 {
		return ""
	}
	return d.i.tokens[0].Name()
}

func (d *developer) key(ctx context.Context, s pki.KeySpec) error {
	keyType := strings.TrimPrefix(s.Name, string(s.Purpose)+"-")
	if s.Purpose == pki.PurposeGPG {
		return d.local.Run(ctx, "certificate.create-gpg", admin.NewOpenPGPKey{OrganizationReference: d.ref(), Slug: s.Name, KeyType: keyType, UserName: "SignPath development " + s.Name, Email: s.Name + "@example.com"}, nil)
	}
	template, err := pki.LeafTemplateFor(s.Name)
	if err != nil {
		return err
	}
	request := admin.NewCertificate{OrganizationReference: d.ref(), Slug: s.Name, KeyType: keyType, CommonName: template.CommonName, SubjectOrganization: template.Organization, Profile: purposeProfiles[s.Purpose], NotAfter: &template.NotAfter, KeyOrigin: admin.KeyOrigin{KeyStore: d.keyStore()}}
	if len(template.Emails) > 0 {
		request.Email = template.Emails[0]
	}
	return d.local.Run(ctx, "certificate.create", request, nil)
}

// certificates reads the public parts of every policy's key, also of policies
// that were made earlier and are not on the list this time.
func (d *developer) certificates(ctx context.Context) ([]devCertificate, error) {
	var policies admin.Policies
	if err := d.local.Run(ctx, "policy.list", admin.ProjectFilter{OrganizationReference: d.ref(), Project: devProject}, &policies); err != nil {
		return nil, err
	}
	var out []devCertificate
	for _, p := range policies.Items {
		c := devCertificate{policy: p.Slug}
		if err := d.local.Run(ctx, "certificate.export", admin.CertificateReference{OrganizationReference: d.ref(), Certificate: p.Certificate}, &c.ExportedCertificate); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}
