package forks

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"signpath/e2e/rig"
)

// server is a program that loads the module, forks, and serves TLS by its children.
type server struct {
	name    string
	systems []string
	// start writes the configuration and starts the server in the foreground.
	start func(t *testing.T, w *site) *rig.Background
	// check lets the server judge its configuration, which loads the keys.
	check        func(t *testing.T, w *site) *rig.Result
	reload, stop syscall.Signal
	// stays: a child that libp11 or pkcs11-provider could not give its keys, because it
	// was born while the service was away, stays without them; a reload helps.
	stays bool
}

// user is the line that makes workers unprivileged; only root can.
func user(line string) string {
	if os.Geteuid() == 0 {
		return line
	}
	return ""
}

// program is Debian 12's NGINX, which scripts/test unpacks without installing it, or
// the one of a root.
func nginxProgram(y rig.System) string {
	if p := os.Getenv("E2E_NGINX"); y == rig.Here && p != "" {
		return p
	}
	return "/usr/sbin/nginx"
}

func nginx(t *testing.T, w *site) (program string, args, env []string) {
	t.Helper()
	var keys strings.Builder
	for _, k := range serverKeys {
		fmt.Fprintf(&keys, "\t\tssl_certificate %s/%s.pem;\n\t\tssl_certificate_key \"engine:pkcs11:pkcs11:id=%s/%s;type=private\";\n", w.dir, k, rig.Project, k)
	}
	conf := w.file(t, "nginx.conf", fmt.Appendf(nil, `daemon off;
worker_processes 3;
%[2]s
pid %[1]s/pid;
error_log %[1]s/error.log info;
env SIGNPATH_CONFIG_FILE;
env SIGNPATH_LOG_FILE_DIRECTORY;
env OPENSSL_CONF;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path %[1]s/tmp/1; proxy_temp_path %[1]s/tmp/2; fastcgi_temp_path %[1]s/tmp/3; uwsgi_temp_path %[1]s/tmp/4; scgi_temp_path %[1]s/tmp/5;
	server {
		listen 127.0.0.1:%[3]s ssl;
		ssl_protocols TLSv1.2 TLSv1.3;
		ssl_session_cache off; ssl_session_tickets off;
%[4]s		location / { root %[1]s/docs; }
	}
}
`, w.dir, user("user nobody nogroup;"), w.port, keys.String()))
	return nginxProgram(w.y), []string{"-p", w.dir, "-c", conf}, w.env("OPENSSL_CONF=" + w.engine(t))
}

func apache(t *testing.T, w *site, device, openssl string) (args, env []string) {
	t.Helper()
	var keys strings.Builder
	for _, k := range serverKeys {
		fmt.Fprintf(&keys, "SSLCertificateFile %s/%s.pem\nSSLCertificateKeyFile \"pkcs11:id=%s/%s;type=private?pin-value=CONFIG\"\n", w.dir, k, rig.Project, k)
	}
	var modules strings.Builder
	for _, m := range []string{"mpm_prefork", "authz_core", "ssl"} {
		fmt.Fprintf(&modules, "LoadModule %[1]s_module modules/mod_%[1]s.so\n", m)
	}
	conf := w.file(t, "apache.conf", fmt.Appendf(nil, `ServerRoot /usr/lib/apache2
ServerName localhost
DefaultRuntimeDir %[1]s
Mutex file:%[1]s
PidFile %[1]s/pid
ErrorLog %[1]s/error.log
LogLevel info
Listen 127.0.0.1:%[2]s
%[3]s%[4]s
DocumentRoot %[1]s/docs
StartServers 3
MinSpareServers 3
MaxSpareServers 5
MaxRequestWorkers 8
MaxConnectionsPerChild 6
%[5]s
SSLSessionCache none
SSLSessionTickets off
<VirtualHost 127.0.0.1:%[2]s>
SSLEngine on
%[6]s</VirtualHost>
`, w.dir, w.port, modules.String(), user("User nobody\nGroup nogroup"), device, keys.String()))
	return []string{"-d", w.dir, "-f", conf}, w.env("OPENSSL_CONF=" + openssl)
}

