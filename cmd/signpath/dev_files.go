package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"signpath/internal/secret"
	"signpath/internal/service/admin"
	"signpath/internal/service/pki"
)

// devContent is what the files of a development service tell.
type devContent struct {
	organizationID   string
	ci, admin, other secret.Secret    // tokens
	root             []byte           // DER
	certificates     []devCertificate // one per policy
}

// devCertificate is the public part of a policy's key.
type devCertificate struct {
	policy string // slug
	admin.ExportedCertificate
}

const devConfigName = "config.json"

// Sub-folders of the development service's folder.
const (
	devCertificates = "certificates"
	devGPG          = "gpg"
)

// makeDevFolders makes the folders; what is public in them can be read by other
// users, so that tools which run as another one can use it.
func makeDevFolders(dir string) error {
	for _, sub := range []string{"", devCertificates, devGPG} {
		if _, err := makeFolder(filepath.Join(dir, sub), publicDir); err != nil {
			return err
		}
	}
	return nil
}

// devFile is one file of the contract.
type devFile struct {
	name string
	data []byte
	mode fs.FileMode
}

// writeDevFiles writes every file, each in one step.
func writeDevFiles(dir, apiURL string, c *devContent) error {
	files, err := devFiles(dir, apiURL, c)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := writeFile(filepath.Join(dir, f.name), f.data, f.mode); err != nil {
			return err
		}
	}
	return nil
}

// devFiles is the table of the files.
func devFiles(dir, apiURL string, c *devContent) ([]devFile, error) {
	ca, err := os.ReadFile(filepath.Join(dir, devData, tlsCAName))
	if err != nil {
		return nil, fmt.Errorf("reading the CA of the TLS certificate: %w", err)
	}
	// The settings of the crypto providers, by their names in the JSON file and
	// in the environment (SignPath crypto providers, "Configuration values").
	settings := []struct{ json, env, value string }{
		{"ApiUrl", "SIGNPATH_API_URL", apiURL},
		{"OrganizationId", "SIGNPATH_ORGANIZATION_ID", c.organizationID},
		{"ApiToken", "SIGNPATH_API_TOKEN", c.ci.Reveal()},
		{"TrustedCaFile", "SIGNPATH_TRUSTED_CA_FILE", filepath.Join(dir, tlsCAName)},
	}
	var env strings.Builder
	config := map[string]string{}
	for _, s := range settings {
		fmt.Fprintf(&env, "export %s=%s\n", s.env, shellQuote(s.value))
		config[s.json] = s.value
	}
	configJSON, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return nil, err
	}
	files := []devFile{
		{"tls-ca.pem", ca, publicFile},
		{"ca.pem", pki.EncodePEM(c.root), publicFile},
		{"env", []byte(env.String()), secretFile},
		{devConfigName, append(configJSON, '\n'), secretFile},
		{"admin-token", []byte(c.admin.Reveal() + "\n"), secretFile},
		{"other-token", []byte(c.other.Reveal() + "\n"), secretFile},
	}
	for _, cert := range c.certificates {
		if cert.Leaf != nil {
			chain := append([][]byte{cert.Leaf}, cert.Chain...)
			files = append(files,
				devFile{filepath.Join(devCertificates, cert.policy+".pem"), pki.EncodePEM(cert.Leaf), publicFile},
				devFile{filepath.Join(devCertificates, cert.policy+".chain.pem"), pki.EncodePEM(chain...), publicFile})
			continue
		}
		if cert.OpenPGP == nil {
			continue // a certificate that its authority has not issued yet
		}
		armored, err := pki.Armor(cert.OpenPGP)
		if err != nil {
			return nil, fmt.Errorf("writing the OpenPGP key of %s: %w", cert.policy, err)
		}
		files = append(files, devFile{filepath.Join(devGPG, cert.policy+".asc"), armored, publicFile})
	}
	return files, nil
}

// shellQuote makes a word of a POSIX shell.
func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// listenAgain listens where the last start of the same folder did if any port
// will do, so that what users have read from DIR/env stays true.
func listenAgain(ctx context.Context, address, dir string) (net.Listener, string, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && port == "0" {
		if last := lastPort(dir); last != "" {
			if l, host, err := listen(ctx, net.JoinHostPort(host, last)); err == nil {
				return l, host, nil
			} // somebody else has it by now
		}
	}
	return listen(ctx, address)
}

// lastPort is the port in DIR/config.json; empty at the first start.
func lastPort(dir string) string {
	data, err := os.ReadFile(filepath.Join(dir, devConfigName))
	if err != nil {
		return ""
	}
	var c struct {
		URL string `json:"ApiUrl"`
	}
	if json.Unmarshal(data, &c) != nil {
		return ""
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return ""
	}
	return u.Port()
}
