package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"signpath/internal/buildinfo"
	"signpath/internal/provider/hostprocess"
	"signpath/internal/provider/keyring"
	"signpath/internal/provider/logfile"
	"signpath/internal/provider/settings"
	"signpath/internal/provider/winstore"
	"signpath/internal/wire"
)

// certificatesCommands keep the certificate stores of Windows in step.
type certificatesCommands struct {
	Register   certificatesRegisterCommand   `cmd:"" help:"Put the certificates of signing policies into the Windows store, linked to a provider."`
	Unregister certificatesUnregisterCommand `cmd:"" help:"Remove what register put there."`
	List       certificatesListCommand       `cmd:"" help:"List the entries that lead to the providers, and compare them with the service."`
}

// Help implements kong.HelpProvider.
func (certificatesCommands) Help() string {
	return examples(
		"signpath certificates register --sync",
		"signpath certificates list",
		"signpath certificates unregister",
	)
}

// storeFlags say which entries are meant.
type storeFlags struct {
	providerFlags
	Store         string `help:"CurrentUser, or LocalMachine for all users and services (as administrator)." enum:"CurrentUser,LocalMachine" default:"CurrentUser"`
	Project       string `help:"Only signing policies of this project." placeholder:"SLUG"`
	SigningPolicy string `name:"signing-policy" aliases:"policy" help:"Only this signing policy; PROJECT/POLICY names both." placeholder:"SLUG"`
	JSON          bool   `name:"json" help:"Print as JSON."`
}

// check takes PROJECT/POLICY apart.
func (f *storeFlags) check() error {
	project, policy, both := strings.Cut(f.SigningPolicy, "/")
	if !both {
		return nil
	}
	if f.Project != "" && f.Project != project || project == "" || policy == "" {
		return usage(fmt.Errorf("--project %s and --signing-policy %s contradict each other", f.Project, f.SigningPolicy), "")
	}
	f.Project, f.SigningPolicy = project, policy
	return nil
}

// scope tells which policies the flags and the settings leave in sight.
func scope(filters ...[2]string) func(policy string) bool {
	return func(name string) bool {
		project, policy, _ := strings.Cut(name, "/")
		for _, f := range filters {
			if f[0] != "" && f[0] != project || f[1] != "" && f[1] != policy {
				return false
			}
		}
		return true
	}
}

// certificatesRegisterCommand is `signpath certificates register`.
type certificatesRegisterCommand struct {
	storeFlags
	Provider     string `help:"KSP (key storage provider, CNG) or CSP (CryptoAPI, RSA only)." enum:"KSP,CSP" default:"KSP"`
	FriendlyName string `help:"Name of the entries for people, and the alias in Java's Windows-MY; {project}, {policy} and {cn} are replaced." default:"SignPath {project}/{policy}" placeholder:"TEXT"`
	Sync         bool   `help:"Also remove entries of policies that are gone, and of renewed certificates."`
	AtLogon      bool   `help:"Also run this command with --sync whenever this user logs on."`
	Adopt        bool   `help:"Link certificates that lie in the store without a private key, e.g. imported from a .cer file."`
	TrustRoot    bool   `help:"Also put the roots into the store of trusted roots. Windows asks the user for consent."`
	DryRun       bool   `help:"Only say what would be done."`
}

// Help implements kong.HelpProvider.
func (certificatesRegisterCommand) Help() string {
	return `Afterwards tools find the certificates by thumbprint or name, and sign with them through the provider: signtool /sha1 and /n, Set-AuthenticodeSignature, nuget sign, HLK Studio, jarsigner with Windows-MY. No private key comes to this machine. The provider must be installed, and its settings must be there when the tool runs.

Certificates go into My, intermediates into CA (intermediate certification authorities), roots nowhere unless --trust-root is given. Run it as often as you like: what is right stays as it is. Entries that this command did not make are never changed or removed, except by --adopt.

` + examples(
		"signpath certificates register",
		"signpath certificates register --signing-policy my-project/release --provider CSP",
		"signpath certificates register --sync --at-logon",
	)
}

