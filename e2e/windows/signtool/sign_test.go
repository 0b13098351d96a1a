package signtool

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

func derOf(t *testing.T, chain []byte, n int) []byte {
	t.Helper()
	for ; ; n-- {
		block, rest := pem.Decode(chain)
		if block == nil {
			t.Fatal("the chain is too short")
		}
		if chain = rest; n == 0 {
			return block.Bytes
		}
	}
}

// keysOf are the keys that a provider has: CryptoAPI knows RSA only.
func keysOf(p provider) []string {
	var keys []string
	for _, k := range rig.Keys() {
		if p == ksp || rig.IsRSA(k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// TestSignAndVerify runs the documented form for every provider, kind of key and kind
// of file, and counts what it asks of the service.
func TestSignAndVerify(t *testing.T) {
	s := rig.TheService(t)
	w := machine(t, s)
	type variant struct {
		file, digest string
		options      []string
		every        bool // with every key of a default run
	}
	variants := []variant{{"answer.dll", "SHA256", []string{"/ph"}, false}}
	if rig.Here.SignScripts(t) { // its verifier reads them
		variants = append(variants, variant{"hello.ps1", "SHA256", nil, false})
	}
	if rig.All {
		for _, digest := range []string{"SHA1", "SHA256", "SHA384", "SHA512"} {
			for _, file := range []string{"hello.exe", "hello.msi", "hello.cab"} {
				variants = append(variants, variant{file, digest, nil, true})
			}
		}
		variants = append(variants, variant{"hello.exe", "SHA256", []string{"/d", "Hello", "/du", "https://example.com/"}, true})
	} else {
		variants = append(variants, variant{"hello.exe", "SHA256", nil, true}, variant{"answer.dll", "SHA384", nil, false},
			variant{"hello.msi", "SHA256", nil, false}, variant{"hello.cab", "SHA512", nil, false})
	}
	for _, g := range programs(t) {
		for _, p := range []provider{ksp, csp} {
			for i, key := range keysOf(p) {
				for _, v := range variants {
					if newer := g.Version != "10.0.15063"; !rig.All && (newer && (!v.every || i > 0 || p != ksp) || !v.every && (p != ksp || i > 0)) {
						continue
					}
					if v.digest == "SHA1" && !rig.IsRSA(key) {
						continue // no signature of the service: ECDSA with SHA-1
					}
					t.Run(strings.Join(append([]string{g.Version, p.name, key, v.file, v.digest}, v.options...), " "), func(t *testing.T) {
						c := count(t, s)
						tl := w.Tool(t, s, p.iface, c.settings()...)
						file := rig.Sample(t, v.file)
						args := p.arguments(t, s, key, v.digest, append(v.options, winrig.Path(file))...)
						r := tl.Run(t, g.Exe, args...).OK(t).Says(t, "Successfully signed: "+winrig.Path(file))
						s.Authenticode(t, rig.Here, file, key)
						if slices.Contains(v.options, "/ph") {
							rig.Run(t, nil, "osslsigncode", "verify", "-CAfile", s.File("ca.pem"), "-in", file).OK(t).Says(t, "Page hash algorithm  : SHA256")
						}
						c.wants(t, 1, 1)
						if t.Failed() {
							t.Log(r.Output)
						}
						p.proved(t, g, key, "osslsigncode verify, openssl smime -verify")
					})
				}
			}
		}
	}
}

// TestTwoFilesInOneCall costs one list and a signature for each file.
func TestTwoFilesInOneCall(t *testing.T) {
	s := rig.TheService(t)
	g := programs(t)[0]
	for _, p := range []provider{ksp, csp} {
		t.Run(p.name, func(t *testing.T) {
			key := rig.Keys()[0]
			c := count(t, s)
			tl := machine(t, s).Tool(t, s, p.iface, c.settings()...)
			one, two := rig.Sample(t, "one.exe"), rig.Sample(t, "two.dll")
			tl.Run(t, g.Exe, p.arguments(t, s, key, "SHA256", winrig.Path(one), winrig.Path(two))...).OK(t).Says(t, "Successfully signed: "+winrig.Path(one)).Says(t, "Successfully signed: "+winrig.Path(two))
			s.Authenticode(t, rig.Here, one, key)
			s.Authenticode(t, rig.Here, two, key)
			c.wants(t, 1, 2)
		})
	}
}

// TestRefusals shows what signtool says, which is the same for everything, and where
// the cause stands.
func TestRefusals(t *testing.T) {
	s := rig.TheService(t)
	g := programs(t)[0]
	key := rig.Keys()[0]
	other := strings.TrimSpace(string(rig.Must(os.ReadFile(s.File("other-token")))))
	for _, p := range []provider{ksp, csp} {
		for _, c := range []struct {
			name     string
			settings []string
			args     []string // in place of the documented form
			says     string
			log      []string
		}{
			{name: "wrong token", settings: []string{"SIGNPATH_API_TOKEN=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, says: "No private key is available.", log: []string{"401", "SIGNPATH_API_TOKEN"}},
			{name: "policy of somebody else", settings: []string{"SIGNPATH_API_TOKEN=" + other}, says: "No private key is available.", log: []string{"Submitter"}},
			{name: "unknown policy", says: "No private key is available.", args: []string{"sign", "/f", winrig.Path(certificate(t, s, key, 0)), "/csp", p.name, "/kc", rig.Project + "/no-such-policy", "/fd", "SHA256"}, log: []string{"no-such-policy"}},
		} {
			t.Run(p.name+"/"+c.name, func(t *testing.T) {
				tl := machine(t, s).Tool(t, s, p.iface, c.settings...)
				file := rig.Sample(t, "hello.exe")
				before := rig.Must(os.ReadFile(file))
				args := c.args
				if args == nil {
					args = p.arguments(t, s, key, "SHA256")
				}
				r := tl.Run(t, g.Exe, append(args, winrig.Path(file))...).Fails(t).Says(t, c.says)
				if string(rig.Must(os.ReadFile(file))) != string(before) {
					t.Error("the file was changed")
				}
				tl.InLog(t, c.log...)
				if t.Failed() {
					t.Log(r.Output)
				}
			})
		}
		t.Run(p.name+"/certificate of another key", func(t *testing.T) {
			tl := machine(t, s).Tool(t, s, p.iface)
			args := []string{"sign", "/f", winrig.Path(certificate(t, s, "mail-rsa2048", 0)), "/csp", p.name, "/kc", rig.Project + "/" + key, "/fd", "SHA256"}
			tl.Run(t, g.Exe, append(args, winrig.Path(rig.Sample(t, "hello.exe")))...).Fails(t)
		})
	}
}

// TestStoppedService ends within the time that is set, and says on the console and in
// the log that the service does not answer.
func TestStoppedService(t *testing.T) {
	g := programs(t)[0]
	own := rig.OwnService(t)
	arguments := map[provider][]string{}
	for _, p := range []provider{ksp, csp} {
		arguments[p] = p.arguments(t, own, "rsa2048", "SHA256")
	}
	own.Stop()
	for p, args := range arguments {
		t.Run(p.name, func(t *testing.T) {
			tl := machine(t, own).Tool(t, own, p.iface, "SIGNPATH_SERVICE_UNAVAILABLE_TIMEOUT_IN_SECONDS=2", "SIGNPATH_LOG_CONSOLE_LEVEL=error")
			r := tl.Run(t, g.Exe, append(args, winrig.Path(rig.Sample(t, "hello.exe")))...).Fails(t).Says(t, "No private key is available.")
			tl.InLog(t, "SIGNPATH_API_URL")
			if !strings.Contains(r.Output, "SIGNPATH_API_URL") {
				t.Errorf("the console does not tell the cause:\n%s", r.Output)
			}
		})
	}
}

// TestNoSecretIsTold looks for the token where a run writes to.
func TestNoSecretIsTold(t *testing.T) {
	s := rig.TheService(t)
	for _, p := range []provider{ksp, csp} {
		t.Run(p.name, func(t *testing.T) {
			tl := machine(t, s).Tool(t, s, p.iface, "SIGNPATH_LOG_FILE_LEVEL=verbose", "SIGNPATH_LOG_CONSOLE_LEVEL=verbose")
			r := tl.Run(t, programs(t)[0].Exe, p.arguments(t, s, rig.Keys()[0], "SHA256", "/debug", "/v", winrig.Path(rig.Sample(t, "hello.exe")))...).OK(t)
			s.Nowhere(t, s.Env["SIGNPATH_API_TOKEN"], tl.Tool, r)
		})
	}
}

// TestTimestamps asks a time-stamping authority on loopback, in both forms.
func TestTimestamps(t *testing.T) {
	s := rig.TheService(t)
	g := programs(t)[0]
	url, tsa := rig.Timestamps(t)
	old, oldTSA := legacyTimestamps(t)
	for _, c := range []struct {
		name, tsa string
		options   []string
	}{
		{"RFC 3161", tsa, []string{"/tr", url, "/td", "SHA256"}},
		{"Authenticode", oldTSA, []string{"/t", old}},
	} {
		for _, p := range []provider{ksp, csp} {
			for _, key := range keysOf(p) {
				if !rig.All && (p != ksp || !rig.IsRSA(key)) {
					continue
				}
				t.Run(strings.Join([]string{c.name, p.name, key}, "/"), func(t *testing.T) {
					tl := machine(t, s).Tool(t, s, p.iface)
					file := rig.Sample(t, "hello.exe")
					tl.Run(t, g.Exe, p.arguments(t, s, key, "SHA256", append(c.options, winrig.Path(file))...)...).OK(t).Says(t, "Successfully signed")
					verify := func(file string) *rig.Result {
						return rig.Run(t, nil, "osslsigncode", "verify", "-CAfile", s.File("ca.pem"), "-TSA-CAfile", c.tsa, "-in", file)
					}
					r := verify(file).OK(t)
					if !strings.Contains(r.Output, "imestamp Server Signature verification: ok") && !strings.Contains(r.Output, "imestamp verified") {
						t.Errorf("the time stamp was not verified:\n%s", r.Output)
					}
					verify(rig.Tamper(t, file)).Fails(t)
				})
			}
		}
	}
	t.Run("no answer", func(t *testing.T) {
		tl := machine(t, s).Tool(t, s, "KSP")
		r := tl.Run(t, g.Exe, ksp.arguments(t, s, rig.Keys()[0], "SHA256", "/tr", "http://127.0.0.1:"+rig.FreePort(t)+"/", "/td", "SHA256", winrig.Path(rig.Sample(t, "hello.exe")))...)
		r.Fails(t).Says(t, "The specified timestamp server either could not be reached")
	})
}

// TestLeavesFilesAlone: what signtool cannot sign costs nothing at the service.
func TestLeavesFilesAlone(t *testing.T) {
	s := rig.TheService(t)
	c := count(t, s)
	tl := machine(t, s).Tool(t, s, "KSP", c.settings()...)
	file := rig.Write(t, filepath.Join(t.TempDir(), "notes.txt"), []byte("no program"))
	tl.Run(t, programs(t)[0].Exe, ksp.arguments(t, s, rig.Keys()[0], "SHA256", winrig.Path(file))...).Fails(t)
	c.wants(t, 1, 0)
}
