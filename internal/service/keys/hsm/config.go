package hsm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"signpath/internal/secret"
	"signpath/internal/wire"
)

// Bounds and defaults of the configuration.
const (
	defaultSessions  = 4
	maxSessions      = 256
	defaultQueue     = 256
	maxQueue         = 10000
	defaultOperation = 30   // seconds
	maxOperation     = 3600 // seconds
	maxPIN           = 1024 // bytes
	maxTokens        = 64
)

// Config is one token of the configuration file, which is a JSON list of these.
type Config struct {
	Name   string `json:"name"`   // of the key store: a-z, 0-9, dot, underscore, hyphen; keys are recorded with it
	Module string `json:"module"` // absolute path of the vendor's PKCS #11 module
	// TokenLabel and Serial say which token; one of them is enough when it is unique.
	TokenLabel string `json:"tokenLabel,omitempty"`
	Serial     string `json:"serial,omitempty"`
	// PINFile is a file that only its owner can read; PINCredential is the name
	// of a systemd credential (LoadCredential=NAME:…). Exactly one of them. Both
	// hold one line.
	PINFile       string `json:"pinFile,omitempty"`
	PINCredential string `json:"pinCredential,omitempty"`
	// Sessions is how many signatures run at one time (default 4); Queue how many
	// more may wait (default 256).
	Sessions int `json:"sessions,omitempty"`
	Queue    int `json:"queue,omitempty"`
	// OperationTimeoutSeconds is how long the token may take for a signature
	// before the worker process is killed (default 30). Making a key may take ten times as long.
	OperationTimeoutSeconds float64 `json:"operationTimeoutSeconds,omitempty"`
	// Environment are variables for the vendor's module, with their values.
	Environment map[string]string `json:"environment,omitempty"`
	// AttestationAttributes are the vendor's attribute types that attest a key,
	// e.g. "0x80000001"; they are kept with each key.
	AttestationAttributes []string `json:"attestationAttributes,omitempty"`

	credentials string // systemd's $CREDENTIALS_DIRECTORY
}

