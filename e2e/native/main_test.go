// Package native lets the stock clients of PKCS #11 that are written in C sign
// through the module: OpenSSL's provider, GnuTLS, NSS, the boot and firmware tools,
// OpenSSH, curl, stunnel and p11-kit. One table says for each client how it signs, who
// judges the result, and what the audit log must hold; the same clients then meet a
// wrong token, a policy of somebody else, and a service that is not there.
package native

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"signpath/e2e/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

// client is a stock tool.
type client struct {
	name  string
	where []rig.System
	rsa   bool // the tool signs with RSA keys only
	more  bool // not in the default run
	early bool // the tool looks for certificates before login, and gives up without one
	// sign lets the tool sign job.file into job.out.
	sign func(t *testing.T, j *job) *rig.Result
	// judge asserts that other verifiers accept job.out, and refuse a changed copy.
	judge func(t *testing.T, j *job)
	// digest is what the key signed. Without it the audit entry is known by the
	// folder of the job, which stands in the tool's command line.
	digest func(t *testing.T, j *job) []byte
}

// job is one run of a client.
type job struct {
	s                    *rig.Service
	y                    rig.System
	tl                   *rig.Tool
	key                  string
	dir                  string // of its own, seen by this machine and by the tool's system
	file, tampered, out  string
	cert, chain, issuers string // PEM: leaf; leaf and issuers; issuers and root
	trust                string // PEM: issuers and root, for tools that carry the leaf only
}

func newJob(t *testing.T, s *rig.Service, y rig.System, key string, env ...string) *job {
	t.Helper()
	j := &job{s: s, y: y, key: key, dir: t.TempDir()}
	j.file, j.tampered, _ = rig.Artifact(t)
	j.out = filepath.Join(j.dir, "out")
	j.cert, j.chain = s.File("certificates", key+".pem"), s.File("certificates", key+".chain.pem")
	_, issuers, _ := strings.Cut(string(rig.Must(os.ReadFile(j.chain))), "-----END CERTIFICATE-----\n")
	j.issuers = rig.Write(t, filepath.Join(j.dir, "issuers.pem"), []byte(issuers))
	j.trust = j.issuers
	j.tl = s.Tool(t, append([]string{"PKCS11_MODULE_PATH=" + y.Module(t)}, env...)...)
	return j
}

// with runs a program in the tool's system, with more variables.
func (j *job) with(t *testing.T, env []string, program string, args ...string) *rig.Result {
	t.Helper()
	return j.y.Run(t, append(append([]string{}, j.tl.Env...), env...), program, args...)
}

// run runs a program in the tool's system.
func (j *job) run(t *testing.T, program string, args ...string) *rig.Result {
	t.Helper()
	return j.with(t, nil, program, args...)
}

// uri names the key as the engine and GnuTLS like it.
func (j *job) uri() string { return "pkcs11:id=" + rig.Project + "/" + j.key + ";type=private" }

func (j *job) content(t *testing.T) []byte {
	t.Helper()
	return rig.Must(os.ReadFile(j.file))
}

// audited asserts that the signature is on record.
func (j *job) audited(t *testing.T, digest []byte) {
	t.Helper()
	if digest != nil {
		j.s.Audited(t, digest, j.key)
		return
	}
	export := rig.Run(t, nil, rig.Binary, "audit", "export", "--data", j.s.File("data")).OK(t)
	for _, line := range strings.Split(export.Output, "\n") {
		if strings.Contains(line, "HashSigning.Intent") && strings.Contains(line, `"`+j.key+`"`) && strings.Contains(line, j.dir) {
			return
		}
	}
	t.Errorf("no audit entry with %s and %s in the command line", j.key, j.dir)
}

var (
	newer    = rig.Systems()[1:] // Debian 13
	anywhere = rig.Systems()
)

func clients(t *testing.T) []client {
	t.Helper()
	if len(newer) == 0 {
		t.Fatal("no Debian 13 root (run scripts/test, which makes it)")
	}
	var all []client
	for _, family := range [][]client{providerClients(), gnutlsClients(), nssClients(), efiClients(), kernelClients(), bootClients(), sshClients()} {
		for _, c := range family {
			if c.more && !rig.All {
				continue
			}
			if len(c.where) > 1 && !rig.All {
				c.where = c.where[:1]
			}
			all = append(all, c)
		}
	}
	return all
}

func (c client) keys() []string {
	var fit []string
	for _, k := range rig.Keys() {
		if rig.IsRSA(k) || !c.rsa {
			fit = append(fit, k)
		}
	}
	return fit
}

// TestSigns lets each client sign, others judge, and looks for the audit entry.
func TestSigns(t *testing.T) {
	s := rig.TheService(t)
	for _, c := range clients(t) {
		for _, y := range c.where {
			for _, key := range c.keys() {
				t.Run(strings.Join([]string{c.name, y.Name, key}, "/"), func(t *testing.T) {
					t.Parallel()
					j := newJob(t, s, y, key)
					c.sign(t, j).OK(t)
					c.judge(t, j)
					var digest []byte
					if c.digest != nil {
						digest = c.digest(t, j)
					}
					j.audited(t, digest)
					c.row(t, y, key)
				})
			}
		}
	}
}

var stopped = sync.OnceValues(func() (*rig.Service, error) {
	dir, err := os.MkdirTemp("", "signpath-e2e-stopped-")
	if err != nil {
		return nil, err
	}
	s, err := rig.Start(dir, strings.Join(rig.Keys(), ","))
	if err == nil {
		s.Stop()
	}
	return s, err
})

// TestRefusals is what a person gets whose token, policy or service is wrong: the tool
// fails, and the module's log says why and what to do.
func TestRefusals(t *testing.T) {
	s := rig.TheService(t)
	gone, err := stopped()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(gone.Dir) })
	for _, c := range clients(t) {
		y, keys := c.where[0], c.keys()
		key := keys[len(keys)-1]
		for _, why := range []struct {
			name string
			s    *rig.Service
			env  []string
			log  [][]string
		}{
			{"wrong token", s, []string{"SIGNPATH_API_TOKEN=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
				[][]string{{"C_Login", "CKR_ARGUMENTS_BAD"}, {"401", "SIGNPATH_API_TOKEN"}}},
			{"policy of somebody else", s, []string{"SIGNPATH_API_TOKEN=" + strings.TrimSpace(string(rig.Must(os.ReadFile(s.File("other-token")))))},
				[][]string{{"Submitter"}}},
			{"stopped service", gone, []string{"SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=1"},
				[][]string{{"CKR_FUNCTION_FAILED"}, {strings.TrimSuffix(strings.TrimPrefix(gone.Env["SIGNPATH_API_URL"], "https://"), "/Api")}}},
		} {
			t.Run(c.name+"/"+why.name, func(t *testing.T) {
				t.Parallel()
				j := newJob(t, why.s, y, key, why.env...)
				r := c.sign(t, j).Fails(t)
				for _, texts := range why.log {
					if c.early && strings.HasPrefix(texts[len(texts)-1], "CKR_") {
						continue // it never came to C_Login; the warning has the rest
					}
					j.tl.InLog(t, texts...)
				}
				if strings.Contains(j.tl.Log()+r.Output, "AAAAAAAAAAAAAAAA") {
					t.Error("the token was printed")
				}
			})
		}
	}
}
