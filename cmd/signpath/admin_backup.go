package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"signpath/internal/buildinfo"
	"signpath/internal/service/admin"
	"signpath/internal/service/audit"
	"signpath/internal/service/backup"
	"signpath/internal/service/keys"
	"signpath/internal/service/store"
	"signpath/internal/service/store/postgres"
	"signpath/internal/service/store/sqlite"
)

// backupFiles are the files of the data folder that belong to a backup: what
// clients trust the server by. The key-encryption key is not among them.
var backupFiles = []string{tlsCAName, tlsCAKeyName, tlsCertName, tlsKeyName}

type backupCommand struct {
	Out string `required:"" help:"File to write; - is stdout." placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (backupCommand) Help() string {
	return `One state of the installation: configuration, sealed private keys, signing requests, audit log, and the files of the server's own TLS certificate. The server may run. The file does not depend on the database: restore it into SQLite or PostgreSQL.

The key-encryption key is not in it; keep that elsewhere. The backup is sealed with it, so that restore notices any change: give the key here as to the server, unless it lies in the data folder. Keys on PKCS #11 tokens stay there.

` + examples(
		"signpath admin --data DIR backup --out signpath.backup",
		"signpath admin --data DIR --database postgres://signpath@db/signpath --key-encryption-key-file kek backup --out signpath.backup",
	)
}

// Run writes the backup.
func (c *backupCommand) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	st, folder, err := f.reader(ctx, t)
	if err != nil {
		return err
	}
	defer st.Close()
	key, err := f.backupKey(ctx, st, folder)
	if err != nil {
		return err
	}
	var files []backup.File
	if folder != "" && key != nil {
		for _, name := range backupFiles {
			content, err := os.ReadFile(filepath.Join(folder, name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return badInput(err, "")
			}
			files = append(files, backup.File{Name: name, Content: content})
		}
	}
	var summary backup.Summary
	write := func(w io.Writer) (err error) {
		summary, err = slow(t, "writing the backup", func() (backup.Summary, error) {
			return backup.Write(ctx, w, st, key, buildinfo.Version(), files, time.Now())
		})
		return err
	}
	if c.Out == "-" {
		if err := write(t.out); err != nil {
			return err
		}
		return c.unsealed(t, key)
	}
	out, err := createFile(c.Out, secretFile)
	if err != nil {
		return err
	}
	if err := write(out); err != nil {
		out.abandon()
		return err
	}
	if err := out.commit(); err != nil {
		return err
	}
	if err := c.unsealed(t, key); err != nil {
		return err
	}
	if f.JSON {
		return t.json(summary)
	}
	return t.print(fmt.Sprintf("%s: %d rows, made %s, id %s", c.Out, summary.Rows, day(summary.Made), summary.ID))
}

func (c *backupCommand) unsealed(t *terminal, key backup.Key) error {
	if key == nil {
		t.warning("the key-encryption key was not given: the backup is not sealed, restore takes it with --unsealed only, and the TLS files are not in it")
	}
	return nil
}

// reader opens the store for reading, also where a server has it open. folder
// is the data folder, "" without one.
func (p *place) reader(ctx context.Context, t *terminal) (st store.Store, folder string, err error) {
	dsn, err := p.dsn()
	if err != nil {
		return nil, "", err
	}
	if dsn != "" {
		st, err = openStore(ctx, t, installationOptions{dsn: dsn, shared: true})
		return st, p.Data, err
	}
	if folder, err = p.folder(); err != nil {
		return nil, "", err
	}
	st, err = sqlite.OpenReader(ctx, folder)
	return st, folder, err
}

// backupKey finds the key-encryption key; nil when none was given.
func (p *place) backupKey(ctx context.Context, st store.Store, folder string) (backup.Key, error) {
	source, err := p.kekSource()
	if err != nil {
		return nil, err
	}
	kek, err := keys.LoadKEK(source)
	if path := filepath.Join(folder, kekName); errors.Is(err, keys.ErrNoKEK) && folder != "" {
		if _, statErr := os.Stat(path); statErr == nil {
			kek, err = keys.LoadKEK(keys.KEKSource{File: path})
		}
	}
	switch {
	case errors.Is(err, keys.ErrNoKEK):
		return nil, nil
	case err != nil:
		return nil, badInput(err, "")
	}
	refuse := func(context.Context, string, []byte) error { return keys.ErrWrongKEK } // nothing is set up here
	if err := keys.CheckKEK(ctx, kek, st.Setting, refuse); err != nil {
		return nil, err
	}
	return kek, nil
}

type restoreCommand struct {
	File     string `arg:"" help:"The backup." placeholder:"FILE"`
	Unsealed bool   `help:"Take it though it does not prove to come from an owner of the key-encryption key. Whoever could change the file could have added users and tokens."`
}

// Help implements kong.HelpProvider.
func (restoreCommand) Help() string {
	return `Makes a new installation: the data folder must have none yet, the database must be empty. Give the key-encryption key that the backup was made with. Either everything is restored or nothing; then the audit log is verified, and an entry tells of the restore.

What happened after the backup is not in it: checkpoints of that time report that the log was cut off. Tokens that were revoked since are valid again.

` + examples(
		"signpath admin --data NEWDIR --key-encryption-key-file kek restore signpath.backup",
		"signpath admin --data NEWDIR --database postgres://signpath@db/signpath --key-encryption-key-file kek restore signpath.backup",
	)
}

// Run restores.
func (c *restoreCommand) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	in, err := os.Open(c.File)
	if err != nil {
		return badInput(err, "")
	}
	defer in.Close()
	if f.Data == "" {
		return usage(errors.New("the data folder is missing"), "name a new one with --data DIR")
	}
	if isInstallation(f.Data) {
		return badInput(fmt.Errorf("there is an installation in %s", f.Data), "name a new folder with --data DIR")
	}
	dsn, err := f.dsn()
	if err != nil {
		return err
	}
	source, err := f.kekSource()
	if err != nil {
		return err
	}
	var key backup.Key
	switch kek, err := keys.LoadKEK(source); {
	case err == nil:
		key = kek
	case !errors.Is(err, keys.ErrNoKEK):
		return badInput(err, "")
	case !c.Unsealed:
		return badInput(errors.New("restoring needs the key-encryption key that the backup was made with"), "--key-encryption-key-file FILE, or "+kekVariable)
	}
	if _, err := makeFolder(f.Data, secretDir); err != nil {
		return err
	}
	summary, err := c.restore(ctx, t, in, f.Data, dsn, key)
	if err != nil {
		return err
	}
	for _, file := range summary.Files {
		// Names from outside: only those that are expected become paths.
		mode := fs.FileMode(secretFile)
		switch file.Name {
		case tlsCAName, tlsCertName:
			mode = publicFile
		case tlsCAKeyName, tlsKeyName:
		default:
			t.warning(fmt.Sprintf("the file %q of the backup is not known to this program and was left out", file.Name))
			continue
		}
		if err := writeFile(filepath.Join(f.Data, file.Name), file.Content, mode); err != nil {
			return err
		}
	}
	return c.tell(ctx, t, f, summary, installationOptions{folder: f.Data, dsn: dsn, shared: dsn != "", kek: source, leaves: f.previousKEKSource()})
}

func (c *restoreCommand) restore(ctx context.Context, t *terminal, in io.Reader, folder, dsn string, key backup.Key) (summary backup.Summary, err error) {
	var st store.Store
	if dsn != "" {
		st, err = postgres.Open(ctx, dsn)
	} else {
		st, err = sqlite.Open(ctx, folder)
	}
	if err != nil {
		return summary, err
	}
	summary, err = slow(t, "restoring", func() (backup.Summary, error) {
		return backup.Restore(ctx, bufio.NewReader(in), st, key, c.Unsealed)
	})
	err = errors.Join(err, st.Close())
	if err != nil && dsn == "" {
		removeDatabase(folder) // it was made here, and nothing is in it
	}
	switch {
	case errors.Is(err, backup.ErrUnsealed):
		return summary, badInput(err, "give the key-encryption key that was in use at the time; --unsealed takes the backup all the same")
	case errors.Is(err, backup.ErrFormat), errors.Is(err, backup.ErrDamaged):
		return summary, badInput(err, "")
	case errors.Is(err, store.ErrNotEmpty):
		return summary, badInput(err, "restore into an empty one")
	}
	return summary, err
}

// removeDatabase lets a second try find the folder as the first one did.
func removeDatabase(folder string) {
	for _, name := range []string{databaseName, databaseName + "-wal", databaseName + "-shm", "signpath.lock"} {
		_ = os.Remove(filepath.Join(folder, name))
	}
}

// tell verifies the restored log, puts the restore on record, and sums up.
func (c *restoreCommand) tell(ctx context.Context, t *terminal, f *adminFlags, s backup.Summary, o installationOptions) (err error) {
	i, err := openInstallation(ctx, t, o)
	if err != nil {
		return fmt.Errorf("everything was restored, but cannot be opened: %w", err)
	}
	defer func() { err = errors.Join(err, i.close()) }()
	report, err := slow(t, "verifying the audit log", func() (*audit.Report, error) { return audit.VerifyStore(ctx, i.store, audit.VerifyOptions{}) })
	if err != nil {
		return fmt.Errorf("everything was restored, but the audit log is not intact: %w", err)
	}
	config, err := i.store.Config(ctx)
	if err != nil {
		return err
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	err = i.log.Change(ctx, func(store.Tx) ([]audit.Event, error) {
		return []audit.Event{{Type: "Installation.Restored", Actor: admin.CurrentOperator(), Data: data}}, nil
	})
	if err != nil {
		return err
	}
	if f.JSON {
		return t.json(map[string]any{"backup": s, "organizations": len(config.Organizations), "keys": len(config.Keys), "auditEntries": report.Size})
	}
	return t.print(fmt.Sprintf("restored the backup of %s: %d organizations, %d keys, %d audit entries, intact", day(s.Made), len(config.Organizations), len(config.Keys), report.Size))
}

type resealCommand struct{}

// Help implements kong.HelpProvider.
func (resealCommand) Help() string {
	return `To change the key-encryption key without a pause:

  1. make a new one, and start the server (every replica) with it and with --previous-key-encryption-key-file OLD
  2. run this command: everything that the old one has sealed is sealed with the new one
  3. start the server without the old one, and destroy that when no backup needs it any more

` + examples("signpath admin --data DIR reseal")
}

// Run seals.
func (resealCommand) Run(ctx context.Context, t *terminal, f *adminFlags) error {
	var out admin.Resealed
	if err := f.do(ctx, t, "installation.reseal", struct{}{}, &out); err != nil {
		return err
	}
	if f.JSON {
		return t.json(out)
	}
	return t.print(fmt.Sprintf("sealed anew: %d of %d keys, %d of %d settings, %d of %d webhooks", out.Keys.Anew, out.Keys.Total, out.Settings.Anew, out.Settings.Total, out.Webhooks.Anew, out.Webhooks.Total))
}
