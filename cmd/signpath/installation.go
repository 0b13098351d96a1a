package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"

	"signpath/internal/secret"
	"signpath/internal/service/admin"
	"signpath/internal/service/audit"
	"signpath/internal/service/health"
	"signpath/internal/service/keys"
	"signpath/internal/service/keys/hsm"
	"signpath/internal/service/pki"
	"signpath/internal/service/store"
	"signpath/internal/service/store/postgres"
	"signpath/internal/service/store/sqlite"
)

// Names in the data folder; the database's own are made by its package.
const (
	databaseName = "signpath.db"
	kekName      = "kek"
)

// softBackend is the name of the embedded key store in the database.
const softBackend = keys.SoftBackend

// closeTime bounds the end: what is not on record then is found by the next start.
const closeTime = 15 * time.Second

// unknownAfter is how long another replica may take for one signature.
const unknownAfter = 5 * time.Minute

// kekVariable holds the key-encryption key itself, in base64 or hexadecimal.
const kekVariable = "SIGNPATH_SERVER_KEY_ENCRYPTION_KEY"

// installationOptions say which installation is opened, and how.
type installationOptions struct {
	folder string // data folder; may be empty with a database elsewhere
	create bool   // make what is missing, telling of each thing
	dsn    string // PostgreSQL; empty: SQLite in folder
	shared bool   // other processes work on the database too
	kek    keys.KEKSource
	leaves keys.KEKSource // the key-encryption key that was in use before; usually none
	tokens []hsm.Config
	strict bool
	quiet  bool // say nothing about what is made: nobody has to keep it
	logger *slog.Logger
}

// installation is everything behind the doors, open.
type installation struct {
	store  store.Store
	kek    *keys.KEK // nil: none was given, which only administration of a shared database allows
	ring   *keys.Ring
	tokens []*hsm.Token
	shared bool // other processes work on the database too
	log    *audit.Log
	admin  *admin.Service
	issuer *softIssuer
	writes *health.Monitor // can a signature be put on record?
}

// kekSource finds the key-encryption key where the operating system or the
// operator put it. The variable is taken out of the environment, so that no
// child process inherits it.
func (p *place) kekSource() (keys.KEKSource, error) {
	value := environment(kekVariable)
	if err := os.Unsetenv(kekVariable); err != nil {
		return keys.KEKSource{}, err
	}
	return keys.KEKSource{File: p.KeyEncryptionKeyFile, CredentialsDirectory: environment("CREDENTIALS_DIRECTORY"), Value: secret.New(value)}, nil
}

// previousKEKSource finds the key that an installation is leaving.
func (p *place) previousKEKSource() keys.KEKSource {
	return keys.KEKSource{File: p.PreviousKeyFile, CredentialsDirectory: environment("CREDENTIALS_DIRECTORY"), Credential: keys.PreviousCredentialName}
}

