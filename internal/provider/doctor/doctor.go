// Package doctor finds out why signing does not work, or soon will not, and says
// what to mend.
//
// What enters is what a provider would see (an environment, values of a tool, a
// module's file); what leaves is a list of results, one line each, in a fixed
// order. Gather does all the looking: settings, files, the way to the service,
// the list of keys, the headers of a module. Examine then judges the facts by
// the table in checks.go, as a pure function. Nothing is printed here, nothing
// is signed, no module is loaded into this process, no file is written, and no secret is in any
// result: of a token only length and form are told.
package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"signpath/internal/provider/keyring"
	"signpath/internal/provider/redact"
	"signpath/internal/provider/remote"
	"signpath/internal/provider/settings"
	"signpath/internal/provider/winstore"
	"signpath/internal/secret"
	"signpath/internal/wire"
)

// Status is the outcome of a check.
type Status string

// The outcomes. Only Failed means that signing cannot work.
const (
	OK      Status = "ok"
	Note    Status = "note"    // works; worth knowing
	Warning Status = "warning" // works today, or for some
	Failed  Status = "failed"
	Skipped Status = "skipped" // could not be looked at; the text says why
)

// Finding is what a check says.
type Finding struct {
	Status Status `json:"status"`
	Text   string `json:"finding"`        // what was found, with the cause
	Cure   string `json:"cure,omitempty"` // what to do
}

// Result is one line of the report.
type Result struct {
	Check string `json:"check"` // name, for scripts
	What  string `json:"what"`  // what is checked, for people
	Finding
}

// Input says what to look at.
type Input struct {
	Environ  []string          // NAME=value, as a provider would see it
	Explicit settings.Explicit // values that stand above it
	Module   string            // file of a PKCS #11 module; "" for none
	Helper   string            // file of signpath-hsm, which loads it; "" when it is not installed
	Version  string            // of this program, for the user agent
	Now      func() time.Time  // nil for time.Now
}

// Facts is what Gather saw. Parts that could not be looked at are empty.
type Facts struct {
	Now      time.Time
	Settings settings.Settings
	LoadErr  *settings.Error // nil: every value could be read

	ConfigFile *File // nil when none was read
	CAFile     []*x509.Certificate
	Client     []*x509.Certificate // of TlsClientCertificateFile, the own one first
	ClientErr  error               // why it cannot be used
	ClientKey  *File               // TlsClientKeyFile; nil when it is not set

	Path *remote.Path // nil when the address or the way there is not configured usably

	Asked   bool  // the service was asked for keys
	KeysErr error // why there is no list
	Keys    []Key // all that the token sees, whatever the slugs
	Left    []string
	User    string // whose token it is, "" when the service does not tell
	LogDir  *Folder
	Module  *Module // nil when none was named
	Windows bool

	Providers    []Registration // Windows: of KSP and CSP, for 64-bit and 32-bit programs
	ProvidersErr error
	Store        []winstore.Listed // Windows: certificates that lead to our providers
	StoreErr     error

	Canceled bool // the caller ended it; the facts are incomplete
}

// File is what matters about a file's rights.
type File struct {
	Path  string
	Err   error       // it could not be looked at
	Mode  fs.FileMode // permissions
	Owner string      // name of the owner when that is neither this user nor root; else ""

	Readers, Writers []string // Windows: who else may read and change it
}

// Folder is what matters about the folder of the log.
type Folder struct {
	Path      string
	Missing   bool   // it will be created
	Problem   string // why nothing can be written; "" for none
	Owner     string // as in File
	OpenToAll bool   // anybody may replace files in it
	OtherFile bool   // a log file of another user is in it
}

// Key is one signing policy in sight.
type Key struct {
	Name, Project, Policy string
	Type                  wire.KeyType
	Bits                  int
	GPG                   bool
	Certificate           *x509.Certificate // nil: none, or unreadable
	Issuers               int               // certificates of the chain above it
}

// how long one leg of the way may take, and the list of keys.
const (
	legLimit  = 10 * time.Second
	listLimit = 30 * time.Second
)

// Gather looks at everything, in at most about a minute and a half, less when
// HttpRequestTimeoutInSeconds is shorter.
func Gather(ctx context.Context, in Input) *Facts {
	if in.Now == nil {
		in.Now = time.Now
	}
	f := &Facts{Now: in.Now(), Windows: onWindows}
	var err error
	f.Settings, err = settings.Load(in.Environ, in.Explicit)
	errors.As(err, &f.LoadErr)
	if f.Settings.ConfigFile != "" {
		f.ConfigFile = lookAtFile(f.Settings.ConfigFile)
	}
	if f.Settings.TrustedCAFile != "" {
		f.CAFile, _ = remote.CAFile(f.Settings.TrustedCAFile) // Path.Setup has the error
	}
	if !f.brokenClientFiles() {
		f.Client, f.ClientErr = remote.ClientCertificate(f.Settings)
	}
	if f.Settings.TLSClientKeyFile != "" {
		f.ClientKey = lookAtFile(f.Settings.TLSClientKeyFile)
	}
	if f.Settings.Log.FileLevel > settings.LevelNone {
		f.LogDir = lookAtFolder(f.Settings.Log.FileDirectory)
	}
	if in.Module != "" {
		f.Module = lookAtModule(in.Module)
		f.Module.try(ctx, in.Helper, in.Environ)
	}
	f.Providers, f.ProvidersErr = registrations()
	if !f.wayConfigured() {
		f.lookAtStores()
		return f
	}
	options := remote.Options{Product: "Doctor", Version: in.Version, Now: in.Now}
	f.Path = remote.Examine(ctx, f.Settings, options, min(legLimit, f.Settings.Timeouts.Request))
	if f.credentialsConfigured() && f.Path.Info.OK() {
		f.askForKeys(ctx, in.Version, options)
	}
	f.lookAtStores()
	f.Canceled = ctx.Err() != nil
	return f
}

