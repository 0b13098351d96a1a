//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a service in a process of its own.
type process struct {
	*testing.T
	command *exec.Cmd
	log     *buffer
	url     string // of the API
}

// buffer is written by the process and read by the test.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// launch starts signpath and waits for its API's address.
func launch(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{T: t, command: exec.Command("signpath", args...), log: &buffer{}}
	p.command.Stdout, p.command.Stderr = p.log, p.log
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.command.Process.Kill(); _ = p.command.Wait() })
	ready := regexp.MustCompile(`(?:^|\n)ready (\S+)\n|msg=ready .*api=(\S+)\n`)
	for end := time.Now().Add(startTime); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if m := ready.FindStringSubmatch(p.log.String()); m != nil {
			p.url = m[1] + m[2]
			return p
		}
	}
	t.Fatalf("not ready: %s", p.log.String())
	return nil
}

// stop ends the process and wants exit code 0.
func (p *process) stop() {
	p.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		p.Fatal(err)
	}
	if err := p.command.Wait(); err != nil {
		p.Fatalf("%v: %s", err, p.log)
	}
}

// client is what a script with curl would be: it knows the files of the contract.
type client struct {
	*testing.T
	http           *http.Client
	url, org       string
	token, project string
}

func newClient(t *testing.T, dir string) *client {
	t.Helper()
	var config struct{ ApiUrl, OrganizationId, ApiToken, TrustedCaFile string }
	if err := json.Unmarshal(read(t, filepath.Join(dir, "config.json")), &config); err != nil {
		t.Fatal(err)
	}
	return &client{t, trusting(t, config.TrustedCaFile), config.ApiUrl, config.OrganizationId, config.ApiToken, devProject}
}