// Run changes the stores.
func (c *certificatesRegisterCommand) Run(ctx context.Context, t *terminal) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.AtLogon && c.Store == string(winstore.LocalMachine) {
		return usage(errors.New("--at-logon is for CurrentUser: who logs on usually may not change LocalMachine"), atStart())
	}
	provider, _ := winstore.ProviderNamed(c.Provider) // the parser has looked
	have, err := readStores(c.Store)
	if err != nil {
		return err
	}
	ctx, stop := untilStopped(ctx)
	defer stop()
	s, want, err := askForCertificates(ctx, t, &c.storeFlags, 0)
	if err != nil {
		if ctx.Err() != nil {
			return stopped()
		}
		return err
	}
	plan := winstore.Plan(have, winstore.Request{
		Location: winstore.Location(c.Store), Provider: provider, Organization: s.OrganizationID, Want: want,
		Scope:        scope([2]string{c.Project, c.SigningPolicy}, [2]string{s.ProjectSlug, s.SigningPolicySlug}),
		FriendlyName: c.friendlyName, Sync: c.Sync || c.AtLogon, TrustRoot: c.TrustRoot, Adopt: c.Adopt,
	})
	if err := applyPlan(t, plan, c.JSON, c.DryRun); err != nil {
		return err
	}
	if c.AtLogon && !c.DryRun {
		return c.setLogon(t)
	}
	return nil
}

// atStart is what keeps LocalMachine in step: SYSTEM has neither this user's PATH nor
// this user's protected token.
func atStart() string {
	self, err := os.Executable()
	if err != nil {
		self = "signpath.exe"
	}
	return `let SYSTEM do it when Windows starts: schtasks /Create /TN "SignPath certificates" /SC ONSTART /RU SYSTEM /TR "\"` + self +
		`\" certificates register --store LocalMachine --sync" (SYSTEM reads the system's SIGNPATH_CONFIG_FILE, and a token in it that was made with: signpath token protect --user machine)`
}

// friendlyName fills the placeholders.
func (c *certificatesRegisterCommand) friendlyName(w winstore.Wanted, cert *x509.Certificate) string {
	project, policy, _ := strings.Cut(w.Policy, "/")
	return strings.NewReplacer("{project}", project, "{policy}", policy, "{cn}", cert.Subject.CommonName).Replace(c.FriendlyName)
}

// setLogon lets this command run at every logon, with the same flags.
func (c *certificatesRegisterCommand) setLogon(t *terminal) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	line := []string{self, "certificates", "register", "--sync", "--provider", c.Provider, "--friendly-name", c.FriendlyName}
	for _, f := range [][2]string{{"--project", c.Project}, {"--signing-policy", c.SigningPolicy}} {
		if f[1] != "" {
			line = append(line, f[0], f[1])
		}
	}
	if c.Config != "" {
		config, err := filepath.Abs(c.Config)
		if err != nil {
			return badInput(err, "")
		}
		line = append(line, "--config", config)
	}
	for flag, given := range map[string]bool{"--adopt": c.Adopt, "--trust-root": c.TrustRoot} {
		if given {
			line = append(line, flag)
		}
	}
	if err := winstore.SetLogon(line); err != nil {
		return badInput(err, "")
	}
	t.progress("runs at every logon of this user; the settings must be there then (a file that SIGNPATH_CONFIG_FILE names for the user or the system, or --config)")
	return nil
}

// certificatesUnregisterCommand is `signpath certificates unregister`.
type certificatesUnregisterCommand struct {
	storeFlags
	All     bool `help:"Entries of every organization, not only of the configured one."`
	AtLogon bool `help:"Only take back --at-logon; the entries stay."`
	DryRun  bool `help:"Only say what would be done."`
}

// Help implements kong.HelpProvider.
func (certificatesUnregisterCommand) Help() string {
	return `It removes entries that "signpath certificates register" has made, with issuers that nothing needs any more, and what --at-logon has set. Other entries, also such that lead to the providers, stay. The service is not asked.

` + examples(
		"signpath certificates unregister",
		"signpath certificates unregister --signing-policy my-project/release",
		"signpath certificates unregister --at-logon",
		"signpath certificates unregister --all --store LocalMachine",
	)
}

// Run changes the stores.
func (c *certificatesUnregisterCommand) Run(t *terminal) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.AtLogon {
		return c.clearLogon(t)
	}
	have, err := readStores(c.Store)
	if err != nil {
		return err
	}
	s, loadErr := settings.Load(os.Environ(), settings.Explicit{ConfigFile: c.Config})
	if s.OrganizationID == "" && !c.All {
		return badInput(errors.Join(errors.New("no organization is configured, so it is not known whose entries are meant"), loadErr), "configure OrganizationId, or give --all")
	}
	filter := [2]string{c.Project, c.SigningPolicy}
	plan := winstore.Plan(have, winstore.Request{Location: winstore.Location(c.Store), Organization: s.OrganizationID, Scope: scope(filter), Sync: true, Everybody: c.All})
	if err := applyPlan(t, plan, c.JSON, c.DryRun); err != nil {
		return err
	}
	if filter != [2]string{} || c.DryRun || c.Store != string(winstore.CurrentUser) {
		return nil
	}
	if have, err = readStores(c.Store); err != nil {
		return err
	}
	for _, l := range winstore.List(have, nil, "", nil, time.Now()) {
		if l.Organization != "" { // another organization's, which the logon may keep in step
			return nil
		}
	}
	return c.clearLogon(t)
}

