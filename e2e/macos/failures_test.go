package macos

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signpath/e2e/rig"
)

// TestExitCodes: what stops the certificates from appearing, and what the console
// says about it.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	s := rig.TheService(t)
	other := strings.TrimSpace(read(t, s.File("other-token")))
	wrong := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for _, c := range []struct {
		name   string
		code   int
		says   string
		env    []string
		args   []string
		change func(*mac)
	}{
		{"wrong token", 4, "401", []string{"SIGNPATH_API_TOKEN=" + wrong}, nil, nil},
		{"somebody else's policies", 5, "lists no certificate", []string{"SIGNPATH_API_TOKEN=" + other}, nil, nil},
		{"no such policy", 5, "lists no certificate", nil, []string{"--project-slug", rig.Project, "--signing-policy-slug", "none"}, nil},
		{"nobody listens", 3, "Nothing listens there", nil, []string{"--api-url=https://127.0.0.1:1/Api"}, nil},
		{"unknown argument", 2, `unknown argument "--project"`, nil, []string{"--project", "x"}, nil},
		{"argument without value", 2, "--api-url needs a value", nil, []string{"--api-url"}, nil},
		{"no organization", 2, "SIGNPATH_ORGANIZATION_ID", []string{"SIGNPATH_ORGANIZATION_ID="}, nil, nil},
		{"missing file", 2, "none.json", nil, []string{"--config", "/nowhere/none.json"}, nil},
		{"no extension", 6, "does not offer the app's token extension", nil, nil, func(m *mac) { _ = os.Remove(filepath.Join(m.ctk, "registered")) }},
		{"macOS hangs", 6, "macOS does not answer", nil, nil, func(m *mac) { _ = os.WriteFile(filepath.Join(m.ctk, "hang"), nil, 0o600) }},
		{"not in the keychain", 7, "did not appear in the keychain within 20 seconds", nil, nil, func(m *mac) { _ = os.WriteFile(filepath.Join(m.ctk, "invisible"), nil, 0o600) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // some wait for 20 seconds
			m := newMac(t, s, c.env...)
			if c.change != nil {
				c.change(m)
			}
			a := m.start(t, append([]string{"--foreground"}, c.args...)...).ends(t, c.code)
			if !strings.Contains(a.output(), c.says) {
				t.Errorf("no %q in\n%s", c.says, a.output())
			}
			if strings.Contains(a.output(), wrong) || strings.Contains(a.output(), other) {
				t.Errorf("a token in\n%s", a.output())
			}
			m.InLog(t, "ERROR", "exitCode="+string(rune('0'+c.code)))
			if c.name != "macOS hangs" && len(m.tokens(t)) != 0 {
				t.Errorf("tokens of an app that failed: %v", m.tokens(t))
			}
		})
	}
}

// TestConfiguration: argument, environment, named file, file beside the app.
func TestConfiguration(t *testing.T) {
	t.Parallel()
	s := rig.TheService(t)
	plain := newMac(t, s)
	dir := t.TempDir()
	program := filepath.Join(dir, "Some.app", "Contents", "MacOS", "app")
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(plain.program("app"), program); err != nil { // another device
		rig.Run(t, nil, "cp", plain.program("app"), program).OK(t)
	}
	file := func(name, policy string) string {
		return rig.Write(t, filepath.Join(t.TempDir(), name), []byte(`{"ProjectSlug":"`+rig.Project+`","SigningPolicySlug":"`+policy+`"}`))
	}
	beside := rig.Write(t, filepath.Join(dir, "config.json"), []byte(read(t, file("x", "nothing-beside"))))
	for _, c := range []struct {
		name string
		env  []string
		args []string
		code int
		says string
	}{
		{"beside the app", nil, nil, 5, "lists no certificate"},
		{"the environment's file instead", []string{"SIGNPATH_CONFIG_FILE=" + file("e.json", "p256")}, nil, 0, "ready: 1"},
		{"the argument's file instead", []string{"SIGNPATH_CONFIG_FILE=" + file("e.json", "nothing")}, []string{"--config", file("a.json", "p256")}, 0, "ready: 1"},
		{"a variable wins over the file", []string{"SIGNPATH_SIGNING_POLICY_SLUG=p256"}, nil, 0, "ready: 1"},
		{"an argument wins over the variable", []string{"SIGNPATH_SIGNING_POLICY_SLUG=p256"}, []string{"--signing-policy-slug=none"}, 5, "lists no certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMac(t, s, c.env...)
			m.programs, m.variant = filepath.Dir(program), ""
			a := m.start(t, append([]string{"--foreground"}, c.args...)...).says(t, c.says, 1)
			if c.code != 0 {
				a.ends(t, c.code)
			}
		})
	}
	rig.Write(t, beside, []byte("{\n  \"OrganizationId\": \n}"))
	m := newMac(t, s)
	m.programs = filepath.Dir(program)
	m.start(t, "--foreground").says(t, "line 3", 1).ends(t, 2)
}

// TestRefusedSignatures: the code for the tool and the cause in the log.
func TestRefusedSignatures(t *testing.T) {
	t.Parallel()
	s := rig.OwnService(t)
	m := newMac(t, s)
	a := m.start(t, "--foreground").says(t, "ready: ", 1)
	instance := m.token(t, "p256")
	const short, long = "0102", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f40"
	for _, c := range []struct{ algorithm, digest, says string }{
		{"ECDSASignatureDigestX962SHA256", short, "error -8: the digest has the wrong length"},
		{"ECDSASignatureDigestX962", short, "error -8: the digest has the wrong length"},
		{"ECDSASignatureDigestX962SHA384", someDigest, "error -8: the digest has the wrong length"},
		{"ECDSASignatureDigestX962", long, "error -8: what is to be signed is not a digest"},
		{"RSASignatureDigestPKCS1v15SHA256", someDigest, "error -8: the key cannot sign with this algorithm"},
	} {
		m.Run(t, m.program("extension"), "sign", instance, c.algorithm, c.digest).Fails(t).Says(t, c.says)
	}
	m.sign(t, "no-such-token", "ECDSASignatureDigestX962").Fails(t).Says(t, "no such token")
	m.sign(t, instance, "ECDSASignatureDigestX962").OK(t)
	s.Stop()
	begin := time.Now()
	m.Run(t, m.program("extension"), "sign", instance, "ECDSASignatureDigestX962", strings.Repeat("ab", 32)).Fails(t).Says(t, "error -2: ")
	if took := time.Since(begin); took > 60*time.Second { // the app gives up after 30 s
		t.Errorf("a tool waits %s", took)
	}
	m.InLog(t, "ERROR", "no signature", "key=hash-signing/p256", "code=-2", "Nothing listens there")
	if a.cmd.ProcessState != nil {
		t.Error("the app ended")
	}
}
