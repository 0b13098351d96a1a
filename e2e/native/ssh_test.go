package native

import (
	"bytes"
	"crypto"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"signpath/e2e/rig"
)

const readWrite = "SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS=true"

// askpass is the program that ssh-keygen and ssh-add ask for the PIN.
func (j *job) askpass(t *testing.T) []string {
	t.Helper()
	name := filepath.Join(j.dir, "askpass")
	if err := os.WriteFile(name, []byte("#!/bin/sh\necho CONFIG\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return []string{"SSH_ASKPASS=" + name, "SSH_ASKPASS_REQUIRE=force", "DISPLAY=:0", readWrite}
}

// authorized writes the policy's public key as OpenSSH writes it, made from the certificate.
func (j *job) authorized(t *testing.T) (file string, key ssh.PublicKey) {
	t.Helper()
	block, _ := pem.Decode(rig.Must(os.ReadFile(j.s.PublicKey(t, j.key))))
	key = rig.Must(ssh.NewPublicKey(parsePublicKey(t, block.Bytes)))
	return rig.Write(t, filepath.Join(j.dir, "ca.pub"), ssh.MarshalAuthorizedKey(key)), key
}

// agent starts ssh-agent, lets it load the module, and ends it after the test.
func (j *job) agent(t *testing.T) (env []string, added *rig.Result) {
	t.Helper()
	env = j.askpass(t)
	socket := filepath.Join(j.dir, "agent")
	r := j.with(t, env, "ssh-agent", "-s", "-a", socket, "-P", j.y.Module(t)).OK(t)
	_, after, ok := strings.Cut(r.Output, "SSH_AGENT_PID=")
	pid, _, _ := strings.Cut(after, ";")
	if !ok {
		t.Fatal(r.Output)
	}
	env = append(env, "SSH_AUTH_SOCK="+socket, "SSH_AGENT_PID="+pid)
	t.Cleanup(func() { j.with(t, env, "ssh-agent", "-k") })
	return env, j.with(t, env, "ssh-add", "-s", j.y.Module(t))
}

// sshHash is the hash that OpenSSH signs with a key.
func sshHash(key string) crypto.Hash {
	switch key {
	case "p256":
		return crypto.SHA256
	case "p384":
		return crypto.SHA384
	}
	return crypto.SHA512 // P-521; RSA by rsa-sha2-512
}

// certificate reads a certificate and lets x/crypto/ssh judge it.
func (j *job) certificate(t *testing.T, file string) (*ssh.Certificate, error) {
	t.Helper()
	k, _, _, _, err := ssh.ParseAuthorizedKey(rig.Must(os.ReadFile(file)))
	if err != nil {
		return nil, err
	}
	c, ok := k.(*ssh.Certificate)
	if !ok {
		return nil, errors.New("no certificate")
	}
	_, ca := j.authorized(t)
	checker := ssh.CertChecker{IsUserAuthority: func(auth ssh.PublicKey) bool { return bytes.Equal(auth.Marshal(), ca.Marshal()) }}
	if !checker.IsUserAuthority(c.SignatureKey) {
		return c, errors.New("another authority")
	}
	return c, checker.CheckCert("alice", c)
}

// sshsig is what ssh-keygen -Y signs (OpenSSH, PROTOCOL.sshsig): the file's SHA-512 in an envelope.
func sshsig(namespace string, file []byte) []byte {
	return append([]byte("SSHSIG"), ssh.Marshal(struct{ Namespace, Reserved, Hash, Digest string }{namespace, "", "sha512", string(rig.HashOf(crypto.SHA512, file))})...)
}

func sshClients() []client {
	certify := func(options func(t *testing.T, j *job) ([]string, *rig.Result, []string)) client {
		return client{where: anywhere,
			sign: func(t *testing.T, j *job) *rig.Result {
				user := filepath.Join(j.dir, "user")
				rig.Run(t, nil, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "alice", "-f", user).OK(t)
				j.out = user + "-cert.pub"
				ca, _ := j.authorized(t)
				env, failed, more := options(t, j)
				if failed != nil && failed.Code != 0 {
					return failed
				}
				return j.with(t, env, "ssh-keygen", append(append([]string{"-s", ca}, more...), "-I", "alice", "-n", "alice", "-V", "+1h", user+".pub")...)
			},
			judge: func(t *testing.T, j *job) {
				rig.Run(t, nil, "ssh-keygen", "-L", "-f", j.out).OK(t).Says(t, "Type: ssh-ed25519-cert-v01@openssh.com user certificate")
				c, err := j.certificate(t, j.out)
				if err != nil {
					t.Fatal(err)
				}
				c.Serial++
				if (&ssh.CertChecker{}).CheckCert("alice", c) == nil {
					t.Error("a changed certificate was accepted")
				}
			},
			digest: func(t *testing.T, j *job) []byte {
				c, _ := j.certificate(t, j.out)
				unsigned := *c
				unsigned.Signature = nil
				b := unsigned.Marshal()
				return rig.HashOf(sshHash(j.key), b[:len(b)-4]) // the end is the length of the missing signature
			}}
	}
	named := func(name string, more bool, c client) client { c.name, c.more = name, more; return c }
	return []client{
		named("ssh-keygen/certificate", false, certify(func(t *testing.T, j *job) ([]string, *rig.Result, []string) {
			return j.askpass(t), nil, []string{"-D", j.y.Module(t)}
		})),
		named("ssh-keygen/certificate by the agent", true, certify(func(t *testing.T, j *job) ([]string, *rig.Result, []string) {
			env, added := j.agent(t)
			return env, added, []string{"-U"}
		})),
		{name: "ssh-keygen/-Y sign", where: anywhere,
			sign: func(t *testing.T, j *job) *rig.Result {
				env, added := j.agent(t)
				if added.Code != 0 {
					return added
				}
				pub, _ := j.authorized(t)
				return j.with(t, env, "ssh-keygen", "-Y", "sign", "-f", pub, "-n", "file", j.file)
			},
			judge: func(t *testing.T, j *job) {
				pub, _ := j.authorized(t)
				allowed := rig.Write(t, filepath.Join(j.dir, "allowed"), append([]byte("alice "), rig.Must(os.ReadFile(pub))...))
				verify := func(file string) *rig.Result {
					return rig.Run(t, nil, "sh", "-c", `ssh-keygen -Y verify -f "$1" -I alice -n file -s "$2" <"$3"`, "sh", allowed, j.file+".sig", file)
				}
				verify(j.file).OK(t).Says(t, `Good "file" signature for alice`)
				verify(j.tampered).Fails(t)
			},
			digest: func(t *testing.T, j *job) []byte { return rig.HashOf(sshHash(j.key), sshsig("file", j.content(t))) }},
		{name: "git", where: anywhere, // gpg.format=ssh
			sign: func(t *testing.T, j *job) *rig.Result {
				env, added := j.agent(t)
				if added.Code != 0 {
					return added
				}
				pub, _ := j.authorized(t)
				j.out = filepath.Join(j.dir, "repository")
				allowed := rig.Write(t, filepath.Join(j.dir, "allowed"), append([]byte("alice@example.com "), rig.Must(os.ReadFile(pub))...))
				j.run(t, "git", "init", "-q", j.out).OK(t)
				for k, v := range map[string]string{"user.name": "alice", "user.email": "alice@example.com", "gpg.format": "ssh", "user.signingkey": pub, "gpg.ssh.allowedSignersFile": allowed} {
					j.run(t, "git", "-C", j.out, "config", k, v).OK(t)
				}
				return j.with(t, env, "git", "-C", j.out, "commit", "-q", "--allow-empty", "-S", "-m", "hello of "+j.dir)
			},
			judge: func(t *testing.T, j *job) {
				rig.Run(t, []string{"HOME=" + j.dir, "PATH=" + os.Getenv("PATH")}, "git", "-C", j.out, "verify-commit", "HEAD").OK(t).Says(t, `Good "git" signature for alice@example.com`)
				commit := rig.Run(t, nil, "git", "-C", j.out, "cat-file", "commit", "HEAD").OK(t).Output
				other := rig.Write(t, filepath.Join(j.dir, "commit"), []byte(strings.Replace(commit, "hello of", "Hello of", 1)))
				id := strings.TrimSpace(rig.Run(t, nil, "git", "-C", j.out, "hash-object", "-t", "commit", "-w", other).OK(t).Output)
				rig.Run(t, []string{"HOME=" + j.dir, "PATH=" + os.Getenv("PATH")}, "git", "-C", j.out, "verify-commit", id).Fails(t)
			},
			digest: func(t *testing.T, j *job) []byte {
				commit := rig.Run(t, nil, "git", "-C", j.out, "cat-file", "commit", "HEAD").OK(t).Output
				before, rest, _ := strings.Cut(commit, "gpgsig ")
				_, message, _ := strings.Cut(rest, "-----END SSH SIGNATURE-----\n")
				return rig.HashOf(sshHash(j.key), sshsig("git", []byte(before+message)))
			}},
	}
}

// TestSSHReadWrite: OpenSSH opens read/write sessions, which the module refuses unless
// it is told otherwise; the log then names the setting.
func TestSSHReadWrite(t *testing.T) {
	s := rig.TheService(t)
	for _, y := range anywhere {
		if y != rig.Here && !rig.All {
			continue
		}
		t.Run(y.Name, func(t *testing.T) {
			j := newJob(t, s, y, "p256")
			j.run(t, "ssh-keygen", "-D", y.Module(t)).Fails(t)
			j.tl.InLog(t, "CKR_TOKEN_WRITE_PROTECTED", "Cryptoki.DoNotFailOnReadWriteSessions", "SIGNPATH_CRYPTOKI_DO_NOT_FAIL_ON_READ_WRITE_SESSIONS")
			listed := j.with(t, []string{readWrite}, "ssh-keygen", "-D", y.Module(t)).OK(t) // without login
			for _, k := range rig.Keys() {
				j := newJob(t, s, y, k)
				pub, _ := j.authorized(t)
				listed.Says(t, strings.TrimSpace(string(rig.Must(os.ReadFile(pub)))))
			}
		})
	}
}

// TestSSHAgentGoesOn: the agent's helper outlives a service that was away.
func TestSSHAgentGoesOn(t *testing.T) {
	s := rig.OwnService(t)
	j := newJob(t, s, rig.Here, "p256", "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=20")
	env, added := j.agent(t)
	added.OK(t)
	pub, _ := j.authorized(t)
	if err := s.Cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(2*time.Second, func() { _ = s.Cmd.Process.Signal(syscall.SIGCONT) })
	defer timer.Stop()
	j.with(t, env, "ssh-keygen", "-Y", "sign", "-f", pub, "-n", "file", j.file).OK(t)
	s.Audited(t, rig.HashOf(crypto.SHA256, sshsig("file", j.content(t))), "p256")
}