func (c *certificatesUnregisterCommand) clearLogon(t *terminal) error {
	if c.DryRun {
		return nil
	}
	was, err := winstore.ClearLogon()
	if err != nil {
		return badStore(err)
	}
	if was {
		t.progress("nothing runs at logon any more")
	}
	return nil
}

// certificatesListCommand is `signpath certificates list`.
type certificatesListCommand struct {
	storeFlags
	Offline bool `help:"Do not compare with the service."`
}

// Help implements kong.HelpProvider.
func (certificatesListCommand) Help() string {
	return `States: ok; renewed (the signing policy has another certificate now) and gone (no such policy in sight): "register --sync" mends both; expired; not yet valid; linked by other means (nothing here changes it); of another organization; not compared (the service was not asked).

` + examples(
		"signpath certificates list",
		"signpath certificates list --store LocalMachine --json",
	)
}

// Run prints the list.
func (c *certificatesListCommand) Run(ctx context.Context, t *terminal) error {
	if err := c.check(); err != nil {
		return err
	}
	have, err := readStores(c.Store)
	if err != nil {
		return err
	}
	ctx, stop := untilStopped(ctx)
	defer stop()
	inSight := scope([2]string{c.Project, c.SigningPolicy})
	var want []winstore.Wanted
	s, _ := settings.Load(os.Environ(), settings.Explicit{ConfigFile: c.Config})
	if !c.Offline {
		if s, want, err = askForCertificates(ctx, t, &c.storeFlags, listPatience); err != nil {
			if ctx.Err() != nil {
				return stopped()
			}
			t.warning("not compared with the service: " + err.Error())
			want = nil
		} else {
			inSight = scope([2]string{c.Project, c.SigningPolicy}, [2]string{s.ProjectSlug, s.SigningPolicySlug})
		}
	}
	all := winstore.List(have, want, s.OrganizationID, inSight, time.Now())
	flags := scope([2]string{c.Project, c.SigningPolicy})
	shown := make([]winstore.Listed, 0, len(all))
	for _, l := range all {
		if flags(l.Policy) {
			shown = append(shown, l)
		}
	}
	logon := ""
	if c.Store == string(winstore.CurrentUser) {
		if logon, err = winstore.Logon(); err != nil {
			return badStore(err)
		}
	}
	if c.JSON {
		return t.json(map[string]any{"certificates": shown, "atLogon": logon})
	}
	rows := [][]string{{"THUMBPRINT", "CN", "POLICY", "PROVIDER", "ENDS", "STATE"}}
	for _, l := range shown {
		rows = append(rows, []string{l.Thumbprint, l.CommonName, l.Policy, l.Provider, l.NotAfter.Format(time.DateOnly), string(l.State)})
	}
	if err := t.table(rows); err != nil {
		return err
	}
	if logon != "" {
		return t.print("at logon: " + oneLine(logon))
	}
	return nil
}

// readStores looks at the stores of a location.
func readStores(location string) ([]winstore.Entry, error) {
	have, err := winstore.Read(winstore.Location(location))
	if err != nil {
		return nil, badStore(err)
	}
	return have, nil
}

// badStore says what to do instead where there are no stores.
func badStore(err error) error {
	if errors.Is(err, winstore.ErrNotWindows) {
		return usage(errors.New(`"signpath certificates" is for Windows: `+err.Error()), "signpath doctor lists the keys; docs/providers.md shows how to get a certificate as a file")
	}
	return badInput(err, "")
}

// listPatience is how long a list waits for a service that does not answer: what the
// stores hold is known without it.
const listPatience = 10 * time.Second

