package remote

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// The system's roots are read once in a process, from where SSL_CERT_FILE says,
// so this test runs itself again with a service's CA as the system's only root.
func TestSystemRoots(t *testing.T) {
	if address := os.Getenv("REMOTE_TEST_ADDRESS"); address != "" {
		callThroughSystemRoots(t, address)
		return
	}
	cert, ca := leaf(t, "127.0.0.1", time.Now().Add(time.Hour))
	srv := httptest.NewUnstartedServer(http.HandlerFunc(ok))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	srv.Config.ErrorLog = quiet
	srv.StartTLS()
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "system.pem")
	if err := os.WriteFile(file, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(os.Args[0], "-test.run=^TestSystemRoots$", "-test.count=1")
	c.Env = append(os.Environ(), "REMOTE_TEST_ADDRESS="+srv.URL, "SSL_CERT_FILE="+file, "SSL_CERT_DIR="+t.TempDir())
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func callThroughSystemRoots(t *testing.T, address string) {
	_, foreign := leaf(t, "other", time.Now().Add(time.Hour))
	for name, file := range map[string][]byte{"no file": nil, "a file with another root": foreign} {
		s := against(t, address, foreign)
		if file == nil {
			s.settings.TrustedCAFile = ""
		}
		client := s.client()
		var wg sync.WaitGroup
		for range 8 { // side by side: each must find the system's roots
			wg.Go(func() {
				if _, err := client.Policies(context.Background(), Filter{}, Attempt{}); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		wg.Wait()
	}
}
