// Package notation is the signing plug-in of the Notary Project's command line
// tool: it answers the commands of the plug-in contract, version 1.0.
//
// What enters is the name of a command and one JSON document, what leaves is one
// JSON document or an *Error that is one, too. In between stand the settings
// (values of --plugin-config before environment before file), the table of key
// specs, and the certificate chain from the leaf to the root. The payload is
// hashed here; only its digest leaves the machine. The plug-in makes raw
// signatures (SIGNATURE_GENERATOR.RAW): RSASSA-PSS with a salt as long as the
// digest, or ECDSA as r‖s, each half big-endian and as long as the curve's
// order. Envelopes (JWS, COSE) and the registry are notation's own business.
//
// It never writes to standard output or error (its caller does, because there is
// nothing but the protocol), and it reaches the network through the keyring only.
//
// Source: Notary Project specifications, "Plugin Extensibility" and "Signature
// Specification" (algorithm selection, certificate requirements).
package notation

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"signpath/internal/provider/hostprocess"
	"signpath/internal/provider/keyring"
	"signpath/internal/provider/logfile"
)

// What get-plugin-metadata tells. The name is the program's name without
// "notation-"; notation refuses any other.
const (
	pluginName    = "signpath"
	description   = "Signs with keys that never leave a SignPath-compatible signing service"
	pluginURL     = "https://docs.signpath.io/crypto-providers/notation"
	interfaceName = "Notation" // in log files and in requests
)

// MaxRequest is how many bytes of a request are read. A payload of notation is
// a descriptor of some hundred bytes.
const MaxRequest = 32 << 20

// Plugin answers commands. The zero value is not of use: Environ must be set.
type Plugin struct {
	Version string   // of the product, semantic version
	Environ []string // NAME=value, as from os.Environ
}

// commands is the table of the contract's commands that this plug-in has.
var commands = map[string]func(*Plugin, context.Context, []byte) (any, error){
	"get-plugin-metadata": (*Plugin).metadata,
	"describe-key":        (*Plugin).describeKey,
	"generate-signature":  (*Plugin).generateSignature,
}

// Commands lists the names of the commands in alphabetical order.
func Commands() []string {
	names := make([]string, 0, len(commands))
	for n := range commands {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Run executes one command with its request and gives the answer, a JSON
// document on one line. Every error is an *Error.
func (p *Plugin) Run(ctx context.Context, command string, request []byte) (answer []byte, err error) {
	defer func() {
		if r := recover(); r != nil { // a sentence for the tool, not a stack trace
			answer, err = nil, newError(CodeGeneric, "internal error in %s: %v", command, r)
		}
	}()
	run, ok := commands[command]
	if !ok {
		return nil, newError(CodeValidation, "the command %q is not one of this plug-in; it has %s", clip(command), strings.Join(Commands(), ", "))
	}
	if len(request) > MaxRequest {
		return nil, newError(CodeValidation, "the request has more than %d bytes", MaxRequest)
	}
	value, err := run(p, ctx, request)
	if err != nil {
		return nil, classify(err)
	}
	if answer, err = json.Marshal(value); err != nil {
		return nil, newError(CodeGeneric, "the answer cannot be written: %v", err)
	}
	return answer, nil
}

func (p *Plugin) metadata(_ context.Context, request []byte) (any, error) {
	// The one request that may be empty; what stands in it changes nothing.
	if len(request) > 0 {
		if _, err := decode[metadataRequest](request); err != nil {
			return nil, err
		}
	}
	return metadataAnswer{
		Name: pluginName, Description: description, Version: p.Version, URL: pluginURL,
		SupportedContractVersions: []string{contractVersion}, Capabilities: []string{"SIGNATURE_GENERATOR.RAW"},
	}, nil
}

func (p *Plugin) describeKey(ctx context.Context, request []byte) (any, error) {
	r, err := decode[keyRequest](request)
	if err == nil {
		err = r.check()
	}
	if err != nil {
		return nil, err
	}
	var spec *keySpec
	err = p.withKey(ctx, r, func(j *job) (err error) {
		if spec, err = specOf(j.key); err != nil {
			return err
		}
		j.log.Debug("key described", "key", j.key.Name(), "keySpec", spec.name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return describeAnswer{KeyID: r.KeyID, KeySpec: spec.name}, nil
}

func (p *Plugin) generateSignature(ctx context.Context, request []byte) (any, error) {
	r, err := decode[signRequest](request)
	if err == nil {
		err = r.check()
	}
	if err != nil {
		return nil, err
	}
	var answer signAnswer
	err = p.withKey(ctx, r.keyRequest, func(j *job) error {
		spec, err := specOf(j.key)
		if err != nil {
			return err
		}
		if err := spec.fits(r); err != nil {
			return err
		}
		chain, err := j.chain() // before the signature: without a chain it would be for nothing
		if err != nil {
			return err
		}
		digest := spec.digest(r.Payload)
		signature, err := j.key.Sign(ctx, spec.scheme, digest)
		if err != nil {
			return err
		}
		j.log.Info("signed", "key", j.key.Name(), "signingAlgorithm", spec.algorithm, "digest", hex.EncodeToString(digest), "certificates", len(chain))
		answer = signAnswer{KeyID: r.KeyID, Signature: signature, SigningAlgorithm: spec.algorithm, CertificateChain: chain}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// job is a command that works with a key.
type job struct {
	config config
	key    *keyring.Key
	log    *logfile.Logger
}

// withKey reads the settings, finds the key and works with it. What goes wrong
// stands in the log, and the error names the log.
func (p *Plugin) withKey(ctx context.Context, r keyRequest, work func(*job) error) error {
	c, err := p.configure(r)
	log := logfile.Open(logfile.Options{Interface: interfaceName, Log: c.settings.Log, Secrets: c.settings.Secrets()})
	defer log.Close()
	for _, w := range c.settings.Warnings {
		log.Warning(w)
	}
	if c.consoleWanted {
		log.Warning("Log.Console.Level is ignored: what notation reads from this program's streams is the plug-in protocol")
	}
	if err == nil {
		err = p.find(ctx, c, log, work)
	}
	if err == nil {
		return nil
	}
	e := classify(err)
	log.Error("command failed", "key", r.KeyID, "errorCode", string(e.Code), "cause", e.Message)
	if path := log.Path(); path != "" {
		e.put("logFile", path)
	}
	return e
}

func (p *Plugin) find(ctx context.Context, c config, log *logfile.Logger, work func(*job) error) error {
	ring, err := keyring.Open(c.settings, keyring.Options{
		Product: interfaceName, Version: p.Version, Log: log,
		Metadata: func() json.RawMessage { return hostprocess.Describe(c.settings.Secrets()).Metadata() },
	})
	if err != nil {
		return err
	}
	defer ring.Close()
	keys, err := ring.Keys(ctx, keyring.Lookup{})
	if err != nil {
		return err
	}
	name := c.settings.ProjectSlug + "/" + c.settings.SigningPolicySlug
	key := keys.ByName(name)
	if key == nil {
		return newError(CodeValidation, "there is no signing policy %s that this token's user may submit to; check --id (project/policy, upper and lower case count) and that the user is a submitter there", name)
	}
	return work(&job{config: c, key: key, log: log})
}