// askForCertificates asks the service for the keys in sight; patience, if not 0, is less
// than what the settings allow for retries.
func askForCertificates(ctx context.Context, t *terminal, flags *storeFlags, patience time.Duration) (settings.Settings, []winstore.Wanted, error) {
	s, err := settings.Load(os.Environ(), settings.Explicit{ConfigFile: flags.Config})
	for _, w := range s.Warnings {
		t.warning(w)
	}
	if err == nil {
		err = s.Complete()
	}
	if err != nil {
		return s, nil, badInput(err, doctorHint)
	}
	if patience > 0 {
		s.Timeouts.Total = shorter(s.Timeouts.Total, patience)
		s.Timeouts.Request = shorter(s.Timeouts.Request, patience)
	}
	lines := s.Log
	lines.ConsoleStdout = false
	log := logfile.Open(logfile.Options{Interface: "Cli", Log: lines, Secrets: s.Secrets()})
	defer log.Close()
	ring, err := keyring.Open(s, keyring.Options{
		Product: "Cli", Version: buildinfo.Version(), Log: &retryLog{Logger: log, t: t, console: s.Log.ConsoleLevel >= settings.LevelWarning},
		Metadata: func() json.RawMessage { return hostprocess.Describe(s.Secrets()).Metadata() },
	})
	if err != nil {
		return s, nil, providerError(err)
	}
	defer ring.Close()
	keys, err := slow(t, "asking the service for its certificates", func() (*keyring.Snapshot, error) { return ring.Keys(ctx, keyring.Lookup{}) })
	if err != nil {
		log.Error("no keys", "cause", err.Error())
		return s, nil, providerError(err)
	}
	want := []winstore.Wanted{}
	inSight := scope([2]string{flags.Project, flags.SigningPolicy})
	for _, k := range keys.Keys() {
		if inSight(k.Name()) {
			want = append(want, winstore.Wanted{Policy: k.Name(), Certificate: k.Certificate(), Issuers: k.Chain(), RSA: k.Type() == wire.KeyRSA, ECDSA: k.Type() == wire.KeyECDSA, OpenPGP: k.IsGPG()})
		}
	}
	if len(want) == 0 && flags.Project+flags.SigningPolicy != "" {
		return s, want, refusedHint(errors.New("no signing policy of that name is in sight"), "signpath doctor lists what is in sight; upper and lower case count")
	}
	return s, want, nil
}

// shorter is the smaller of two limits; 0 is none.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b < a {
		return b
	}
	return a
}

// applyPlan carries a plan out, or only shows it.
func applyPlan(t *terminal, plan []winstore.Action, asJSON, dryRun bool) error {
	type line struct {
		Result     winstore.Kind     `json:"result"`
		Location   winstore.Location `json:"location"`
		Store      string            `json:"store"`
		Thumbprint string            `json:"thumbprint,omitempty"`
		CommonName string            `json:"commonName,omitempty"`
		Policy     string            `json:"policy,omitempty"`
		Text       string            `json:"text,omitempty"`
	}
	failed := map[string]error{}
	id := func(a winstore.Action) string { return a.Store + "\x00" + string(a.DER) + "\x00" + string(a.Kind) }
	var err error
	if !dryRun {
		err = winstore.Apply(plan, func(a winstore.Action, err error) {
			if err != nil {
				failed[id(a)] = err
			}
		})
	}
	lines := []line{}
	refusals := 0
	for _, a := range plan {
		l := line{Result: a.Kind, Location: a.Location, Store: a.Store, Policy: a.Policy, Text: a.Text}
		if c, err := x509.ParseCertificate(a.DER); err == nil {
			l.Thumbprint, l.CommonName = winstore.Thumbprint(a.DER), c.Subject.CommonName
		}
		if a.Kind == winstore.Refuse {
			refusals++
		}
		if failed[id(a)] != nil {
			l.Result, l.Text = "failed", failed[id(a)].Error()
		}
		lines = append(lines, l)
	}
	if asJSON {
		if err := t.json(map[string]any{"dryRun": dryRun, "entries": lines}); err != nil {
			return err
		}
	} else {
		rows := [][]string{{"RESULT", "STORE", "THUMBPRINT", "CN", "POLICY", ""}}
		for _, l := range lines {
			rows = append(rows, []string{string(l.Result), string(l.Location) + `\` + l.Store, l.Thumbprint, l.CommonName, l.Policy, l.Text})
		}
		if err := t.table(rows); err != nil {
			return err
		}
		if dryRun {
			if err := t.print("nothing was changed (--dry-run)"); err != nil {
				return err
			}
		}
	}
	switch {
	case err != nil:
		return badInput(err, "")
	case refusals > 0:
		return refused(fmt.Errorf("%d of %d entries were left as they are; the lines above say why", refusals, len(lines)))
	}
	return nil
}
