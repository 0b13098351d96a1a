package main

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"

	"signpath/internal/buildinfo"
	"signpath/internal/provider/hostprocess"
	"signpath/internal/provider/keyring"
	"signpath/internal/provider/logfile"
	"signpath/internal/provider/remote"
	"signpath/internal/provider/settings"
	"signpath/internal/wire"
)

// signCommand signs as the crypto providers do: same settings, same retries.
type signCommand struct {
	providerFlags
	signInput
	Policy    string `help:"The key, PROJECT/POLICY. Default: the configured ProjectSlug and SigningPolicySlug." placeholder:"PROJECT/POLICY"`
	Padding   string `help:"RSA padding, pkcs1 (v1.5, default) or pss (salt as long as the digest)." enum:",pkcs1,pss" default:""`
	Format    string `help:"Form of an ECDSA signature: der (default, what openssl verifies; also called asn1) or ieee (r and s side by side)." enum:",der,asn1,ieee" default:""`
	Encoding  string `help:"How the signature is written: binary, base64 or hex." enum:"binary,base64,hex" default:"binary"`
	Out       string `help:"File for the signature. Default: FILE.sig; stdout for --digest and stdin." placeholder:"FILE.sig"`
	PublicKey string `help:"Also write the public key (PEM) here, for those who verify." placeholder:"KEY.pem"`
	DryRun    bool   `help:"Answer whether this may be signed, without a signature. Exit code 0 or 4."`
	JSON      bool   `name:"json" help:"Print as JSON."`
}

// Help implements kong.HelpProvider.
func (signCommand) Help() string {
	return `The settings are those of the crypto providers (SIGNPATH_ORGANIZATION_ID, SIGNPATH_API_TOKEN, …, or the file named by SIGNPATH_CONFIG_FILE), and so are retries, checks and log. Only the digest leaves this machine (Ed25519 keys sign the file itself, of at most 1 MiB), and each signature is verified before it is written. The result is a bare signature; files that carry their signature inside (EXE, JAR, RPM …) need their own tool and the crypto provider.

--dry-run asks for the list of signing policies and checks the rest on this machine. What the service alone knows (allowed hash algorithms, approval, origin, quotas) it says at a real signature only, and the answer says so.

` + examples(
		"signpath sign --policy my-project/release artifact.tar.gz",
		"signpath sign --policy my-project/release --hash sha512 --padding pss --public-key key.pem artifact.tar.gz",
		"signpath sign --policy my-project/release --digest ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad --encoding base64",
		"signpath sign --policy my-project/release --dry-run artifact.tar.gz",
		"tar c docs | signpath sign --policy my-project/release --out docs.sig -",
	)
}

// Run signs.
func (c *signCommand) Run(ctx context.Context, t *terminal) error {
	ctx, stop := untilStopped(ctx)
	defer stop()
	err := c.sign(ctx, t)
	if ctx.Err() != nil && err != nil {
		return stopped()
	}
	return err
}

func (c *signCommand) sign(ctx context.Context, t *terminal) error {
	if err := c.check(t); err != nil {
		return err
	}
	p, err := openProvider(t, c.providerFlags, c.Policy)
	if err != nil {
		return err
	}
	defer p.close()
	digest, hash, err := c.read(ctx, t)
	if err != nil {
		return err
	}
	key, err := p.key(ctx, t)
	if err != nil {
		return err
	}
	job := signJob{key: key, digest: digest, hash: hash, scheme: wire.Scheme{Algorithm: wire.ECDSA}, format: c.Format, encoding: c.Encoding}
	input := digest
	switch key.Type() {
	case wire.KeyEd25519:
		job.scheme.Algorithm = wire.EdDSA
		if input, err = c.forEd25519(key.Name()); err != nil {
			return err
		}
	case wire.KeyRSA:
		job.scheme = wire.Scheme{Algorithm: wire.RSAPKCS1, Hash: hash}
		if c.Padding == "pss" {
			job.scheme.Algorithm = wire.RSAPSS
		}
	}
	if err := c.fits(key); err != nil {
		return err
	}
	if err := key.Check(job.scheme, len(input)); err != nil {
		return refused(err)
	}
	if err := inTime(key, time.Now()); err != nil {
		return err
	}
	if c.DryRun {
		return c.answer(t, job)
	}
	raw, err := slow(t, "signing with "+key.Name(), func() ([]byte, error) { return key.Sign(ctx, job.scheme, input) })
	if err != nil {
		p.log.Error("no signature", "key", key.Name(), "cause", err.Error())
		return providerError(err)
	}
	p.log.Info("signed", "key", key.Name(), "scheme", job.schemeName(), "digest", hex.EncodeToString(digest))
	return c.write(t, job, raw)
}