func trusting(t *testing.T, ca string) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(read(t, ca)) {
		t.Fatalf("%s holds no certificate", ca)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (c *client) do(method, path, contentType string, body []byte) (int, []byte) {
	c.Helper()
	r, err := http.NewRequestWithContext(c.Context(), method, c.url+"/v1/"+c.org+"/"+path, bytes.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		c.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		c.Fatal(err)
	}
	return answer.StatusCode, data
}

// policies are the slugs that the token's user may sign with.
func (c *client) policies() []string {
	c.Helper()
	status, body := c.do("GET", "Cryptoki/MySigningPolicies", "", nil)
	var out struct {
		SigningPolicies []struct{ ProjectSlug, SigningPolicySlug string }
	}
	if err := json.Unmarshal(body, &out); status != 200 || err != nil {
		c.Fatalf("%d %s", status, body)
	}
	slugs := []string{}
	for _, p := range out.SigningPolicies {
		if p.ProjectSlug != c.project {
			c.Errorf("project %q", p.ProjectSlug)
		}
		slugs = append(slugs, p.SigningPolicySlug)
	}
	slices.Sort(slugs)
	return slugs
}

// sign posts the classic form.
func (c *client) sign(policy string, payload map[string]string) (int, []byte) {
	c.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, value := range map[string]string{"ProjectSlug": c.project, "SigningPolicySlug": policy, "IsFastSigningRequest": "true"} {
		if err := form.WriteField(name, value); err != nil {
			c.Fatal(err)
		}
	}
	part, err := form.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="Artifact"; filename="payload.json"`}, "Content-Type": {"application/json"}})
	if err != nil {
		c.Fatal(err)
	}
	if err := json.NewEncoder(part).Encode(payload); err != nil {
		c.Fatal(err)
	}
	if err := form.Close(); err != nil {
		c.Fatal(err)
	}
	return c.do("POST", "SigningRequests", form.FormDataContentType(), body.Bytes())
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func openssl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "openssl", args...).CombinedOutput()
	return string(out), err
}

// The contract: what a stranger can do with nothing but the files, checked by OpenSSL.
func TestDevSigns(t *testing.T) {
	dir := t.TempDir()
	keys := []string{"gpg-rsa2048", "mail-rsa2048", "p256", "p384", "p521", "rsa2048", "tls-p256"}
	p := launch(t, "dev", "--dir", dir, "--keys", strings.Join(keys, ","))
	c := newClient(t, dir)
	if c.url != p.url {
		t.Errorf("config.json says %s, the ready line %s", c.url, p.url)
	}
	if got := c.policies(); !slices.Equal(got, keys) {
		t.Errorf("policies %v, want %v", got, keys)
	}
	const sha256OID = "2.16.840.1.101.3.4.2.1"
	message := []byte("a real file")
	digest := sha256.Sum256(message)
	file := filepath.Join(t.TempDir(), "message")
	write(t, file, message)
	write(t, file+".tampered", []byte("another file"))
	tests := []struct {
		policy, algorithm string
		options           []string // of openssl dgst
	}{
		{"rsa2048", "RsaPkcs1", nil},
		{"rsa2048", "RsaPss", []string{"-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"}},
		{"mail-rsa2048", "RsaPkcs1", nil},
		{"p256", "Ecdsa", nil},
		{"p384", "Ecdsa", nil},
		{"p521", "Ecdsa", nil},
		{"tls-p256", "Ecdsa", nil},
	}
	for _, test := range tests {
		payload := map[string]string{"SignatureAlgorithm": test.algorithm, "Base64EncodedHash": base64.StdEncoding.EncodeToString(digest[:])}
		if test.algorithm == "Ecdsa" {
			payload["EcdsaSignatureFormat"] = "Asn1"
		} else {
			payload["RsaHashAlgorithm"] = sha256OID
		}
		status, body := c.sign(test.policy, payload)
		var answer struct{ Signature []byte }
		if err := json.Unmarshal(body, &answer); status != 200 || err != nil {
			t.Errorf("%s %s: %d %s", test.policy, test.algorithm, status, body)
			continue
		}
		write(t, file+".sig", answer.Signature)
		key, err := openssl(t, "x509", "-in", filepath.Join(dir, "certificates", test.policy+".pem"), "-noout", "-pubkey")
		if err != nil {
			t.Fatal(key)
		}
		write(t, file+".pub", []byte(key))
		args := append([]string{"dgst", "-sha256", "-verify", file + ".pub", "-signature", file + ".sig"}, test.options...)
		if out, err := openssl(t, append(args, file)...); err != nil {
			t.Errorf("%s %s: %s", test.policy, test.algorithm, out)
		}
		if _, err := openssl(t, append(args, file+".tampered")...); err == nil {
			t.Errorf("%s %s: a tampered file was accepted", test.policy, test.algorithm)
		}
	}
	payload := map[string]string{"SignatureAlgorithm": "RsaPkcs1", "RsaHashAlgorithm": sha256OID, "Base64EncodedHash": base64.StdEncoding.EncodeToString(digest[:])}
	for name, want := range map[string]int{"other-token": 403, "admin-token": 403} {
		stranger := *c
		stranger.token = strings.TrimSpace(string(read(t, filepath.Join(dir, name))))
		if got := stranger.policies(); len(got) != 0 {
			t.Errorf("%s sees %v", name, got)
		}
		if status, body := stranger.sign("rsa2048", payload); status != want {
			t.Errorf("%s: %d %s, want %d", name, status, body, want)
		}
	}
	nobody := *c
	nobody.token = strings.Repeat("A", 44)
	if status, _ := nobody.sign("rsa2048", payload); status != 401 {
		t.Errorf("an unknown token: %d, want 401", status)
	}
	plain := &http.Client{Timeout: 10 * time.Second}
	if _, err := plain.Get(c.url + "/healthz"); err == nil {
		t.Error("the certificate was trusted without the CA file")
	}

	// A change by an operator holds at once.
	if out, err := exec.CommandContext(t.Context(), "signpath", "admin", "--data", dir, "policy", "deactivate", "hash-signing/rsa2048").CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	if status, _ := c.sign("rsa2048", payload); status == 200 {
		t.Error("signed under a policy that is off")
	}
	p.stop()
	if out, err := exec.CommandContext(t.Context(), "signpath", "audit", "--data", dir, "verify").CombinedOutput(); err != nil || !strings.Contains(string(out), fmt.Sprintf("%d signatures announced", len(tests))) {
		t.Errorf("%v: %s", err, out)
	}
	for _, token := range []string{c.token, nobody.token} {
		if strings.Contains(p.log.String(), token) {
			t.Error("a token stands in the output")
		}
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// The env file is for any POSIX shell, whatever the folder is called.
func TestDevEnvFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's a \"$(folder)")
	launch(t, "dev", "--dir", dir, "--keys", "p256")
	c := newClient(t, dir)
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", `. "$1/env"; printf '%s\n' "$SIGNPATH_API_URL" "$SIGNPATH_ORGANIZATION_ID" "$SIGNPATH_API_TOKEN" "$SIGNPATH_TRUSTED_CA_FILE"; env | grep -c ^SIGNPATH_`, "sh", dir)
	out, err := cmd.CombinedOutput()
	want := strings.Join([]string{c.url, c.org, c.token, filepath.Join(dir, "tls-ca.pem"), "4"}, "\n") + "\n"
	if err != nil || string(out) != want {
		t.Errorf("%v: %q, want %q", err, out, want)
	}
}

// clientCertificate is an authority with one certificate below it.
func clientCertificate(t *testing.T) (authority []byte, cert tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "clients"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: []byte{1}}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: key}
}

// TLS is 1.2 or later; with --client-ca nobody comes in without a certificate.
func TestServerTLS(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	authority, cert := clientCertificate(t)
	caFile := filepath.Join(t.TempDir(), "clients.pem")
	write(t, caFile, authority)
	for _, c := range []struct {
		name string
		args []string
		tls  *tls.Config
		want bool
	}{
		{"default", nil, &tls.Config{}, true},
		{"TLS 1.2", nil, &tls.Config{MaxVersion: tls.VersionTLS12}, true},
		{"TLS 1.1", nil, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		{"no client certificate", []string{"--client-ca", caFile}, &tls.Config{}, false},
		{"client certificate", []string{"--client-ca", caFile}, &tls.Config{Certificates: []tls.Certificate{cert}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := launch(t, append([]string{"server", "--data", data, "--listen", "127.0.0.1:0"}, c.args...)...)
			client := trusting(t, filepath.Join(data, tlsCAName))
			transport := client.Transport.(*http.Transport)
			c.tls.RootCAs = transport.TLSClientConfig.RootCAs
			transport.TLSClientConfig = c.tls.Clone()
			answer, err := client.Get(p.url + "/healthz")
			if err == nil {
				_ = answer.Body.Close()
			}
			if (err == nil && answer.StatusCode == 200) != c.want {
				t.Errorf("%v", err)
			}
			transport.CloseIdleConnections()
			p.stop()
		})
	}
}

func TestServerNoTLS(t *testing.T) {
	p := launch(t, "server", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--no-tls")
	if !strings.HasPrefix(p.url, "http://127.0.0.1:") {
		t.Fatal(p.url)
	}
	answer, err := http.Get(p.url + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != 200 {
		t.Error(answer.Status)
	}
	p.stop()
}

// A request that is under way when the service is told to stop gets its answer.
func TestServerStopsGracefully(t *testing.T) {
	data := t.TempDir()
	p := launch(t, "server", "--data", data, "--listen", "127.0.0.1:0")
	config := trusting(t, filepath.Join(data, tlsCAName)).Transport.(*http.Transport).TLSClientConfig
	host := strings.TrimSuffix(strings.TrimPrefix(p.url, "https://"), "/Api")
	d := tls.Dialer{Config: config}
	conn, err := d.DialContext(t.Context(), "tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const body = `{"projectSlug":"x"}`
	fmt.Fprintf(conn, "POST /Api/v1/00000000-0000-4000-8000-000000000001/SigningRequests/SignHash HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:5])
	time.Sleep(200 * time.Millisecond) // the handler waits for the rest
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	if _, err := io.WriteString(conn, body[5:]); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v\n%s", err, p.log)
	}
	_ = answer.Body.Close()
	if answer.StatusCode < 400 || answer.StatusCode >= 500 {
		t.Error(answer.Status)
	}
	if err := p.command.Wait(); err != nil {
		t.Errorf("%v: %s", err, p.log)
	}
}

// The memory of the server never lands in a core dump.
func TestServerIsNotDumpable(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // setrlimit cannot be read from outside elsewhere
	}
	p := launch(t, "server", "--data", t.TempDir(), "--listen", "127.0.0.1:0")
	limits := string(read(t, fmt.Sprintf("/proc/%d/limits", p.command.Process.Pid)))
	if !regexp.MustCompile(`(?m)^Max core file size +0 +0 `).MatchString(limits) {
		t.Error(limits)
	}
	p.stop()
}

// SIGTERM while the keys are being made ends the service too; the next start goes on.
func TestDevStopsWhileMakingKeys(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	c := exec.CommandContext(ctx, "signpath", "dev", "--dir", dir, "--keys", "rsa4096,mail-rsa4096,gpg-rsa4096")
	var out buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for ctx.Err() == nil {
		if _, err := os.Stat(filepath.Join(dir, devData, databaseName)); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("%v: %s", err, &out)
	}
	p := launch(t, "dev", "--dir", dir, "--keys", "p256")
	if got := newClient(t, dir).policies(); !slices.Contains(got, "p256") {
		t.Errorf("policies %v", got)
	}
	p.stop()
}
