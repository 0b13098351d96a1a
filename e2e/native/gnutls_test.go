package native

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// certtool runs GnuTLS's certtool with the module; it takes the PIN from GNUTLS_PIN.
func (j *job) certtool(t *testing.T, args ...string) *rig.Result {
	t.Helper()
	return j.with(t, []string{"GNUTLS_PIN=CONFIG"}, "certtool", append([]string{"--provider", j.y.Module(t)}, args...)...)
}

func gnutlsClients() []client {
	key := func(j *job) string { return "pkcs11:token=SignPath;id=" + rig.Project + "%2F" + j.key }
	p7 := func(mode string) func(t *testing.T, j *job) *rig.Result {
		return func(t *testing.T, j *job) *rig.Result {
			return j.certtool(t, mode, "--outder", "--load-privkey", key(j)+";type=private", "--load-certificate", j.chain, "--infile", j.file, "--outfile", j.out)
		}
	}
	return []client{
		{name: "certtool/detached", where: anywhere, sign: p7("--p7-detached-sign"), digest: cmsDigest,
			judge: func(t *testing.T, j *job) { j.opensslCMS(t, "DER", j.out) }},
		{name: "certtool/attached", where: anywhere, sign: p7("--p7-sign"), digest: cmsDigest,
			judge: func(t *testing.T, j *job) {
				verify := func(file string) *rig.Result {
					return rig.Run(t, nil, "openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", file, "-CAfile", j.trust, "-purpose", "any", "-out", os.DevNull)
				}
				verify(j.out).OK(t)
				b := rig.Must(os.ReadFile(j.out))
				at := strings.Index(string(b), "an artifact of")
				b[at] ^= 1
				verify(rig.Write(t, j.out+".tampered", b)).Fails(t)
			}},
		{name: "certtool/request", where: anywhere,
			sign: func(t *testing.T, j *job) *rig.Result {
				template := rig.Write(t, filepath.Join(j.dir, "template"), []byte("cn = hello\nsigning_key\n"))
				return j.certtool(t, "--generate-request", "--load-privkey", key(j)+";type=private", "--load-pubkey", key(j)+";type=public", "--template", template, "--outfile", j.out)
			},
			judge: func(t *testing.T, j *job) { j.opensslCSR(t, j.out) }},
		{name: "certtool/issue", where: anywhere, more: true,
			sign: func(t *testing.T, j *job) *rig.Result {
				template := rig.Write(t, filepath.Join(j.dir, "template"), []byte("cn = other\nexpiration_days = 1\nsigning_key\n"))
				rig.Run(t, nil, "certtool", "--generate-privkey", "--key-type", "ecdsa", "--outfile", filepath.Join(j.dir, "other.key")).OK(t)
				return j.certtool(t, "--generate-certificate", "--load-ca-privkey", key(j)+";type=private", "--load-ca-certificate", j.cert, "--load-privkey", filepath.Join(j.dir, "other.key"), "--template", template, "--outfile", j.out)
			},
			judge: func(t *testing.T, j *job) {
				r := rig.Run(t, nil, "openssl", "verify", "-partial_chain", "-trusted", j.cert, j.out).Says(t, "invalid CA certificate")
				if strings.Contains(r.Output, "signature failure") {
					t.Error(r.Output)
				}
			}},
	}
}

// TestGnuTLSLists is p11tool: what is in sight, certificates without login, its own test signature.
func TestGnuTLSLists(t *testing.T) {
	s := rig.TheService(t)
	for _, y := range anywhere {
		if y != rig.Here && !rig.All {
			continue
		}
		for _, key := range rig.Keys() {
			t.Run(y.Name+"/"+key, func(t *testing.T) {
				t.Parallel()
				j := newJob(t, s, y, key)
				p11tool := func(args ...string) *rig.Result {
					return j.with(t, []string{"GNUTLS_PIN=CONFIG"}, "p11tool", append([]string{"--batch", "--provider", y.Module(t)}, args...)...)
				}
				p11tool("--list-tokens").OK(t).Says(t, "Label: SignPath")
				p11tool("--login", "--list-all").OK(t).Says(t, "object="+rig.Project+"%2F"+key+";type=private")
				exported := p11tool("--export", "pkcs11:object="+rig.Project+"%2F"+key+";type=cert").OK(t) // before login
				if want := strings.TrimSpace(string(rig.Must(os.ReadFile(j.cert)))); !strings.Contains(exported.Output, want) {
					t.Errorf("another certificate:\n%s", exported.Output)
				}
				p11tool("--login", "--test-sign", "pkcs11:object="+rig.Project+"%2F"+key+";type=private").OK(t).Says(t, "Verifying against public key in the token... ok")
				j.tl.InLog(t, "signed", "key="+rig.Project+"/"+key)
			})
		}
	}
}