// check refuses what the command line alone shows to be wrong.
func (c *signCommand) check(t *terminal) error {
	if err := c.signInput.check(); err != nil {
		return err
	}
	if c.Out == "" && c.File != "" && c.File != "-" {
		c.Out = c.File + ".sig"
	}
	if c.Out == "-" {
		c.Out = ""
	}
	f, isFile := t.out.(*os.File)
	if c.Out == "" && !c.JSON && !c.DryRun && c.Encoding == "binary" && isFile && isatty.IsTerminal(f.Fd()) {
		return usage(errors.New("the signature is binary and stdout is a terminal"), "give --out FILE, or --encoding base64")
	}
	for _, out := range []string{c.Out, c.PublicKey} {
		if out != "" && sameFile(out, c.File) {
			return usage(fmt.Errorf("%s would overwrite the file that is signed", out), "choose another name")
		}
	}
	return nil
}

// sameFile tells whether two names lead to one file.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// fits refuses flags of the other kind of key.
func (c *signCommand) fits(key *keyring.Key) error {
	switch {
	case key.Type() != wire.KeyRSA && c.Padding != "":
		return refused(fmt.Errorf("--padding is for RSA keys, %s is an %s key", key.Name(), keyKind(key)))
	case key.Type() != wire.KeyECDSA && c.Format != "":
		return refused(fmt.Errorf("--format is for ECDSA keys, %s is an %s key", key.Name(), keyKind(key)))
	}
	return nil
}

// inTime refuses a certificate outside its validity, with which the service signs nothing.
func inTime(key *keyring.Key, now time.Time) error {
	cert, err := x509.ParseCertificate(key.Certificate())
	if err != nil {
		return nil // none, as OpenPGP keys have; the list was checked already
	}
	switch {
	case now.After(cert.NotAfter):
		return refusedHint(fmt.Errorf("the certificate of %s expired on %s", key.Name(), cert.NotAfter.UTC().Format(time.DateOnly)), "let an administrator renew it")
	case now.Before(cert.NotBefore):
		return refusedHint(fmt.Errorf("the certificate of %s is valid from %s on only", key.Name(), cert.NotBefore.UTC().Format(time.DateTime)), "wait, or check this machine's clock")
	}
	return nil
}

// unknownBefore is what only a real signature shows: the service has no dry run.
const unknownBefore = "hash algorithms that the policy allows, approval, origin and quotas: the service says so at a real signature only"

// answer is the outcome of --dry-run: everything that can be known was checked.
func (c *signCommand) answer(t *terminal, j signJob) error {
	passed := []string{"the token is accepted", j.key.Name() + " is in sight", "the key is " + keyKind(j.key), j.fitting()}
	if len(j.key.Certificate()) > 0 {
		passed = append(passed, "the certificate is inside its validity")
	}
	if c.JSON {
		return t.json(map[string]any{"mayBeSigned": true, "policy": j.key.Name(), "passed": passed, "notKnown": unknownBefore})
	}
	for _, p := range passed {
		if err := t.print("passed     " + oneLine(p)); err != nil {
			return err
		}
	}
	if err := t.print("not known  " + unknownBefore); err != nil {
		return err
	}
	return t.print("nothing speaks against signing with " + oneLine(j.key.Name()) + "; nothing was signed")
}

