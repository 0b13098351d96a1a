package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"signpath/internal/service/admin"
	"signpath/internal/service/store"
)

// place says where an installation is. Every command that works on one has these flags.
type place struct {
	Data                 string `help:"Data folder of the installation." placeholder:"DIR" env:"SIGNPATH_SERVER_DATA"`
	Database             string `help:"PostgreSQL database in place of the embedded one, e.g. postgres://user@host/name." placeholder:"URL" env:"SIGNPATH_SERVER_DATABASE"`
	DatabaseFile         string `help:"File with the database URL, for one that holds a password." placeholder:"FILE" env:"SIGNPATH_SERVER_DATABASE_FILE"`
	KeyEncryptionKeyFile string `help:"File with the key-encryption key. Default: the systemd credential signpath-kek, the variable SIGNPATH_SERVER_KEY_ENCRYPTION_KEY, or the file kek in the data folder." placeholder:"FILE" env:"SIGNPATH_SERVER_KEY_ENCRYPTION_KEY_FILE"`
	PreviousKeyFile      string `name:"previous-key-encryption-key-file" help:"File with the key-encryption key that the installation is leaving: what it has sealed opens too. Default: the systemd credential signpath-kek-previous." placeholder:"FILE" env:"SIGNPATH_SERVER_PREVIOUS_KEY_ENCRYPTION_KEY_FILE"`
	HSMConfig            string `name:"hsm-config" help:"File with the PKCS #11 tokens that keys lie on, JSON; see docs/hsm.md." placeholder:"FILE" env:"SIGNPATH_SERVER_HSM_CONFIG"`
}

// dsn is the database URL, "" for the embedded database. No error repeats it:
// it may hold a password.
func (p *place) dsn() (string, error) {
	url := p.Database
	if p.DatabaseFile != "" {
		if url != "" {
			return "", usage(errors.New("--database and --database-file are both given"), "keep one of them")
		}
		var err error
		if url, err = readSecretFile(p.DatabaseFile); err != nil {
			return "", err
		}
	}
	if url != "" && !strings.HasPrefix(url, "postgres://") && !strings.HasPrefix(url, "postgresql://") {
		return "", badInput(errors.New("the database URL must begin with postgres:// or postgresql://"), "")
	}
	return url, nil
}

// folder is the data folder of an existing installation. The folder of a
// development service holds its data one level deeper.
func (p *place) folder() (string, error) {
	if p.Data == "" {
		return "", usage(errors.New("the data folder is missing"), "name it with --data DIR or SIGNPATH_SERVER_DATA")
	}
	for _, dir := range []string{p.Data, filepath.Join(p.Data, devData)} {
		if isInstallation(dir) {
			return dir, nil
		}
	}
	if info, err := os.Stat(p.Data); err == nil && !info.IsDir() {
		return "", badInput(fmt.Errorf("%s is not a folder", p.Data), "")
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", badInput(err, "")
	}
	return "", badInput(fmt.Errorf("there is no installation in %s", p.Data), "the first start makes one: signpath server --data "+p.Data)
}

// isInstallation tells whether the folder holds a database, or a server that
// runs on another database.
func isInstallation(dir string) bool {
	for _, name := range []string{databaseName, admin.SocketName} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// How long a command waits for a server that is just starting or stopping.
const (
	handoverTime = 5 * time.Second
	handoverStep = 100 * time.Millisecond
)

// runner is what does the operations, wherever the installation is: in the
// server that runs on it, or here.
func (p *place) runner(ctx context.Context, t *terminal) (runner admin.Runner, done func() error, err error) {
	dsn, err := p.dsn()
	if err != nil {
		return nil, nil, err
	}
	if dsn != "" {
		return p.local(ctx, t, installationOptions{dsn: dsn, folder: p.Data, shared: true})
	}
	folder, err := p.folder()
	if err != nil {
		return nil, nil, err
	}
	return eitherWay(ctx, folder, func() (admin.Runner, func() error, error) {
		return p.local(ctx, t, installationOptions{folder: folder})
	})
}

// eitherWay asks the running server, or opens the installation here. While the
// folder is locked and no server answers yet, it tries again for a while.
func eitherWay(ctx context.Context, folder string, open func() (admin.Runner, func() error, error)) (admin.Runner, func() error, error) {
	for end := time.Now().Add(handoverTime); ; time.Sleep(handoverStep) {
		client, dialErr := admin.Dial(ctx, folder)
		if dialErr == nil {
			return client, client.Close, nil
		}
		if errors.Is(dialErr, os.ErrPermission) {
			return nil, nil, dialErr
		}
		runner, done, err := open()
		if err == nil || !errors.Is(err, store.ErrInUse) || time.Now().After(end) {
			return runner, done, err
		}
	}
}

// local opens the installation in this process.
func (p *place) local(ctx context.Context, t *terminal, o installationOptions) (admin.Runner, func() error, error) {
	var err error
	if o.kek, err = p.kekSource(); err != nil {
		return nil, nil, err
	}
	o.leaves = p.previousKEKSource()
	if o.tokens, err = p.tokens(); err != nil {
		return nil, nil, err
	}
	i, err := openInstallation(ctx, t, o)
	if err != nil {
		return nil, nil, err
	}
	local := admin.Local{Service: i.admin, Call: admin.Call{Actor: admin.CurrentOperator()}}
	return local, func() error { return i.close() }, nil
}

// do runs one operation and lets go of the installation again.
func (p *place) do(ctx context.Context, t *terminal, operation string, input, output any) error {
	runner, done, err := p.runner(ctx, t)
	if err != nil {
		return err
	}
	err = runner.Run(ctx, operation, input, output)
	if doneErr := done(); err == nil {
		err = doneErr
	}
	return err
}