// lookAtStores compares the certificate stores of Windows with the keys in sight.
func (f *Facts) lookAtStores() {
	if !f.Windows {
		return
	}
	var want []winstore.Wanted
	if f.Asked && f.KeysErr == nil {
		want = []winstore.Wanted{}
		for _, k := range f.Keys {
			w := winstore.Wanted{Policy: k.Name}
			if k.Certificate != nil {
				w.Certificate = k.Certificate.Raw
			}
			want = append(want, w)
		}
	}
	for _, l := range []winstore.Location{winstore.CurrentUser, winstore.LocalMachine} {
		have, err := winstore.Read(l)
		if err != nil {
			f.StoreErr = err
			return
		}
		f.Store = append(f.Store, winstore.List(have, want, f.Settings.OrganizationID, nil, f.Now)...)
	}
}

// wayConfigured tells whether the settings say usably where the service is. With
// a broken value the default would be asked, which the user did not mean.
func (f *Facts) wayConfigured() bool {
	return !f.brokenSetting("", "ApiUrl", "HttpProxy", "TrustedCaFile", "TlsClientCertificate", "TlsClientCertificateFile", "TlsClientKeyFile")
}

func (f *Facts) brokenClientFiles() bool {
	return f.brokenSetting("", "TlsClientCertificate", "TlsClientCertificateFile", "TlsClientKeyFile")
}

func (f *Facts) credentialsConfigured() bool {
	return f.Settings.Complete() == nil && !f.brokenSetting("OrganizationId", "ApiToken")
}

func (f *Facts) brokenSetting(fields ...string) bool {
	return f.LoadErr != nil && slices.ContainsFunc(f.LoadErr.Problems, func(p settings.Problem) bool { return slices.Contains(fields, p.Field) })
}

// askForKeys lists all keys: the slugs are compared here, so that a wrong one
// can be told from a missing permission.
func (f *Facts) askForKeys(ctx context.Context, version string, options remote.Options) {
	s := f.Settings
	s.ProjectSlug, s.SigningPolicySlug = "", ""
	var left leftOut
	f.Asked = true
	ring, err := keyring.Open(s, keyring.Options{Product: options.Product, Version: version, Log: &left})
	if err != nil {
		f.KeysErr = err
		return
	}
	defer ring.Close()
	snapshot, err := ring.Keys(ctx, keyring.Lookup{Once: true, Limit: min(listLimit, s.Timeouts.Request)})
	if err != nil {
		f.KeysErr = err
		return
	}
	for _, k := range snapshot.Keys() {
		key := Key{Name: k.Name(), Project: k.ProjectSlug(), Policy: k.PolicySlug(), Type: k.Type(), Bits: k.Bits(), GPG: k.IsGPG(), Issuers: len(k.Chain())}
		key.Certificate, _ = x509.ParseCertificate(k.Certificate()) // the list was checked already
		f.Keys = append(f.Keys, key)
	}
	f.Left = left.list()
	client, err := remote.New(s, options)
	if err != nil {
		return
	}
	defer client.Close()
	f.User, _ = client.Me(ctx, remote.Attempt{Once: true, Limit: legLimit}) // a service that does not tell is no failure
}

// leftOut collects what the keyring left out of the list.
type leftOut struct {
	mu    sync.Mutex
	texts []string
}

// Debug implements remote.Logger.
func (*leftOut) Debug(string, ...any) {}

// Info implements remote.Logger.
func (*leftOut) Info(string, ...any) {}

// Warning implements remote.Logger. The length of names has a check of its own.
func (l *leftOut) Warning(msg string, args ...any) {
	var key, cause string
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "key":
			key = fmt.Sprint(args[i+1])
		case "cause":
			cause = fmt.Sprint(args[i+1])
		case "bytes":
			return
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.texts = append(l.texts, strings.TrimPrefix(strings.Trim(key+": "+msg+": "+cause, ": "), ": "))
}

func (l *leftOut) list() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.texts
}

// Examine judges the facts: every check of the table, in its order.
func Examine(f *Facts) []Result {
	hide := redact.New(f.Settings.Secrets()...)
	var out []Result
	for _, c := range checks {
		for _, finding := range c.run(f) {
			finding.Text, finding.Cure = hide.Text(finding.Text), hide.Text(finding.Cure)
			out = append(out, Result{Check: c.name, What: c.what, Finding: finding})
		}
	}
	return out
}

// CheckInfo describes a check for documentation.
type CheckInfo struct{ Name, What string }

// Checks lists every check in the order of the report.
func Checks() []CheckInfo {
	all := make([]CheckInfo, len(checks))
	for i, c := range checks {
		all[i] = CheckInfo{c.name, c.what}
	}
	return all
}

// Secrets is what must not be printed beside the results either.
func (f *Facts) Secrets() []secret.Secret { return f.Settings.Secrets() }
