package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"

	"signpath/internal/service/keys"
	"signpath/internal/service/keys/hsm"
	"signpath/internal/service/model"
)

// workerName is the program that loads a token's PKCS #11 module.
const workerName = "signpath-hsm"

// workerFolders are where it lies, beside this program or below its prefix.
var workerFolders = []string{".", "../libexec/signpath", "../lib/signpath"}

// devTokenName is the name of the token of a development service.
const devTokenName = "dev"

// maxHSMConfig bounds the configuration file, in bytes.
const maxHSMConfig = 1 << 20

// tokens reads the file of --hsm-config.
func (p *place) tokens() ([]hsm.Config, error) {
	if p.HSMConfig == "" {
		return nil, nil
	}
	info, err := os.Stat(p.HSMConfig)
	if err != nil {
		return nil, badInput(err, "")
	}
	if info.Size() > maxHSMConfig {
		return nil, badInput(fmt.Errorf("%s has %d bytes; the limit is %d", p.HSMConfig, info.Size(), maxHSMConfig), "")
	}
	data, err := os.ReadFile(p.HSMConfig)
	if err != nil {
		return nil, badInput(err, "")
	}
	tokens, err := hsm.ParseConfig(data, environment("CREDENTIALS_DIRECTORY"))
	if err != nil {
		return nil, badInput(fmt.Errorf("%s: %w", p.HSMConfig, err), "docs/hsm.md shows the file")
	}
	return tokens, nil
}

// tokens is the one token of a development service, if it has one.
func (d *devHSM) tokens() ([]hsm.Config, error) {
	given := 0
	for _, v := range []string{d.HSMModule, d.HSMToken, d.HSMPinFile} {
		if v != "" {
			given++
		}
	}
	switch given {
	case 0:
		return nil, nil
	case 3:
	default:
		return nil, usage(errors.New("--hsm-module, --hsm-token and --hsm-pin-file belong together"), "give all three, or none for keys in the embedded store")
	}
	module, err := filepath.Abs(d.HSMModule)
	if err != nil {
		return nil, err
	}
	pin, err := filepath.Abs(d.HSMPinFile)
	if err != nil {
		return nil, err
	}
	return []hsm.Config{{Name: devTokenName, Module: module, TokenLabel: d.HSMToken, PINFile: pin}}, nil
}

// makeTokens makes the tokens, which start to work later.
func makeTokens(o installationOptions, kek *keys.KEK) ([]*hsm.Token, error) {
	if len(o.tokens) == 0 {
		return nil, nil
	}
	worker, err := findWorker()
	if err != nil {
		return nil, err
	}
	var tokens []*hsm.Token
	for _, c := range o.tokens {
		tokens = append(tokens, hsm.New(c, hsm.Options{Worker: worker, KEK: kek, Logger: o.logger, Environment: os.Environ()}))
	}
	return tokens, nil
}

func findWorker() (string, error) {
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", workerName, err)
	}
	for _, folder := range workerFolders {
		path := filepath.Join(filepath.Dir(self), folder, workerName)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", badInput(err, "")
		}
	}
	return "", badInput(fmt.Errorf("%s is missing, which works with PKCS #11 tokens", workerName), "put it into "+filepath.Dir(self)+", beside "+filepath.Base(self))
}

// startTokens begins to work with the tokens, and warns of keys that nobody holds.
func (i *installation) startTokens(all iter.Seq[*model.Key], logger *slog.Logger) {
	for _, token := range i.tokens {
		token.Start()
	}
	if i.ring == nil {
		return
	}
	missing := map[string]int{}
	for k := range all {
		if !k.Deleted && !i.ring.Has(k.Backend) {
			missing[k.Backend]++
		}
	}
	for name, n := range missing {
		logger.Warn("keys cannot be used: their key store is not configured", slog.String("key_store", name), slog.Int("keys", n), slog.String("hint", "name the token with --hsm-config (signpath dev: --hsm-module, --hsm-token, --hsm-pin-file)"))
	}
}

// deepHealth asks the database and every token. Signatures with keys of other
// stores are possible while a token is away.
func (i *installation) deepHealth(ctx context.Context) error {
	err := i.health(ctx)
	for _, token := range i.tokens {
		err = errors.Join(err, token.Health())
	}
	return err
}
