package faults

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"signpath/e2e/rig"
)

// TestFaultsFullDisk fills the disk under a running service: it signs nothing
// that it cannot put on record, says so to whoever asks for its health, and goes
// on by itself when there is room again.
func TestFaultsFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mount(t, "tmpfs", dir, fmt.Sprintf("size=32m,mode=0700,uid=%d,gid=%d", os.Getuid(), os.Getgid()))
	s, err := rig.Start(filepath.Join(dir, "dev"), "p256")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	health := func() int { return healthOf(t, s, "healthz") }
	openssl := families[1]
	if got := health(); got != 200 {
		t.Fatalf("healthz: %d", got)
	}
	_, r := openssl.sign(t, s, nil, scaledDown...)
	r.OK(t)

	full := fill(t, filepath.Join(dir, "full"))
	// Nobody signs: the probe alone has to find out.
	begin := time.Now()
	for health() != 503 {
		if time.Since(begin) > 15*time.Second {
			t.Fatal("healthz says healthy though nothing can be written")
		}
		time.Sleep(100 * time.Millisecond)
	}
	if got := healthOf(t, s, "healthzd"); got != 503 {
		t.Errorf("healthzd: %d, want 503", got)
	}
	tl, r := openssl.sign(t, s, nil, scaledDown...)
	r.Fails(t)
	tl.InLog(t, "C_Sign", deviceError, "500")
	if got := health(); got != 503 {
		t.Errorf("healthz after a signature that could not be recorded: %d, want 503", got)
	}

	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	begin = time.Now()
	for health() != 200 {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("healthz does not say healthy again")
		}
		time.Sleep(100 * time.Millisecond)
	}
	_, r = openssl.sign(t, s, nil, scaledDown...)
	r.OK(t)
	s.Stop()
	if !strings.Contains(s.Said(), "unhealthy") {
		t.Errorf("the service's log does not tell why it was unhealthy:\n%s", s.Said())
	}
	rig.Run(t, nil, rig.Binary, "audit", "verify", "--data", s.File("data")).OK(t)
}

// TestFaultsFullDiskUnderLoad: the health turns bad with the first signature
// that is not recorded, not only when somebody's probe is due.
func TestFaultsFullDiskUnderLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mount(t, "tmpfs", dir, fmt.Sprintf("size=32m,mode=0700,uid=%d,gid=%d", os.Getuid(), os.Getgid()))
	s, err := rig.Start(filepath.Join(dir, "dev"), "p256")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	fill(t, filepath.Join(dir, "full"))
	for i := 0; ; i++ {
		tl, r := families[1].sign(t, s, nil, append(scaledDown, "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=1")...)
		if r.Code != 0 {
			tl.InLog(t, "C_Sign", "500")
			break
		}
		if i == 40 { // what is left of the database's last pages
			t.Fatal("signatures go on with a full disk")
		}
	}
	if got := healthOf(t, s, "healthz"); got != 503 {
		t.Errorf("healthz: %d, want 503", got)
	}
}

// mount mounts a file system for the time of the test.
func mount(t *testing.T, kind, dir, options string) {
	t.Helper()
	as := asRoot()
	run := func(args ...string) *rig.Result {
		argv := append(append([]string{}, as...), args...)
		return rig.Run(t, nil, argv[0], argv[1:]...)
	}
	run("mount", "-t", kind, "-o", options, kind, dir).OK(t)
	t.Cleanup(func() { run("umount", "--lazy", dir) })
}

// fill writes until there is no room.
func fill(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 1; {
		if _, err = f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return name
}

// healthOf asks for the health as a load balancer does.
func healthOf(t *testing.T, s *rig.Service, route string) int {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(rig.Must(os.ReadFile(s.Env["SIGNPATH_TRUSTED_CA_FILE"])))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}, Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	answer, err := client.Get(s.Env["SIGNPATH_API_URL"] + "/" + route)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}