func servers() []server {
	apacheServer := func(name, device string, openssl func(w *site, t *testing.T) string, systems ...string) server {
		return server{name: name, systems: systems, reload: syscall.SIGUSR1, stop: syscall.SIGWINCH, stays: true,
			start: func(t *testing.T, w *site) *rig.Background {
				args, env := apache(t, w, device, openssl(w, t))
				return w.y.Start(t, env, "/usr/sbin/apache2", append(args, "-DFOREGROUND")...)
			},
			check: func(t *testing.T, w *site) *rig.Result {
				// -t does not load keys: try to serve
				args, env := apache(t, w, device, openssl(w, t))
				return w.y.Run(t, env, "/usr/sbin/apache2", append(args, "-DFOREGROUND")...)
			}}
	}
	return []server{
		{name: "nginx", systems: []string{"here", "debian11", "debian13"}, reload: syscall.SIGHUP, stop: syscall.SIGQUIT,
			start: func(t *testing.T, w *site) *rig.Background {
				program, args, env := nginx(t, w)
				return w.y.Start(t, env, program, args...)
			},
			check: func(t *testing.T, w *site) *rig.Result {
				program, args, env := nginx(t, w)
				return w.y.Run(t, env, program, append(args, "-t")...)
			}},
		apacheServer("apache/engine", "SSLCryptoDevice pkcs11", (*site).engine0, "here", "debian11"),
		apacheServer("apache/provider", "", (*site).provider0, "debian13"),
	}
}

func (w *site) engine0(t *testing.T) string   { t.Helper(); return w.engine(t) }
func (w *site) provider0(t *testing.T) string { t.Helper(); return w.provider(t) }

// master is the process that forks the workers, from the server's own file.
func (w *site) master(t *testing.T) int {
	t.Helper()
	for range 600 {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(rig.Must(readIfThere(filepath.Join(w.dir, "pid")))))); err == nil {
			return pid
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("the server did not start:\n%s\n%s", rig.Must(readIfThere(filepath.Join(w.dir, "error.log"))), w.log())
	return 0
}

func readIfThere(name string) ([]byte, error) {
	b, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return nil, nil
	}
	return b, err
}

// children are the processes that a process forked.
func children(pid int) []int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	var pids []int
	for _, f := range strings.Fields(string(b)) {
		pids = append(pids, rig.Must(strconv.Atoi(f)))
	}
	return pids
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for range 600 {
		if so() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("not within a minute: %s", what)
}

