package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// service is one `signpath dev` in a folder of its own.
type service struct {
	dir     string
	process *exec.Cmd // nil: stopped
	vars    map[string]string
}

// start starts the service, which makes the keys the first time, and tells how
// long it took until it was ready. When it fails nothing is left running.
func (s *service) start() (time.Duration, error) {
	begin := time.Now()
	process := exec.Command(filepath.Join(*dist, "signpath"), "dev", "--dir", s.dir, "--keys", strings.Join(kinds, ","))
	out, err := process.StdoutPipe()
	if err != nil {
		return 0, err
	}
	process.Stderr = os.Stderr
	if err := process.Start(); err != nil {
		return 0, err
	}
	s.process = process
	line := make([]byte, 4096)
	n, _ := out.Read(line)
	took := time.Since(begin)
	if !bytes.HasPrefix(line[:n], []byte("ready ")) {
		s.stop()
		return 0, fmt.Errorf("signpath dev said %q", line[:n])
	}
	if err := s.readVars(); err != nil {
		s.stop()
		return 0, err
	}
	return took, nil
}

// readVars takes the providers' settings from the file that the service wrote.
func (s *service) readVars() error {
	env, err := exec.Command("env", "-i", "sh", "-c", ". "+filepath.Join(s.dir, "env")+"; env").Output()
	if err != nil {
		return err
	}
	s.vars = map[string]string{}
	for _, l := range strings.Split(string(env), "\n") {
		if k, v, ok := strings.Cut(l, "="); ok && strings.HasPrefix(k, "SIGNPATH_") {
			s.vars[k] = v
		}
	}
	return nil
}

// stop ends the service and waits until it is gone; one that is stopped stays so.
func (s *service) stop() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Signal(syscall.SIGTERM)
	_ = s.process.Wait()
	s.process = nil
}

// env is the environment of a provider's host that uses this service.
func (s *service) env(more ...string) []string {
	// A service that is away ends the run soon, not after ten minutes of retries.
	env := []string{"PATH=" + os.Getenv("PATH"), "SIGNPATH_LOG_FILE_DIRECTORY=" + s.dir + "-logs", "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=20"}
	for k, v := range s.vars {
		env = append(env, k+"="+v)
	}
	return append(env, more...)
}

func (s *service) client() (*http.Client, error) {
	pem, err := os.ReadFile(s.vars["SIGNPATH_TRUSTED_CA_FILE"])
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 64}}, nil
}

// sign asks the service for one signature by the JSON form.
func (s *service) sign(c *http.Client, kind string) error {
	sum := sha256.Sum256([]byte(kind))
	algorithm := `"signatureAlgorithm":"Ecdsa"`
	if kind != "p256" {
		algorithm = `"signatureAlgorithm":"Rsa","rsaOptions":{"hashAlgorithmName":"Sha256"}`
	}
	body := fmt.Sprintf(`{"projectSlug":"hash-signing","signingPolicySlug":%q,"hashSigningData":{%s,"hash":%q}}`, kind, algorithm, base64.StdEncoding.EncodeToString(sum[:]))
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.vars["SIGNPATH_API_URL"]+"/v1/"+s.vars["SIGNPATH_ORGANIZATION_ID"]+"/SigningRequests/SignHash", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.vars["SIGNPATH_API_TOKEN"])
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, answer)
	}
	return err
}

// listSize is the length in bytes of the list of all policies, as it travels.
func (s *service) listSize(c *http.Client, prefer, encoding string) (int64, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.vars["SIGNPATH_API_URL"]+"/v1/"+s.vars["SIGNPATH_ORGANIZATION_ID"]+"/Cryptoki/MySigningPolicies", nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+s.vars["SIGNPATH_API_TOKEN"])
	req.Header.Set("Accept-Encoding", encoding)
	if prefer != "" {
		req.Header.Set("Prefer", prefer)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the list: status %d", resp.StatusCode)
	}
	return n, err
}
