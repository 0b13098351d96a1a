package faults

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"signpath/e2e/rig"
)

// family is a tool that signs once, with the P-256 key (gpg: with an OpenPGP key).
type family struct {
	name string
	// command is what the user types. Everything that it writes is in dir.
	command func(t *testing.T, s *rig.Service, dir string) []string
	env     func(t *testing.T, dir string) []string
	java    bool // slow to start: fewer faults unless everything is asked for
	// repeats: the tool asks again for a signature that failed.
	repeats bool
	// relogs: the tool logs in anew when a signature failed.
	relogs bool
	// searches: the tool looks for keys before it logs in, so a fault of the first
	// request shows there.
	searches bool
	// daemon: another process of the tool has the module, and the tool's own files
	// lie in the temporary folder.
	daemon bool
}

// families are all tools whose way to the key is the module.
var families = []family{
	{name: "pkcs11-tool", repeats: true, command: func(t *testing.T, s *rig.Service, dir string) []string {
		_, _, content := rig.Artifact(t)
		digest := rig.Write(t, filepath.Join(dir, "artifact.hash"), rig.SHA256Of(content))
		return append([]string{"pkcs11-tool"}, rig.PKCS11Tool("--sign", "--mechanism", "ECDSA", "--id", rig.IDHex("p256"), "--input-file", digest, "--output-file", filepath.Join(dir, "artifact.sig"))...)
	}},
	{name: "openssl", command: func(t *testing.T, s *rig.Service, dir string) []string {
		file := rig.Write(t, filepath.Join(dir, "artifact"), []byte("an artifact of "+t.Name()))
		return []string{"openssl", "dgst", "-engine", "pkcs11", "-keyform", "engine", "-sha256", "-sign", "pkcs11:id=" + rig.Project + "/p256;type=private;pin-value=CONFIG", "-out", file + ".sig", file}
	}},
	{name: "osslsigncode", command: func(t *testing.T, s *rig.Service, dir string) []string {
		return []string{"osslsigncode", "sign", "-pkcs11module", rig.Module, "-key", "pkcs11:id=" + rig.Project + "/p256;type=private;pin-value=CONFIG",
			"-certs", s.File("certificates", "p256.chain.pem"), "-in", into(t, dir, "sample.exe"), "-out", filepath.Join(dir, "signed.exe")}
	}},
	{name: "jarsigner", java: true, command: func(t *testing.T, s *rig.Service, dir string) []string {
		return append(append([]string{filepath.Join(jdk(t), "bin", "jarsigner")}, rig.Store(sunPKCS11(t, dir), true)...),
			"-sigalg", "SHA256withECDSA", "-storepass", "CONFIG", into(t, dir, "sample.jar"), rig.Project+"/p256")
	}},
	{name: "Jsign", java: true, command: func(t *testing.T, s *rig.Service, dir string) []string {
		return []string{filepath.Join(jdk(t), "bin", "java"), "-jar", rig.JsignJar(t), "--storetype", "PKCS11", "--keystore", sunPKCS11(t, dir), "--storepass", "CONFIG",
			"--alias", rig.Project + "/p256", into(t, dir, "sample.exe")}
	}},
	{name: "apksigner", java: true, command: func(t *testing.T, s *rig.Service, dir string) []string {
		return []string{"apksigner", "sign", "--ks", "NONE", "--ks-type", "PKCS11", "--ks-pass", "pass:CONFIG", "--ks-key-alias", rig.Project + "/p256",
			"--in", into(t, dir, "sample.apk"), "--out", filepath.Join(dir, "signed.apk")}
	}, env: func(t *testing.T, dir string) []string {
		security := rig.Write(t, filepath.Join(dir, "pkcs11.security"), fmt.Appendf(nil, "security.provider.13=SunPKCS11 %s\n", sunPKCS11(t, dir)))
		return []string{"JDK_JAVA_OPTIONS=-Djava.security.properties=" + security, "PATH=" + filepath.Join(jdk(t), "bin") + ":" + os.Getenv("PATH")}
	}},
	// The set-up finds the service well; what is wrong begins with the signature. (The
	// card's number has to do with the address, so it cannot change in between.)
	{name: "gpg", searches: true, relogs: true, daemon: true, command: func(t *testing.T, s *rig.Service, dir string) []string {
		rig.Write(t, filepath.Join(dir, "artifact"), []byte("an artifact of "+t.Name()))
		return []string{"/bin/bash", "-c", fmt.Sprintf(`set -eu
. '%s'
InitializeSignPathCryptoProviderGpgSigning -ProjectSlug %s -SigningPolicySlug gpg-rsa3072 -LibSignPathCryptokiPath '%s'
gpgconf --kill all
socket=$(gpgconf --list-dirs agent-socket) # goes with the old agent
for i in $(seq 100); do [ -S "$socket" ] || break; sleep 0.05; done
touch %s
until [ -e %s ]; do sleep 0.05; done
gpg --batch -u "$GPG_KEY_ID" --detach-sign artifact`,
			filepath.Join(rig.Root, "samples", "Linux", "InitializeSignPathCryptoProviderGpgSigning.sh"), rig.Project, rig.Module, setUp, armed)}
	}, env: func(*testing.T, string) []string { return []string{"PKCS11_MODULE_PATH=", "USER=builder"} }},
}