// openInstallation opens store, keys and audit log, in this order.
func openInstallation(ctx context.Context, t *terminal, o installationOptions) (_ *installation, err error) {
	if o.logger == nil {
		o.logger = slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	i := &installation{shared: o.shared}
	defer func() {
		if err != nil {
			_ = i.close() // the first error is the one to tell
		}
	}()
	if i.store, err = openStore(ctx, t, o); err != nil {
		return nil, err
	}
	if i.kek, err = openKEK(ctx, t, i.store, o); err != nil {
		return nil, err
	}
	options := audit.Options{Strict: o.strict, Logger: o.logger}
	if o.shared {
		options.UnknownAfter = unknownAfter
	}
	verifierKey, err := i.store.Setting(ctx, auditVerifierSetting)
	if err != nil {
		return nil, fmt.Errorf("reading the audit log's key: %w", err)
	}
	if i.kek != nil {
		if options.Signer, verifierKey, err = auditSigner(ctx, i.store, i.kek, options); err != nil {
			return nil, err
		}
		backends := map[string]keys.Backend{softBackend: keys.NewSoft(i.kek)}
		if i.tokens, err = makeTokens(o, i.kek); err != nil {
			return nil, err
		}
		for _, token := range i.tokens {
			backends[token.Name()] = token
		}
		i.ring = keys.NewRing(i.store, backends)
		i.issuer = &softIssuer{ring: i.ring}
	}
	if i.log, err = audit.Open(ctx, i.store, options); err != nil {
		return nil, err
	}
	i.writes = newMonitor(i.store, i.log)
	i.admin = &admin.Service{Store: i.store, Log: i.log, Issuer: noIssuer{}, AuditKey: string(verifierKey)}
	if i.kek != nil {
		i.admin.Seal, i.admin.Open, i.admin.Resealer = i.kek.Seal, i.kek.Open, i.kek
		i.admin.SealedSettings = []string{keys.CheckSetting, auditSignerSetting, devStateSetting}
	}
	if i.issuer != nil {
		i.admin.Issuer = i.issuer
	}
	for _, token := range i.tokens {
		i.admin.KeyStores = append(i.admin.KeyStores, token.Name())
	}
	return i, nil
}

func openStore(ctx context.Context, t *terminal, o installationOptions) (store.Store, error) {
	if o.folder != "" {
		switch created, err := makeData(o); {
		case err != nil:
			return nil, err
		case created && !o.quiet:
			t.progress("created the data folder %s", o.folder)
		}
	}
	if o.dsn != "" {
		st, err := slow(t, "connecting to the database", func() (store.Store, error) { return postgres.Open(ctx, o.dsn) })
		if err == nil || errors.Is(err, store.ErrTooNew) {
			return st, err
		}
		return nil, unavailable(err, "check the database URL, and that PostgreSQL runs and lets this user in")
	}
	_, statErr := os.Stat(filepath.Join(o.folder, databaseName))
	st, err := sqlite.Open(ctx, o.folder)
	if err == nil && !o.quiet && errors.Is(statErr, fs.ErrNotExist) {
		t.progress("created the database %s", filepath.Join(o.folder, databaseName))
	}
	return st, err
}

// makeData creates the data folder when that is asked for.
func makeData(o installationOptions) (created bool, err error) {
	if !o.create {
		return false, nil
	}
	return makeFolder(o.folder, secretDir)
}

// openKEK finds the key-encryption key, makes one for a new installation, and
// checks that it is the one that the database was set up with.
func openKEK(ctx context.Context, t *terminal, st store.Store, o installationOptions) (*keys.KEK, error) {
	check, err := st.Setting(ctx, keys.CheckSetting)
	if err != nil {
		return nil, fmt.Errorf("reading the database: %w", err)
	}
	kek, err := keys.LoadKEK(o.kek)
	if errors.Is(err, keys.ErrNoKEK) {
		kek, err = defaultKEK(t, check != nil, o)
	}
	if err != nil {
		if errors.Is(err, keys.ErrNoKEK) && o.shared && !o.create {
			return nil, nil
		}
		var f *failure
		if errors.As(err, &f) || errors.Is(err, keys.ErrNoKEK) {
			return nil, err
		}
		return nil, badInput(err, "")
	}
	switch previous, err := keys.LoadKEK(o.leaves); {
	case err == nil:
		kek = kek.After(previous)
	case !errors.Is(err, keys.ErrNoKEK):
		return nil, badInput(fmt.Errorf("the previous one: %w", err), "")
	}
	// The first one stays: another replica may be setting up the same database.
	put := func(ctx context.Context, name string, value []byte) error {
		return st.Write(ctx, func(tx store.Tx) error {
			if there, err := tx.Setting(name); err != nil || there != nil {
				return err
			}
			return tx.PutSetting(name, value)
		})
	}
	return kek, keys.CheckKEK(ctx, kek, st.Setting, put)
}

// defaultKEK reads the file in the data folder, or makes it for a new installation.
func defaultKEK(t *terminal, needed bool, o installationOptions) (*keys.KEK, error) {
	if o.folder == "" {
		return nil, keys.ErrNoKEK
	}
	path := filepath.Join(o.folder, kekName)
	_, err := os.Stat(path)
	switch {
	case err == nil:
		return keys.LoadKEK(keys.KEKSource{File: path})
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case needed && o.shared && !o.create:
		return nil, keys.ErrNoKEK
	case needed:
		return nil, badInput(fmt.Errorf("the key-encryption key %s is missing, and the database was set up with one", path),
			"put the file back from a backup, or name the key with --key-encryption-key-file or "+kekVariable)
	case !o.create:
		return nil, keys.ErrNoKEK
	}
	kek, err := keys.GenerateKEKFile(path)
	if err == nil && !o.quiet {
		t.progress("created the key-encryption key %s: back it up, apart from the database; without it no private key can be used", path)
	}
	return kek, err
}

// The settings that hold the key of the audit log's checkpoints.
const (
	auditSignerSetting   = "audit.signer" // sealed
	auditVerifierSetting = "audit.verifier"
)

// auditSigner opens the key that signs checkpoints, or makes it for a new installation.
func auditSigner(ctx context.Context, st store.Store, kek *keys.KEK, options audit.Options) (note.Signer, []byte, error) {
	sealed, err := st.Setting(ctx, auditSignerSetting)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the audit log's key: %w", err)
	}
	if sealed == nil {
		if sealed, err = newAuditSigner(ctx, st, kek, options); err != nil {
			return nil, nil, fmt.Errorf("making the audit log's key: %w", err)
		}
	}
	key, err := kek.Open(auditSignerSetting, sealed)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the audit log's key: %w", err)
	}
	signer, err := audit.NewSigner(secret.New(string(key)))
	if err != nil {
		return nil, nil, err
	}
	verifier, err := st.Setting(ctx, auditVerifierSetting)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the audit log's key: %w", err)
	}
	return signer, verifier, nil
}