var (
	namePattern     = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,59}$`)
	variablePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// ParseConfig reads the configuration file. credentials is systemd's
// $CREDENTIALS_DIRECTORY. Every error says what to change.
func ParseConfig(data []byte, credentials string) ([]Config, error) {
	if err := wire.CheckJSON(data); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var list []Config
	if err := d.Decode(&list); err != nil {
		return nil, fmt.Errorf("it must be a JSON list of tokens: %w", err)
	}
	if len(list) > maxTokens {
		return nil, fmt.Errorf("there are %d tokens; the limit is %d", len(list), maxTokens)
	}
	for i := range list {
		c := &list[i]
		c.credentials = credentials
		c.setDefaults()
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("token %d (%q): %w", i+1, c.Name, err)
		}
		for _, o := range list[:i] {
			if o.Name == c.Name {
				return nil, fmt.Errorf("two tokens have the name %q", c.Name)
			}
		}
	}
	return list, nil
}

func (c *Config) setDefaults() {
	if c.Sessions == 0 {
		c.Sessions = defaultSessions
	}
	if c.Queue == 0 {
		c.Queue = defaultQueue
	}
	if c.OperationTimeoutSeconds == 0 {
		c.OperationTimeoutSeconds = defaultOperation
	}
}

func (c *Config) check() error {
	switch {
	case !namePattern.MatchString(c.Name):
		return errors.New("name must be 1 to 60 characters of a-z, 0-9, dot, underscore and hyphen")
	case !filepath.IsAbs(c.Module):
		return errors.New("module must be the absolute path of the vendor's PKCS #11 module")
	case c.TokenLabel == "" && c.Serial == "":
		return errors.New("give tokenLabel or serial")
	case (c.PINFile == "") == (c.PINCredential == ""):
		return errors.New("give pinFile or pinCredential, and not both")
	case c.PINFile != "" && !filepath.IsAbs(c.PINFile):
		return errors.New("pinFile must be an absolute path")
	case c.PINCredential != "" && (strings.ContainsAny(c.PINCredential, "/\x00") || c.PINCredential == "." || c.PINCredential == ".."):
		return errors.New("pinCredential is the name of a systemd credential, without a path")
	case c.Sessions < 1 || c.Sessions > maxSessions:
		return fmt.Errorf("sessions must be 1 to %d", maxSessions)
	case c.Queue < 1 || c.Queue > maxQueue:
		return fmt.Errorf("queue must be 1 to %d", maxQueue)
	case c.OperationTimeoutSeconds < 0.001 || c.OperationTimeoutSeconds > maxOperation:
		return fmt.Errorf("operationTimeoutSeconds must be above 0, at most %d", maxOperation)
	}
	for name := range c.Environment {
		if !variablePattern.MatchString(name) || strings.HasPrefix(name, "SIGNPATH_") {
			return fmt.Errorf("environment: %q is not a variable for a PKCS #11 module", name)
		}
		if strings.ContainsRune(c.Environment[name], 0) {
			return fmt.Errorf("environment: the value of %s holds a zero byte", name)
		}
	}
	for _, a := range c.AttestationAttributes {
		if _, err := strconv.ParseUint(a, 0, 32); err != nil {
			return fmt.Errorf("attestationAttributes: %q is not an attribute type, e.g. \"0x80000001\"", a)
		}
	}
	return nil
}

func (c *Config) operationTimeout() time.Duration {
	return time.Duration(c.OperationTimeoutSeconds * float64(time.Second))
}

func (c *Config) attributes() (types []uint64) {
	for _, a := range c.AttestationAttributes {
		if n, err := strconv.ParseUint(a, 0, 32); err == nil { // checked before
			types = append(types, n)
		}
	}
	return types
}

// PassedVariables are the variables of the service that a worker gets: where
// vendors' modules look for their configuration. A name that ends with "*" is a
// prefix. None is known to hold a secret; others are given with Config.Environment.
var PassedVariables = []string{
	"PATH", "HOME", "TZ",
	"SOFTHSM2_CONF",              // SoftHSM
	"ChrystokiConfigurationPath", // Thales Luna
	"NFAST_*", "CKNFAST_*",       // Entrust nShield
	"CS_PKCS11_R2_CFG", "CS_PKCS11_R3_CFG", // Utimaco
	"YUBIHSM_PKCS11_CONF",     // YubiHSM
	"P11NETHSM_CONFIG_FILE",   // NetHSM
	"OPENSC_CONF",             // OpenSC
	"TPM2_PKCS11_STORE",       // tpm2-pkcs11
	"KMS_PKCS11_CONFIG",       // Google Cloud KMS
	"SECUROSYS_PKCS11_CONFIG", // Securosys Primus
	"PKCS11_PROXY_SOCKET",     // pkcs11-proxy
}

// environment is the whole environment of the worker.
func (c *Config) environment(service []string) []string {
	out := []string{"LC_ALL=C.UTF-8"}
	for _, v := range service {
		name, _, _ := strings.Cut(v, "=")
		_, own := c.Environment[name]
		if !own && slices.ContainsFunc(PassedVariables, func(p string) bool {
			prefix, ok := strings.CutSuffix(p, "*")
			return p == name || ok && strings.HasPrefix(name, prefix)
		}) {
			out = append(out, v)
		}
	}
	for name, value := range c.Environment {
		out = append(out, name+"="+value)
	}
	return out
}

// pinState is a PIN with the time at which its source was written.
type pinState struct {
	value   secret.Secret
	written time.Time
}

// same tells whether nobody has written the source since.
func (p pinState) same(o pinState) bool { return p.value.Equal(o.value) && p.written.Equal(o.written) }

// pinName names the source of the PIN for people.
func (c *Config) pinName() string {
	if c.PINFile != "" {
		return "the file " + c.PINFile
	}
	return "the systemd credential " + c.PINCredential
}

// readPIN reads the PIN. No error repeats anything of it.
func (c *Config) readPIN() (pinState, error) {
	path := c.PINFile
	if path == "" {
		if c.credentials == "" {
			return pinState{}, fmt.Errorf("%s is not there: the service was not started by systemd with LoadCredential=%s:FILE", c.pinName(), c.PINCredential)
		}
		path = filepath.Join(c.credentials, c.PINCredential)
	}
	f, err := os.Open(path)
	if err != nil {
		return pinState{}, fmt.Errorf("the PIN cannot be read: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return pinState{}, fmt.Errorf("the PIN cannot be read: %w", err)
	case !info.Mode().IsRegular():
		return pinState{}, fmt.Errorf("%s is not a regular file", path)
	case c.PINFile != "" && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		// systemd guards the folder of credentials; their mode says nothing.
		return pinState{}, fmt.Errorf("other users can read the PIN file %s; take that right away: chmod 600 %s", path, path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxPIN+1))
	defer clear(data)
	if err != nil {
		return pinState{}, fmt.Errorf("the PIN cannot be read: %w", err)
	}
	pin := bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if len(pin) == 0 || len(pin) > maxPIN || bytes.ContainsAny(pin, "\r\n\x00") {
		return pinState{}, fmt.Errorf("%s must hold the PIN as one line", c.pinName())
	}
	return pinState{secret.New(string(pin)), info.ModTime()}, nil
}

// printable keeps control characters out of the log.
func printable(line []byte) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\uFFFD' {
			return '.'
		}
		return r
	}, strings.ToValidUTF8(string(line), ".")))
}

// redact takes the PIN out of a line. A short PIN may take harmless digits with it.
func redact(line, pin string) string { return strings.ReplaceAll(line, pin, secret.Redacted) }
