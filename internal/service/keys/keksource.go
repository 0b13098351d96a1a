package keys

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"signpath/internal/rights"
	"signpath/internal/secret"
)

// CredentialName is the name of the systemd credential that holds the
// key-encryption key (LoadCredential=signpath-kek:…, systemd.exec(5)).
const CredentialName = "signpath-kek"

// PreviousCredentialName is that of the key that an installation is leaving.
const PreviousCredentialName = "signpath-kek-previous"

// maxKEKFile bounds what is read; the longest form has 64 characters and a line end.
const maxKEKFile = 1024

// KEKSource says where the key-encryption key comes from: exactly one of the
// three. This package does not read the environment; the caller hands in what
// it found there.
//
// A file or credential holds 32 raw bytes, or one line of 44 characters of
// base64 or 64 hexadecimal digits.
type KEKSource struct {
	// File is a regular file that only its owner can read.
	File string
	// CredentialsDirectory is systemd's $CREDENTIALS_DIRECTORY. It counts as a
	// source when it holds the credential; a unit may have other credentials only.
	CredentialsDirectory string
	// Value is the text itself, in base64 or hexadecimal.
	Value secret.Secret
	// Credential is the name of the credential; "": CredentialName.
	Credential string
}

func (src KEKSource) credential() string {
	if src.Credential != "" {
		return src.Credential
	}
	return CredentialName
}

// LoadKEK reads the key-encryption key. It answers ErrNoKEK when src names no
// source, and an error when it names more than one: which of them should win
// must not be a matter of luck.
func LoadKEK(src KEKSource) (*KEK, error) {
	var sources []string
	if src.File != "" {
		sources = append(sources, "the file "+src.File)
	}
	credential := ""
	if src.CredentialsDirectory != "" {
		path := filepath.Join(src.CredentialsDirectory, src.credential())
		if _, err := os.Stat(path); err == nil {
			credential = path
			sources = append(sources, "the systemd credential "+src.credential())
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("systemd credential %s: %w", src.credential(), err)
		}
	}
	if !src.Value.IsEmpty() {
		sources = append(sources, "the environment value")
	}

	switch {
	case len(sources) == 0:
		return nil, ErrNoKEK
	case len(sources) > 1:
		return nil, fmt.Errorf("the key-encryption key is given more than once (%s): keep one", strings.Join(sources, ", "))
	case src.File != "":
		return loadKEKFile(src.File, true)
	case credential != "":
		// systemd guards the directory. The mode of the file says nothing: for a
		// unit with User= an access control list shows up as group rights.
		return loadKEKFile(credential, false)
	}
	kek, err := parseKEKText(src.Value.Reveal())
	if err != nil {
		return nil, fmt.Errorf("environment value of the key-encryption key: %w", err)
	}
	return kek, nil
}

func loadKEKFile(path string, private bool) (*KEK, error) {
	data, err := readKEKFile(path, private)
	if err != nil {
		return nil, fmt.Errorf("key-encryption key: %w", err)
	}
	defer clear(data)
	kek, err := parseKEKFile(data)
	if err != nil {
		return nil, fmt.Errorf("key-encryption key file %s: %w", path, err)
	}
	return kek, nil
}

func readKEKFile(path string, private bool) ([]byte, error) {
	// Before opening: a named pipe would block.
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// On the open file: what was checked is what is read.
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if private && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 { // Windows has no such bits
		return nil, fmt.Errorf("%s has mode %04o, so other users can get at it: run chmod 600 %s", path, info.Mode().Perm(), path)
	}
	return io.ReadAll(io.LimitReader(f, maxKEKFile))
}

// parseKEKFile takes the raw form or a line of text.
func parseKEKFile(data []byte) (*KEK, error) {
	if len(data) != KEKSize {
		return parseKEKText(string(data))
	}
	// 32 random bytes are printable text once in 10^13; a password or 16 bytes in hexadecimal are always.
	for _, b := range data {
		if b < ' ' || b > '~' {
			return newKEK(append([]byte(nil), data...))
		}
	}
	return nil, errors.New("32 characters of text are not a key; make a random one, e.g. with: openssl rand -base64 32")
}

// parseKEKText takes base64 or hexadecimal; the error does not repeat the text.
func parseKEKText(text string) (*KEK, error) {
	text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	var raw []byte
	var err error
	switch len(text) {
	case base64.StdEncoding.EncodedLen(KEKSize):
		raw, err = base64.StdEncoding.Strict().DecodeString(text)
	case hex.EncodedLen(KEKSize):
		raw, err = hex.DecodeString(text)
	default:
		return nil, fmt.Errorf("it has %d bytes; it must be 32 raw bytes (files only), 44 characters of base64 or 64 hexadecimal digits", len(text))
	}
	if err != nil || len(raw) != KEKSize {
		clear(raw)
		return nil, errors.New("it is neither 44 characters of base64 nor 64 hexadecimal digits")
	}
	return newKEK(raw)
}

// GenerateKEKFile makes a random key-encryption key and writes it to a new file
// (base64, one line, mode 0600). An existing file is never touched: the error
// then matches fs.ErrExist. When it returns, file and folder are on the disk.
func GenerateKEKFile(path string) (*KEK, error) {
	raw := make([]byte, KEKSize)
	if _, err := rand.Read(raw); err != nil {
		return nil, err
	}
	text := make([]byte, base64.StdEncoding.EncodedLen(KEKSize), base64.StdEncoding.EncodedLen(KEKSize)+1)
	base64.StdEncoding.Encode(text, raw)
	text = append(text, '\n')
	defer clear(text)
	if err := writeNew(path, text); err != nil {
		return nil, fmt.Errorf("key-encryption key: %w", err)
	}
	return newKEK(raw)
}

func writeNew(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(path) // half a key must not look like one
		}
	}()
	if err := f.Chmod(0o600); err != nil { // a strange umask could have taken the owner's rights
		return err
	}
	if err := rights.Keep(path); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the new name durable. Windows cannot sync folders and need not.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
