package main

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"signpath/internal/provider/gpg"
	"signpath/internal/provider/keyring"
	"signpath/internal/provider/logfile"
	"signpath/internal/provider/settings"
	"signpath/internal/wire"
)

// gpgCommands let GnuPG sign with OpenPGP keys of the service.
type gpgCommands struct {
	Init      gpgInit      `cmd:"" help:"Make a GnuPG home folder that signs with a key of the service."`
	PublicKey gpgPublicKey `cmd:"" name:"public-key" help:"Print the OpenPGP public key of a signing policy."`
	Remove    gpgRemove    `cmd:"" help:"Stop the daemons of such a home folder and delete it."`
}

// Help implements kong.HelpProvider.
func (gpgCommands) Help() string {
	return "The private key stays in the service; the home folder is a throw-away one.\n\n" + examples(
		`eval "$(signpath gpg init --home /tmp/release-gpg --policy my-project/release --env)"`,
		"signpath gpg public-key --policy my-project/release --out release.asc",
		"signpath gpg remove --home /tmp/release-gpg",
	)
}

// gpgInit makes a home.
type gpgInit struct {
	providerFlags
	Home   string `help:"The folder, which must be new, empty or made by this command. At most 70 bytes." required:"" placeholder:"DIR"`
	Policy string `help:"The key, PROJECT/POLICY. Default: the configured ProjectSlug and SigningPolicySlug." placeholder:"PROJECT/POLICY"`
	Module string `help:"The PKCS #11 module. Default: PKCS11_MODULE_PATH, then libSignPath.Cryptoki.so beside this program." placeholder:"FILE.so"`
	Env    bool   `help:"Print nothing but the variables to set, as POSIX export lines."`
	JSON   bool   `name:"json" help:"Print as JSON."`
}

// Help implements kong.HelpProvider.
func (gpgInit) Help() string {
	return `gpg then signs through gpg-agent, gnupg-pkcs11-scd and the PKCS #11 module; nobody is asked for a PIN, and no secret is written. The settings are those of the crypto providers, and the daemons read them from the environment in which they start: keep the variables that are printed, and those of the settings, set while you sign.

Needs gpg and gnupg-pkcs11-scd (Debian: gnupg, gnupg-pkcs11-scd). Logs: gpg-agent.log and gnupg-pkcs11-scd.log beside the module's own.

` + examples(
		`eval "$(signpath gpg init --home /tmp/release-gpg --policy my-project/release --env)"`,
		`gpg --batch -u "$GPG_KEY_ID" --armor --detach-sign artifact.tar.gz`,
		"signpath gpg remove --home /tmp/release-gpg",
	)
}

// gpgPrograms are what init starts or names, with the packages that hold them.
var gpgPrograms = []struct{ name, debian, redHat string }{
	{"gpg", "gnupg", "gnupg2"},
	{"gpg-agent", "gpg-agent", "gnupg2"},
	{"gpg-connect-agent", "gpgconf", "gnupg2"},
	{"gpgconf", "gpgconf", "gnupg2"},
	{gpg.SmartCardProgram, "gnupg-pkcs11-scd", "gnupg-pkcs11-scd (EPEL)"},
}

const (
	agentLog  = "gpg-agent.log"
	daemonLog = "gnupg-pkcs11-scd.log"
)

// Run makes the home and prints what to set.
func (c *gpgInit) Run(ctx context.Context, t *terminal) error {
	ctx, stop := untilStopped(ctx)
	defer stop()
	err := c.make(ctx, t)
	if ctx.Err() != nil && err != nil {
		return stopped()
	}
	return err
}

func (c *gpgInit) make(ctx context.Context, t *terminal) error {
	if runtime.GOOS == "windows" {
		return usage(errors.New("GnuPG on Windows has no smart card daemon for PKCS #11"), "sign with GnuPG on Linux or macOS")
	}
	home, err := filepath.Abs(c.Home)
	if err != nil {
		return badInput(err, "")
	}
	if err := gpg.Check(home); err != nil {
		return badInput(err, "choose a new folder with a short path, for example --home "+filepath.Join(os.TempDir(), "signpath-gpg"))
	}
	paths, err := findGPG()
	if err != nil {
		return err
	}
	module, err := c.module()
	if err != nil {
		return err
	}
	p, err := openProvider(t, c.providerFlags, c.Policy)
	if err != nil {
		return err
	}
	defer p.close()
	key, public, err := p.gpgKey(ctx, t)
	if err != nil {
		return err
	}
	if err := usable(key, public, time.Now()); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	h := &gpg.Home{Dir: home, Module: module, Program: self, Key: public.Fingerprint,
		Verbose: p.settings.Log.FileLevel >= settings.LevelDebug}
	c.logs(t, h, p.settings)
	g := gnuPG{home: h, paths: paths, vars: c.variables(h, p)}
	if gpg.Ours(home) {
		g.stop(ctx) // daemons of a former key or token
	}
	if err := h.Write(); err != nil {
		return badInput(err, "")
	}
	if err := g.learn(ctx, t, public); err != nil {
		return err
	}
	p.log.Info("made a GnuPG home", "home", home, "key", key.Name(), "fingerprint", public.Fingerprint, "keygrip", public.Keygrip)
	return c.print(t, key, public, h, g.vars)
}