// newAuditSigner makes the key; the log's first entry tells of it.
func newAuditSigner(ctx context.Context, st store.Store, kek *keys.KEK, options audit.Options) ([]byte, error) {
	log, err := audit.Open(ctx, st, options)
	if err != nil {
		return nil, err
	}
	key, verifier, err := audit.GenerateKey("signpath/" + uuid.NewString())
	if err != nil {
		return nil, errors.Join(err, log.Close(ctx))
	}
	sealed, err := kek.Seal(auditSignerSetting, []byte(key.Reveal()))
	if err != nil {
		return nil, errors.Join(err, log.Close(ctx))
	}
	err = log.Change(ctx, func(tx store.Tx) ([]audit.Event, error) {
		if there, err := tx.Setting(auditSignerSetting); err != nil || there != nil {
			return nil, cmp.Or(err, errAnotherStarts)
		}
		if err := errors.Join(tx.PutSetting(auditSignerSetting, sealed), tx.PutSetting(auditVerifierSetting, []byte(verifier))); err != nil {
			return nil, err
		}
		return []audit.Event{{Type: "Installation.Created", Actor: admin.CurrentOperator(), Data: jsonObject("verifierKey", verifier)}}, nil
	})
	if err := errors.Join(err, log.Close(ctx)); err != nil {
		return nil, err
	}
	return sealed, nil
}

var errAnotherStarts = unavailable(errors.New("another replica is setting up the same database"), "try again")

// close ends everything that is open; what is running must have ended before.
func (i *installation) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	var errs []error
	for _, token := range i.tokens {
		token.Close()
	}
	if i.log != nil {
		errs = append(errs, i.log.Close(ctx))
	}
	if i.store != nil {
		errs = append(errs, i.store.Close())
	}
	return errors.Join(errs...)
}

// noIssuer stands where no key-encryption key was given.
type noIssuer struct{}

func (noIssuer) Issue(context.Context, admin.X509Request) (admin.Issued, error) {
	return admin.Issued{}, keys.ErrNoKEK
}

func (noIssuer) OpenPGP(context.Context, admin.OpenPGPRequest) (admin.Issued, error) {
	return admin.Issued{}, keys.ErrNoKEK
}

var _ admin.Issuer = (*softIssuer)(nil)

// softIssuer makes keys, in the embedded key store unless another is asked
// for. With an authority it issues certificates below that; without, they are
// self-signed.
type softIssuer struct {
	ring      *keys.Ring
	authority *pki.DevCA
}