// Files by which a tool with a set-up and the test wait for each other.
const setUp, armed = "set-up", "armed"

func jdk(t *testing.T) string { return rig.Here.Glob(t, "/usr/lib/jvm/java-17-openjdk-*") }

func sunPKCS11(t *testing.T, dir string) string {
	return rig.Write(t, filepath.Join(dir, "pkcs11.config"), fmt.Appendf(nil, "name=SignPath.Cryptoki\nlibrary=%s\nslot=1\n", rig.Module))
}

// into puts a sample into the folder.
func into(t *testing.T, dir, name string) string {
	return rig.Write(t, filepath.Join(dir, name), rig.Must(os.ReadFile(rig.Sample(t, name))))
}

// process is a tool that runs.
type process struct {
	*rig.Tool
	cmd    *exec.Cmd
	dir    string // its working folder, with everything that it writes but its log
	begun  time.Time
	output bytes.Buffer // after wait
	cancel context.CancelFunc
}

// start runs a family's tool with these settings beside the service's. wrap
// stands in front of the command line; arm is called before the tool asks the
// service for anything but its set-up (nil: nothing).
func (f family) start(t *testing.T, s *rig.Service, wrap []string, arm func(), settings ...string) *process {
	t.Helper()
	if !f.daemon && arm != nil {
		arm()
	}
	p := &process{dir: t.TempDir()}
	argv := f.command(t, s, p.dir)
	if f.env != nil {
		settings = append(f.env(t, p.dir), settings...)
	}
	p.Tool = s.Tool(t, settings...)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	p.cancel = cancel
	argv = append(append([]string{}, wrap...), argv...)
	p.cmd = exec.CommandContext(ctx, argv[0], argv[1:]...)
	p.cmd.Env, p.cmd.Dir = p.Env, p.dir
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // apksigner is a script with a child: a terminal would reach both
	p.cmd.Cancel = func() error { return p.signal(syscall.SIGKILL) }
	p.cmd.WaitDelay = 5 * time.Second
	p.begun = time.Now()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.signal(syscall.SIGKILL)
			_ = p.cmd.Wait()
		}
		cancel()
		for end := time.Now().Add(20 * time.Second); f.daemon && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			left := p.all()
			if len(left) == 0 {
				break
			}
			for _, pid := range left { // daemons would write into folders that go now
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	if f.daemon {
		if arm != nil {
			await(t, p, func() bool { _, err := os.Stat(filepath.Join(p.dir, setUp)); return err == nil })
			arm()
		}
		rig.Write(t, filepath.Join(p.dir, armed), nil)
	}
	return p
}

// all are the processes of the tool, daemons too: their environment tells.
func (p *process) all() (pids []int) {
	for _, file := range rig.Must(filepath.Glob("/proc/[0-9]*/environ")) {
		environ, err := os.ReadFile(file)
		if err == nil && bytes.Contains(environ, []byte("SIGNPATH_LOG_FILE_DIRECTORY="+p.Logs+"\x00")) {
			pids = append(pids, rig.Must(strconv.Atoi(filepath.Base(filepath.Dir(file)))))
		}
	}
	return pids
}

// signal reaches the tool and its children, as a terminal's Ctrl-C would.
func (p *process) signal(sig syscall.Signal) error { return syscall.Kill(-p.cmd.Process.Pid, sig) }

// wait waits for the tool's end.
func (p *process) wait(t *testing.T) *rig.Result {
	t.Helper()
	_ = p.cmd.Wait() // the exit code tells
	p.cancel()
	r := &rig.Result{Code: p.cmd.ProcessState.ExitCode(), Output: strings.Join(p.cmd.Args, " ") + "\n" + p.output.String() + "\nthe log:\n" + p.Log(), Took: time.Since(p.begun)}
	return r
}

// sign runs the tool to its end.
func (f family) sign(t *testing.T, s *rig.Service, arm func(), settings ...string) (*process, *rig.Result) {
	t.Helper()
	p := f.start(t, s, nil, arm, settings...)
	return p, p.wait(t)
}