// module finds the PKCS #11 module.
func (c *gpgInit) module() (string, error) {
	path, from := c.Module, "--module"
	if path == "" {
		path, from = environment("PKCS11_MODULE_PATH"), "PKCS11_MODULE_PATH"
	}
	if path == "" {
		path, from = moduleBeside(), ""
	}
	const hint = "give the path of libSignPath.Cryptoki.so with --module or PKCS11_MODULE_PATH"
	if path == "" {
		return "", usage(errors.New("the PKCS #11 module was not found beside this program"), hint)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", badInput(err, hint)
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return "", badInput(fmt.Errorf("%s: there is no PKCS #11 module %s", from, path), hint)
	}
	return path, nil
}

// logs chooses the daemons' log files: beside the module's, or in the home when
// the folder cannot be trusted or written.
func (c *gpgInit) logs(t *terminal, h *gpg.Home, s settings.Settings) {
	dir := s.Log.FileDirectory
	absolute, err := filepath.Abs(dir)
	if err == nil {
		err = logfile.Prepare(absolute, agentLog, daemonLog)
	}
	if err != nil {
		t.warning(fmt.Sprintf("the logs of gpg-agent and gnupg-pkcs11-scd go to %s, because %s cannot be used: %v", h.Dir, dir, err))
		absolute = h.Dir
	}
	h.AgentLog, h.DaemonLog = filepath.Join(absolute, agentLog), filepath.Join(absolute, daemonLog)
}

// variables are those that gpg and its daemons need beside the settings.
func (c *gpgInit) variables(h *gpg.Home, p *provider) []variable {
	vars := []variable{
		{"GNUPGHOME", h.Dir},
		{"GPG_KEY_ID", h.Key},
		{"GNUPG_PKCS11_SOCKETDIR", h.Dir},
		{"SIGNPATH_PROJECT_SLUG", p.project},
		{"SIGNPATH_SIGNING_POLICY_SLUG", p.policy},
	}
	if c.Config != "" {
		if path, err := filepath.Abs(c.Config); err == nil {
			vars = append(vars, variable{"SIGNPATH_CONFIG_FILE", path})
		}
	}
	return vars
}

func (c *gpgInit) print(t *terminal, key *keyring.Key, public *gpg.Key, h *gpg.Home, vars []variable) error {
	if c.JSON {
		set := map[string]string{}
		for _, v := range vars {
			set[v.name] = v.value
		}
		return t.json(map[string]any{"policy": key.Name(), "home": h.Dir, "fingerprint": public.Fingerprint, "keygrip": public.Keygrip,
			"userIds": public.UserIDs, "expires": jsonTime(public.Expires), "logs": []string{h.AgentLog, h.DaemonLog}, "environment": set})
	}
	if !c.Env {
		if err := t.print(fmt.Sprintf("gpg signs with %s (%s) as %s, key %s", oneLine(key.Name()), keyKind(key), oneLine(strings.Join(public.UserIDs, ", ")), public.Fingerprint)); err != nil {
			return err
		}
		if err := t.print("set these variables where you sign:"); err != nil {
			return err
		}
	}
	for _, v := range vars {
		if err := t.print("export " + v.name + "=" + shellQuote(v.value)); err != nil {
			return err
		}
	}
	return nil
}

// gpgPublicKey prints the public key.
type gpgPublicKey struct {
	providerFlags
	Policy string `help:"The key, PROJECT/POLICY. Default: the configured ProjectSlug and SigningPolicySlug." placeholder:"PROJECT/POLICY"`
	Out    string `help:"File to write. Default: stdout." placeholder:"KEY.asc"`
	JSON   bool   `name:"json" help:"Print as JSON."`
}