// write gives the signature away and says how to verify it.
func (c *signCommand) write(t *terminal, j signJob, raw []byte) error {
	signature, err := j.encode(raw)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(j.key.Public())
	if err != nil {
		return err
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	if c.PublicKey != "" {
		if err := writeFile(c.PublicKey, publicPEM, publicFile); err != nil {
			return badInput(err, "")
		}
	}
	how := j.howToVerify(c.signInput, c.Out, c.PublicKey)
	if c.Out != "" {
		if err := writeFile(c.Out, signature, publicFile); err != nil {
			return badInput(err, "")
		}
	}
	if c.JSON {
		return t.json(map[string]any{
			"policy": j.key.Name(), "key": keyKind(j.key), "hash": strings.ToLower(j.hash.String()), "digest": fmt.Sprintf("%x", j.digest), "scheme": j.schemeName(),
			"signature": j.base64(raw), "file": c.Out, "publicKey": string(publicPEM), "verify": how,
		})
	}
	if c.Out == "" {
		_, err := t.out.Write(signature)
		return err
	}
	if err := t.print(fmt.Sprintf("signed with %s (%s, %s): %s", oneLine(j.key.Name()), keyKind(j.key), j.schemeName(), c.Out)); err != nil {
		return err
	}
	return t.print("verify with:\n  " + strings.Join(how, "\n  "))
}

// provider is the way to the keys that the crypto providers take.
type provider struct {
	ring            *keyring.Ring
	project, policy string
	log             *logfile.Logger
	settings        settings.Settings
}

// openProvider reads the settings. Nothing is asked of the network yet.
func openProvider(t *terminal, flags providerFlags, name string) (*provider, error) {
	s, err := settings.Load(os.Environ(), settings.Explicit{ConfigFile: flags.Config})
	for _, w := range s.Warnings {
		t.warning(w)
	}
	if err == nil {
		err = s.Complete()
	}
	if err != nil {
		return nil, badInput(err, doctorHint)
	}
	if name == "" && s.ProjectSlug != "" && s.SigningPolicySlug != "" {
		name = s.ProjectSlug + "/" + s.SigningPolicySlug
	}
	project, policy, ok := strings.Cut(name, "/")
	if name == "" {
		return nil, usage(errors.New("no key is named"), "give --policy PROJECT/POLICY, or configure ProjectSlug and SigningPolicySlug; signpath doctor lists what is in sight")
	}
	if !ok || project == "" || policy == "" || strings.Contains(policy, "/") {
		return nil, usage(fmt.Errorf("%q is not the name of a key", name), "give --policy PROJECT/POLICY; signpath doctor lists what is in sight")
	}
	s.ProjectSlug, s.SigningPolicySlug = project, policy
	lines := s.Log
	lines.ConsoleStdout = false // stdout is for the result, which scripts read
	log := logfile.Open(logfile.Options{Interface: "Cli", Log: lines, Secrets: s.Secrets()})
	ring, err := keyring.Open(s, keyring.Options{
		Product: "Cli", Version: buildinfo.Version(), Log: &retryLog{Logger: log, t: t, console: s.Log.ConsoleLevel >= settings.LevelWarning},
		Metadata: func() json.RawMessage { return hostprocess.Describe(s.Secrets()).Metadata() },
	})
	if err != nil {
		log.Close()
		return nil, providerError(err)
	}
	return &provider{ring: ring, project: project, policy: policy, log: log, settings: s}, nil
}

func (p *provider) close() {
	p.ring.Close()
	p.log.Close()
}

// key finds the key among those that the token sees.
func (p *provider) key(ctx context.Context, t *terminal) (*keyring.Key, error) {
	name := p.project + "/" + p.policy
	keys, err := slow(t, "asking the service for "+name, func() (*keyring.Snapshot, error) { return p.ring.Keys(ctx, keyring.Lookup{}) })
	if err != nil {
		p.log.Error("no keys", "cause", err.Error())
		return nil, providerError(err)
	}
	if k := keys.ByName(name); k != nil {
		return k, nil
	}
	return nil, refusedHint(fmt.Errorf("there is no signing policy %s that this token's user may submit to", name), "signpath doctor lists what is in sight; upper and lower case count; a policy that is switched off or stopped is not in sight")
}

const doctorHint = "signpath doctor shows every setting and where it comes from"

// retryLog writes the log of a provider and shows retries on the terminal.
type retryLog struct {
	*logfile.Logger
	t       *terminal
	console bool // the log itself speaks there
}

// Warning implements remote.Logger.
func (l *retryLog) Warning(msg string, args ...any) {
	l.Logger.Warning(msg, args...)
	if l.console {
		return
	}
	var extra []string
	for i := 0; i+1 < len(args); i += 2 {
		switch name := fmt.Sprint(args[i]); name {
		case "attempt", "delay", "cause", "key":
			extra = append(extra, name+" "+fmt.Sprint(args[i+1]))
		}
	}
	l.t.progress("%s", strings.Join(append([]string{msg}, extra...), ", "))
}

// providerExits maps the classes of failures to exit codes.
var providerExits = map[remote.Class]int{
	remote.Transient: exitUnavailable, remote.Service: exitUnavailable, remote.User: exitRefused, remote.Other: exitInput, remote.Canceled: exitStopped,
}

// providerError gives an error of the keyring its exit code and hint.
func providerError(err error) error {
	var e *remote.Error
	if !errors.As(err, &e) {
		return refused(err)
	}
	plain := *e
	plain.Hint = ""
	hint := e.Hint
	if hint == "" {
		hint = "signpath doctor looks for the cause"
	}
	return &failure{providerExits[e.Class], &plain, hint}
}

func refused(err error) error                  { return &failure{exitRefused, err, ""} }
func refusedHint(err error, hint string) error { return &failure{exitRefused, err, hint} }

// readAll hashes or reads foreign bytes without holding up Ctrl-C.
func readAll[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		v, err := read()
		done <- outcome{v, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}