// TestServers: handshakes by several workers, a reload and a killed worker in between,
// a service that goes away and comes back, and an end in order.
func TestServers(t *testing.T) {
	rounds := 24
	if rig.All {
		rounds = 200
	}
	for _, server := range servers() {
		for _, y := range systems(t) {
			if !slices.Contains(server.systems, y.Name) {
				continue
			}
			t.Run(server.name+"/"+y.Name, func(t *testing.T) {
				t.Parallel()
				if server.name == "nginx" {
					version := "" // of the installed package; here it was unpacked only
					if y == rig.Here {
						version = rig.VersionIn(rig.Run(t, nil, rig.Program(t, "E2E_NGINX"), "-v").Output)
					}
					rig.Row(t, "nginx (TLS key)", version, "tls-p256", y, "openssl s_client, Go's crypto/tls")
				} else {
					rig.Row(t, "apache2 (TLS key)", "", "tls-p256", y, "openssl s_client, Go's crypto/tls")
				}
				dir, address := t.TempDir(), "127.0.0.1:"+rig.FreePort(t)
				begin := func() *rig.Service {
					return rig.Must(rig.Start(dir, strings.Join(serverKeys, ","), "--listen", address))
				}
				s := begin()
				t.Cleanup(func() { s.Stop() })
				w := newSite(t, s, y)
				visited := 0
				visit := func(n int, when string) {
					t.Helper()
					visited += n
					if failed, err := w.visit(t, n); failed > 0 {
						t.Errorf("%s: %d of %d handshakes failed: %v\n%s", when, failed, n, err, tail(string(rig.Must(readIfThere(filepath.Join(w.dir, "error.log"))))))
					}
				}
				b := server.start(t, w)
				master := w.master(t)
				eventually(t, "the server listens", func() bool { failed, _ := w.visit(t, 1); visited++; return failed == 0 })
				visit(rounds, "at first")
				for range 20 { // until more than one worker had work
					if p, _ := w.signers(); len(p) > 1 {
						break
					}
					visit(8, "for another worker")
				}
				if p, _ := w.signers(); len(p) < 2 {
					t.Errorf("only %v signed, not two workers", p)
				}
				rig.Run(t, nil, "sh", "-c", `openssl s_client -connect "$1" -servername localhost -CAfile "$2" -verify_return_error </dev/null`, "sh", "127.0.0.1:"+w.port, s.File("ca.pem")).OK(t).Says(t, "Verify return code: 0 (ok)")
				visited++

				renewed := func(old []int) func() bool {
					return func() bool {
						now := children(master)
						return len(now) > 0 && !slices.ContainsFunc(now, func(p int) bool { return slices.Contains(old, p) })
					}
				}
				old := children(master)
				reloaded := make(chan struct{})
				go func() {
					time.Sleep(50 * time.Millisecond)
					b.Signal(master, server.reload)
					close(reloaded)
				}()
				visit(rounds, "during a reload")
				<-reloaded
				eventually(t, "new workers after the reload", renewed(old))
				visit(rounds/2, "after a reload")

				killed := children(master)
				if len(killed) == 0 {
					t.Fatal("no workers")
				}
				b.Signal(killed[0], syscall.SIGKILL)
				eventually(t, "another worker for the killed one", func() bool {
					now := children(master)
					return !slices.Contains(now, killed[0]) && len(now) >= 3
				})
				visit(rounds/2, "after a worker was killed")

				s.Stop()
				if failed, _ := w.visit(t, 2); failed != 2 {
					t.Error("handshakes without a service")
				}
				if !strings.Contains(w.log(), "CKR_FUNCTION_FAILED") || !strings.Contains(w.log(), address) {
					t.Errorf("the log does not tell that %s is away:\n%s", address, tail(w.log()))
				}
				s = begin()
				w.s = s
				if server.stays {
					old := children(master)
					b.Signal(master, server.reload)
					eventually(t, "new workers after the service came back", renewed(old))
				}
				visit(rounds/2, "after the service came back")

				_, keys := w.signers()
				for _, k := range serverKeys {
					if keys[k] == 0 {
						t.Errorf("no signature by %s", k)
					}
					if n := w.intents(t, k); n < keys[k] {
						t.Errorf("%d audit entries for %d signatures by %s", n, keys[k], k)
					}
				}
				if n := keys[serverKeys[0]] + keys[serverKeys[1]]; n < visited-3 {
					t.Errorf("%d signatures for %d handshakes", n, visited)
				}
				b.Signal(master, server.stop)
				select {
				case <-b.Ended:
					if b.Code != 0 {
						t.Errorf("the server ended with %d:\n%s", b.Code, b.Output())
					}
				case <-time.After(time.Minute):
					t.Error("the server did not end")
				}
			})
		}
	}
}

func tail(text string) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// TestServerRefusals: a server with a wrong token does not start, and the log says why;
// with settings that its workers may not read it starts, and the log names the file.
func TestServerRefusals(t *testing.T) {
	s := rig.Must(rig.Start(t.TempDir(), strings.Join(serverKeys, ",")))
	t.Cleanup(s.Stop)
	for _, server := range servers() {
		for _, y := range systems(t) {
			if !slices.Contains(server.systems, y.Name) || y.Name == "debian11" && !rig.All {
				continue
			}
			t.Run(server.name+"/"+y.Name+"/wrong token", func(t *testing.T) {
				t.Parallel()
				w := newSite(t, s, y)
				w.settings(t, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
				server.check(t, w).Fails(t)
				if log := w.log(); !strings.Contains(log, "401") || !strings.Contains(log, "API token is unknown") || !strings.Contains(log, "CKR_ARGUMENTS_BAD") || strings.Contains(log, "AAAAAAAAAAAAAAAA") {
					t.Errorf("the log does not help:\n%s", log)
				}
			})
			if os.Geteuid() != 0 {
				continue // the workers have no other user
			}
			t.Run(server.name+"/"+y.Name+"/settings for root only", func(t *testing.T) {
				t.Parallel()
				w := newSite(t, s, y)
				if err := os.Chmod(filepath.Join(w.dir, "signpath.json"), 0o600); err != nil {
					t.Fatal(err)
				}
				server.start(t, w)
				w.master(t)
				if failed, _ := w.visit(t, 2); failed != 2 {
					t.Error("a worker read root's settings")
				}
				eventually(t, "a line in the log that names the file", func() bool {
					return strings.Contains(w.log(), filepath.Join(w.dir, "signpath.json"))
				})
			})
		}
	}
}