// Help implements kong.HelpProvider.
func (gpgPublicKey) Help() string {
	return `This is the key that verifiers import: ASCII armour, with user ID and self-signature as the service made them. It is held against the signing policy's key before it is printed.

` + examples(
		"signpath gpg public-key --policy my-project/release | gpg --import",
		"signpath gpg public-key --policy my-project/release --out /etc/apt/keyrings/example.asc",
	)
}

// Run prints the key.
func (c *gpgPublicKey) Run(ctx context.Context, t *terminal) error {
	ctx, stop := untilStopped(ctx)
	defer stop()
	err := c.fetch(ctx, t)
	if ctx.Err() != nil && err != nil {
		return stopped()
	}
	return err
}

func (c *gpgPublicKey) fetch(ctx context.Context, t *terminal) error {
	p, err := openProvider(t, c.providerFlags, c.Policy)
	if err != nil {
		return err
	}
	defer p.close()
	key, public, err := p.gpgKey(ctx, t)
	if err != nil {
		return err
	}
	armored, err := public.Armor()
	if err != nil {
		return err
	}
	if c.Out != "" && c.Out != "-" {
		if err := writeFile(c.Out, armored, publicFile); err != nil {
			return badInput(err, "")
		}
	}
	if c.JSON {
		return t.json(map[string]any{"policy": key.Name(), "fingerprint": public.Fingerprint, "keygrip": public.Keygrip, "userIds": public.UserIDs,
			"created": jsonTime(public.Created), "expires": jsonTime(public.Expires), "publicKey": string(armored), "file": c.Out})
	}
	if c.Out != "" && c.Out != "-" {
		return t.print(fmt.Sprintf("%s: %s, key %s", c.Out, oneLine(strings.Join(public.UserIDs, ", ")), public.Fingerprint))
	}
	_, err = t.out.Write(armored)
	return err
}

// jsonTime is a time as JSON, null for none.
func jsonTime(at time.Time) json.RawMessage {
	if at.IsZero() {
		return json.RawMessage("null")
	}
	return json.RawMessage(`"` + at.UTC().Format(time.RFC3339) + `"`)
}

// gpgKey finds the signing policy's key and its OpenPGP public key.
func (p *provider) gpgKey(ctx context.Context, t *terminal) (*keyring.Key, *gpg.Key, error) {
	key, err := p.key(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	name := oneLine(key.Name())
	rsaKey, ok := key.Public().(*rsa.PublicKey)
	if !key.IsGPG() || !ok {
		return nil, nil, refusedHint(fmt.Errorf("the signing policy %s has no OpenPGP key but %s", name, keyKind(key)), "choose a signing policy whose certificate is of the type GPG; signpath doctor lists what is in sight")
	}
	data, err := slow(t, "fetching the OpenPGP public key of "+name, func() ([]byte, error) { return key.GPGPublicKey(ctx) })
	if err != nil {
		p.log.Error("no OpenPGP public key", "key", key.Name(), "cause", err.Error())
		return nil, nil, providerError(err)
	}
	public, err := gpg.ReadKey(data, rsaKey)
	if err != nil {
		p.log.Error("the OpenPGP public key cannot be used", "key", key.Name(), "cause", err.Error())
		return nil, nil, &failure{exitUnavailable, fmt.Errorf("the service's OpenPGP public key of %s cannot be used: %w", name, err), "tell the service's administrator"}
	}
	return key, public, nil
}

// usable refuses a key with which gpg makes no signature.
func usable(key *keyring.Key, public *gpg.Key, now time.Time) error {
	switch name := oneLine(key.Name()); {
	case public.Revoked:
		return refusedHint(fmt.Errorf("the OpenPGP key of %s is revoked", name), "let an administrator give the signing policy another key")
	case !public.Expires.IsZero() && !now.Before(public.Expires):
		return refusedHint(fmt.Errorf("the OpenPGP key of %s expired on %s", name, public.Expires.Format(time.DateTime+" UTC")), "let an administrator renew it; signatures made before stay what they are")
	case now.Before(public.Created):
		return refusedHint(fmt.Errorf("the OpenPGP key of %s was made on %s, which is in this machine's future", name, public.Created.Format(time.DateTime+" UTC")), "set this machine's clock")
	case key.Type() != wire.KeyRSA:
		return refused(fmt.Errorf("the key of %s is no RSA key, and gnupg-pkcs11-scd knows no others", name))
	}
	return nil
}

// variable is one of the environment.
type variable struct{ name, value string }
